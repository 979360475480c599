package chart_test

import (
	"strings"
	"testing"
)

// TestREADME renders the values that the chart's README shows.
func TestREADME(t *testing.T) {
	rendered := 0
	for _, block := range strings.Split(read(t, chartDir+"/README.md"), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if strings.HasPrefix(text, "# Chart.yaml\n") {
			continue // of another chart
		}
		if !strings.Contains(text, "organization:") {
			text = basis + "agentPools: [{pool: linux}]\n" + text
		}
		list := render(t, parse(t, text))
		rendered++
		scaler := deployment(t, list).Spec.Template.Spec.Containers[0]
		agent := scaledJobs(t, list)[0].Spec.JobTargetRef.Template.Spec.Containers[0]
		switch {
		case strings.Contains(text, "imageRegistry"):
			if !strings.HasPrefix(scaler.Image, "mirror.example.com/ado-agent-orchestrator/ado-agent-orchestrator@sha256:") ||
				agent.Image != "mirror.example.com/team/agent:3.1" || agent.ImagePullPolicy != "IfNotPresent" {
				t.Errorf("images %s and %s", scaler.Image, agent.Image)
			}
		case strings.Contains(text, "proxy:"):
			excluded := false
			for _, v := range agent.Env {
				excluded = excluded || v.Name == "NO_PROXY" && strings.Contains(v.Value, ",.example.com,10.0.0.0/8")
			}
			if !excluded {
				t.Errorf("the agent has %v", agent.Env)
			}
		}
	}
	if rendered != 5 {
		t.Errorf("%d examples", rendered)
	}
}
