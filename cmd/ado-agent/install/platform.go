package install

import (
	"fmt"
	"path/filepath"
	"runtime"
)

// Platform is the name that Azure DevOps has for agents of this machine.
func Platform() (string, error) {
	musl, _ := filepath.Glob("/lib/ld-musl-*") // the pattern is good
	return platform(runtime.GOOS, runtime.GOARCH, len(musl) > 0)
}

func platform(system, architecture string, musl bool) (string, error) {
	processor, known := map[string]string{"amd64": "x64", "arm64": "arm64", "arm": "arm", "386": "x86"}[architecture]
	prefix, ok := map[string]string{"linux": "linux", "darwin": "osx", "windows": "win"}[system]
	if !known || !ok {
		return "", fmt.Errorf("there is no agent for %s on %s", system, architecture)
	}
	if musl && system == "linux" {
		prefix += "-musl"
	}
	return prefix + "-" + processor, nil
}
