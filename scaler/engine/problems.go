package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/trigger"
)

// check reads from a ScaledJob with these triggers of ours what keeps it from
// working with the count, in one sentence, and what makes it work badly.
func check(s *fleet.ScaledJob, ours []map[string]string, t *trigger.Trigger, podsInView bool) (problem string, warnings []string) {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if instead := t.Count.CheckStrategy(s.Strategy); instead != "" {
		add("scalingStrategy.strategy %q conflicts with count %s; %s", cmp.Or(s.Strategy, "default"), t.Count.Name, strategyFix(instead))
	}
	if n := s.Template.Parallelism; n != 1 {
		add("jobTargetRef.parallelism is %d; set it to 1: each Job runs one agent", n)
	}
	if n := s.Template.Completions; n != 1 {
		add("jobTargetRef.completions is %d; set it to 1: each Job runs one agent", n)
	}
	if t.Count.Kubernetes {
		problems = append(problems, checkExact(s, ours, podsInView)...)
	}
	if len(problems) > 0 {
		return "the ScaledJob cannot work: " + strings.Join(problems, "; "), nil
	}
	return "", checkQuality(s)
}

func strategyFix(strategy string) string {
	if strategy == "default" {
		return "leave it out, which means default"
	}
	return "set it to " + strategy
}

// checkExact returns what keeps a ScaledJob from being counted exactly: the value
// that KEDA acts on, its Jobs, or their agents not being one to one.
func checkExact(s *fleet.ScaledJob, ours []map[string]string, podsInView bool) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if len(ours) > 1 {
		add("it has several external triggers of this scaler, create a ScaledJob for each pool")
	}
	if (len(s.OtherTriggers) > 0 || len(s.Triggers) > len(ours)) && !slices.Contains([]string{"", "max"}, s.Calculation) {
		add("scalingStrategy.multipleScalersCalculation is %q, which mixes the count with those of other triggers; set it to max", s.Calculation)
	}
	if n := len(s.Key.Name); n > fleet.MaxSoundName && !podsInView {
		add("its name has %d characters; use at most %d, since Kubernetes cuts the names of its pods, or let the scaler list and watch pods",
			n, fleet.MaxSoundName)
	}
	switch t := &s.Template; {
	case t.BackoffLimit == 0:
	case t.RestartPolicy != "Never":
		add("jobTargetRef.backoffLimit is %d with restartPolicy %s, so that an agent that failed starts again; set backoffLimit to 0",
			t.BackoffLimit, cmp.Or(t.RestartPolicy, "Always"))
	case !podsInView:
		add("jobTargetRef.backoffLimit is %d, so that a Job starts another agent when one fails; set it to 0, "+
			"or let the scaler list and watch pods", t.BackoffLimit)
	}
	if n := len(s.Template.Containers); n > 1 && !s.Template.SharesProcesses {
		add("its pods have %d containers (%s), and a Job ends only when all of them have; "+
			"make all but the agent's sidecars: initContainers with restartPolicy: Always", n, strings.Join(s.Template.Containers, ", "))
	}
	return problems
}

// checkQuality returns warnings about fields that work, but badly.
func checkQuality(s *fleet.ScaledJob) (warnings []string) {
	add := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	t := &s.Template
	if t.BackoffLimit > 0 && t.RestartPolicy == "Never" {
		add("jobTargetRef.backoffLimit is %d: when an agent fails after its job, the Job starts another one that nothing needs; set it to 0", t.BackoffLimit)
	}
	if t.ActiveDeadline > 0 {
		add("jobTargetRef.activeDeadlineSeconds is %d: the time that an agent waits for a job counts too, and a job that runs then is cut off; "+
			"use the pipeline's timeoutInMinutes instead", int(t.ActiveDeadline.Seconds()))
	}
	if t.AgentName != "" && !strings.Contains(t.AgentName, "$(") {
		add("AZP_AGENT_NAME is %q in all pods: agents of one name take each other's place in the pool; "+
			"set it by fieldRef to metadata.name", t.AgentName)
	}
	if t.OS == "windows" && !t.NamesAgent {
		add("Windows cuts the names of computers to 15 characters, and an agent named after its computer is not recognized; " +
			"set AZP_AGENT_NAME by fieldRef to metadata.name")
	}
	return warnings
}
