// Package version knows which version of the programs this is.
package version

import "runtime/debug"

// set is the version if the linker set one: an image's build sees no
// history. See the Dockerfiles.
var set string

// String returns the version, such as v1.2.3.
func String() string {
	if set != "" {
		return set
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
