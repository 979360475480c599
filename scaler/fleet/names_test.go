package fleet

import (
	"strings"
	"testing"
)

func TestOwnsAgent(t *testing.T) {
	long := strings.Repeat("x", 52)
	longest := strings.Repeat("y", 63)
	for _, tt := range []struct {
		scaledJob, agent string
		want             bool
	}{
		{"build", "build-abcde-fgh2j", true},
		{"build", "build-gpu-abcde-fgh2j", false},
		{"build-gpu", "build-gpu-abcde-fgh2j", true},
		{"build", "build-abcde-fgh2", false},
		{"build", "build-abcde", false},
		{"build", "build-ABCDE-fgh2j", false},
		{"build", "build-ab-de-fgh2j", false},
		{"build", "agent-1", false},
		{"build", "", false},
		{"", "", false},
		// The pod's name is cut at 58 characters before its suffix.
		{long, long + "-abcdefgh2j", true},
		{long, long + "-abcde-fgh2j", false},
		{longest, longest[:58] + "fgh2j", true},
	} {
		if got := OwnsAgent(tt.scaledJob, tt.agent); got != tt.want {
			t.Errorf("%s owns %s: got %v, want %v", tt.scaledJob, tt.agent, got, tt.want)
		}
	}
}
