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
		{"build", "build-bcdfg-fgh2j", true},
		{"build", "build-gpu-bcdfg-fgh2j", false},
		{"build-gpu", "build-gpu-bcdfg-fgh2j", true},
		{"build", "build-bcdfg-fgh2", false},
		{"build", "build-bcdfg", false},
		{"build", "build-BCDFG-fgh2j", false},
		{"build", "build-bc-fg-fgh2j", false},
		{"build", "build-aeiou-01301", false}, // characters that Kubernetes leaves out
		{"build", "agent-1", false},
		{"build", "", false},
		{"", "", false},
		// The pod's name is cut at 58 characters before its suffix.
		{long, long + "-bcdfgfgh2j", true},
		{long, long + "-bcdfg-fgh2j", false},
		{longest, longest[:58] + "fgh2j", true},
	} {
		if got := OwnsAgent(tt.scaledJob, tt.agent); got != tt.want {
			t.Errorf("%s owns %s: got %v, want %v", tt.scaledJob, tt.agent, got, tt.want)
		}
	}
}
