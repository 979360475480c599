package explain

import (
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

func TestMask(t *testing.T) {
	for text, want := range map[string]string{
		"docker":             "docker",
		"password=hunter2 x": "password=*** x",
		`{"token": "abc"}`:   `{"token": "***"}`,
		"https://user:pass@host/path and Bearer abcdefghijk": "https://user:***@host/path and Bearer ***",
		"Server=db;Pwd=a1;Database=x":                        "Server=db;Pwd=***;Database=x",
		// Tokens of Azure DevOps, in both forms.
		"pat kq7xz3mvw2nbt5hy4jr6kd8sf9gp1qw2er3ty4ui5op6as7df8gh":         "pat ***",
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0": "***",
		// These people have to read.
		"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"22222222-2222-4222-8222-222222222222":                                    "22222222-2222-4222-8222-222222222222",
		"registry.example.com/team/a-long-name-of-an-image-for-builds-2:v1":       "registry.example.com/team/a-long-name-of-an-image-for-builds-2:v1",
	} {
		if got := mask(text); got != want {
			t.Errorf("mask(%q) = %q, want %q", text, got, want)
		}
	}
	demand := adoqueue.ParseDemand("apiKey -equals hunter2")
	if got := shownDemands([]adoqueue.Demand{demand}); got[0] != "apiKey -equals ***" {
		t.Errorf("got %q", got)
	}
}
