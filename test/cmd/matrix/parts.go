package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

// part is a column of the table.
type part struct {
	title string
	// tests are those of a package that have to pass, by the regular expression
	// of go test -run.
	pkg, tests string
	// names are the tests that this column is about, all if it is empty.
	names []string
}

// parts are in the order of the table; those of one package run at once.
func parts(keda string) []part {
	const e2e = "./e2e"
	escaped := strings.ReplaceAll(keda, ".", `\.`)
	return []part{
		{title: "objects accepted", pkg: "./chart", tests: "^TestOnCluster$|^TestOnEveryKEDA$/^" + escaped + "_"},
		{title: "`AGENT_POOLS` and `render` fit", pkg: "./apply", tests: "^TestVersions$/^" + escaped + "_"},
		{title: "migrated manifests", pkg: "./migrate", tests: "."},
		{title: "exact", pkg: e2e, tests: ".", names: []string{"TestScenarios/ten_jobs"}},
		{title: "TLS", pkg: e2e, tests: ".", names: []string{"TestScenarios/TLS_with_a_TriggerAuthentication"}},
		{title: "scaler restarted", pkg: e2e, tests: ".", names: []string{"TestScenarios/scaler_restarted"}},
		{title: "KEDA restarted", pkg: e2e, tests: ".", names: []string{"TestKEDARestarted"}},
		{title: "paused", pkg: e2e, tests: ".", names: []string{"TestScenarios/paused_ScaledJob"}},
		{title: "`AGENT_POOLS`", pkg: e2e, tests: ".", names: []string{"TestScenarios/AGENT_POOLS_with_KEDA"}},
		{title: "renewed certificates", pkg: e2e, tests: ".", names: []string{"TestCertificatesRenewed"}},
		{title: "evictions refused", pkg: e2e, tests: ".", names: []string{"TestScenarios/eviction"}},
	}
}

// tryAll runs all parts on two versions. A part that did not pass is an error as well.
func tryAll(ctx context.Context, on pair) (results []bool, err error) {
	outcomes := map[string]outcome{}
	var errs []error
	for _, p := range parts(on.keda) {
		o, ran := outcomes[p.pkg]
		if !ran {
			began := time.Now()
			o = test(ctx, on.keda, p)
			outcomes[p.pkg] = o
			fmt.Fprintf(os.Stderr, "KEDA %s, Kubernetes %s: %s took %s\n", on.keda, on.kubernetes, p.pkg, time.Since(began).Round(time.Second))
		}
		passed := o.passed(p.names)
		if !passed {
			errs = append(errs, fmt.Errorf("KEDA %s, Kubernetes %s: %s: did not pass\n%s", on.keda, on.kubernetes, p.title, o.output))
		}
		results = append(results, passed)
	}
	return results, errors.Join(errs...)
}

// outcome is the result of go test for a package.
type outcome struct {
	actions map[string]string // the last one of each test, and "" for the package
	output  string            // of what failed
}

// passed reports whether tests ran and passed, all of them if none is named.
func (o outcome) passed(names []string) bool {
	if len(names) == 0 {
		return o.actions[""] == "pass" && len(o.actions) > 1
	}
	for _, name := range names {
		if o.actions[name] != "pass" {
			return false
		}
	}
	return true
}

func test(ctx context.Context, keda string, p part) outcome {
	command := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-short", "-timeout=20m", "-run="+p.tests, p.pkg) //nolint:gosec // the arguments are ours
	command.Env = append(os.Environ(), components.KEDAVariable+"="+keda)
	out, err := command.Output()
	o := outcome{actions: map[string]string{}}
	outputs := map[string]string{}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for decoder.More() {
		var event struct{ Action, Test, Output string }
		if decodeErr := decoder.Decode(&event); decodeErr != nil {
			o.output = fmt.Sprint(decodeErr, err)
			return o
		}
		o.actions[event.Test] = event.Action
		outputs[event.Test] += event.Output
		if event.Action == "fail" {
			o.output += outputs[event.Test]
		}
	}
	return o
}
