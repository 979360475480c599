package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The variables by which programs find certificate authorities.
const (
	opensslBundle = "SSL_CERT_FILE"       // OpenSSL and with it .NET, curl and others: all authorities
	nodeExtra     = "NODE_EXTRA_CA_CERTS" // Node: those besides its own
	gitBundle     = "GIT_SSL_CAINFO"      // git: all authorities
)

// systemBundles are where distributions keep the system's authorities.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Red Hat
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem", // SUSE
	"/etc/ssl/cert.pem",
}

// Trust writes a bundle of the system's authorities and those of a file, and
// returns its path and the variables that make the agent and its jobs use it.
// The agent's own requests go by nothing else: its flag for authorities is for
// git alone. Variables that are set already are kept. SSL_CERT_FILE then replaces the
// system's authorities.
func (a Agent) Trust(caFile string, environ []string) (bundle string, variables []string, err error) {
	given := map[string]string{}
	for _, variable := range environ {
		if name, value, _ := strings.Cut(variable, "="); value != "" {
			given[name] = value
		}
	}
	extra, err := os.ReadFile(caFile)
	if err != nil {
		return "", nil, fmt.Errorf("CA file: %w", err)
	}
	sources := systemBundles
	if given[opensslBundle] != "" {
		sources = []string{given[opensslBundle]}
	}
	system, err := firstOf(sources)
	if err != nil {
		return "", nil, fmt.Errorf("the system's certificate authorities: %w", err)
	}
	bundle = filepath.Join(a.Folder, ".ca-bundle.pem")
	if err := os.MkdirAll(a.Folder, 0o755); err != nil { //nolint:gosec // jobs may run as another user
		return "", nil, err
	}
	all := slices.Concat(bytes.TrimSpace(system), []byte("\n"), extra)
	if err := os.WriteFile(bundle, all, 0o644); err != nil { //nolint:gosec // certificates are no secret
		return "", nil, fmt.Errorf("write the certificate authorities for the agent: %w", err)
	}
	variables = []string{opensslBundle + "=" + bundle}
	for name, value := range map[string]string{nodeExtra: caFile, gitBundle: bundle} {
		if given[name] == "" {
			variables = append(variables, name+"="+value)
		}
	}
	slices.Sort(variables)
	return bundle, variables, nil
}

// firstOf reads the first file that there is; without any, there are no
// authorities but those of the CA file.
func firstOf(files []string) ([]byte, error) {
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil || !os.IsNotExist(err) {
			return content, err
		}
	}
	return nil, nil
}
