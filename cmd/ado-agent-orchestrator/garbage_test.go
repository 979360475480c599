package main

import (
	"bytes"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting/settingtest"
)

func TestGarbage(t *testing.T) {
	settingtest.Program{
		Valid: map[string]string{
			"ORG_URL": "https://dev.azure.com/contoso", "ORG_PAT": "s3cr3t", "AGENT_POOLS": "linux", "JOB_IMAGE": "agent:1",
			"SCALER_ADDRESS": "scaler:9090", "JOB_TOKEN_SECRET": "azure-devops/token",
		},
		Args: map[string][]string{"query": {"--address=127.0.0.1:1", "--pool=linux"}},
		New:  func() (*setting.Parser, error) { return newParser(&commandLine{}) },
		Run: func(args []string) (int, string) {
			var log bytes.Buffer
			exit := runUntil(t.Context(), args, outputs{out: &log, log: &log})
			return exit, log.String()
		},
		Exit: exitFailure,
	}.Garbage(t)
}
