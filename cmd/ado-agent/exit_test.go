package main

import (
	"testing"

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
