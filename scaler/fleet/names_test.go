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

func TestPodsOfWorkloads(t *testing.T) {
	longest := strings.Repeat("y", 63)
	long := strings.Repeat("x", 50)
	for _, tt := range []struct {
		kind, name, agent string
		want              bool
	}{
		{"Deployment", "build", "build-5854bbbf84-r86qv", true},
		{"Deployment", "build", "build-gpu-5854bbbf84-r86qv", false},
		{"Deployment", "build-gpu", "build-gpu-5854bbbf84-r86qv", true},
		{"Deployment", "build", "build-r86qv", false},
		{"Deployment", "build", "build--r86qv", false},
		{"Deployment", "build", "build-0", false},
		{"Deployment", "build", "build-5854bbbf841-r86qv", false}, // a letter that Kubernetes leaves out
		{"Deployment", "build", "build-5854bbbf84b-r86qv", false}, // longer than a hash can be
		{"Deployment", "build", "", false},
		// The pod's name is cut at 58 characters before its suffix.
		{"Deployment", long, long + "-5854bbbr86qv", true},
		{"Deployment", long, long + "-5854bbbf84-r86qv", false},
		{"Deployment", longest, longest[:58] + "r86qv", true},
		{"StatefulSet", "build", "build-0", true},
		{"StatefulSet", "build", "build-17", true},
		{"StatefulSet", "build", "build-gpu-0", false},
		{"StatefulSet", "build", "build-", false},
		{"StatefulSet", "build", "build-5854bbbf84-r86qv", false},
		{"Rollout", "build", "build-5854bbbf84-r86qv", false},
	} {
		o := ScaledObject{TargetKind: tt.kind, TargetName: tt.name}
		if got := o.OwnsAgent(tt.agent); got != tt.want {
			t.Errorf("%s %s owns %q: got %v, want %v", tt.kind, tt.name, tt.agent, got, tt.want)
		}
	}
}
