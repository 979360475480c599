package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// TestExitCodesAreExplained holds what the command explain says of exit codes to
// those that there are.
func TestExitCodesAreExplained(t *testing.T) {
	codes := map[int]bool{
		exitSettings: true, exitCredential: true, exitPool: true, exitName: true, exitUnavailable: true, exitPackage: true,
		exitConfiguration: true, exitAgent: true, exitCrash: true,
	}
	for code := range 256 {
		text, explained := explain.ExitCode(int32(code))
		if explained != codes[code] || explained && text == "" {
			t.Errorf("exit code %d is explained: %t (%q), want %t", code, explained, text, codes[code])
		}
	}
}

// TestLastMessage has the error of the launcher in the file that Kubernetes reads, if
// that is there, and without secrets.
func TestLastMessage(t *testing.T) {
	there, missing := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(there, []byte("an older message that is longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{there, missing} {
		leaveMessage(path, agent.Redactor{"the-token"}, errors.New("401: the-token is refused"))
	}
	if got, err := os.ReadFile(there); err != nil || string(got) != "401: *** is refused\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was created: %v", err)
	}
}
