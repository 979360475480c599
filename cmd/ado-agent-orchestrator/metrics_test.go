package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

//go:generate go test -run ^TestDocumentedMetrics$ -update .

const (
	metricsPage  = "../../docs/metrics.md"
	beginMetrics = "<!-- metrics: go generate ./... -->\n"
	endMetrics   = "<!-- end of metrics -->"
)

// described is a Registerer that keeps the descriptions of what is registered: a
// metric that has no series yet is not gathered.
type described struct{ descs map[string]string } // from name{labels} to help

func (d *described) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	for desc := range descs {
		// A Desc shows what it is by its String alone.
		match := regexp.MustCompile(`^Desc\{fqName: "(.*)", help: "(.*?)"(?:, unit: "[^"]*")?, constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`).FindStringSubmatch(desc.String())
		if match == nil {
			return fmt.Errorf("cannot read %s", desc)
		}
		if !strings.HasPrefix(match[1], "ado_agent_orchestrator_") {
			continue
		}
		labels := slices.DeleteFunc(strings.Split(match[4], ","), func(label string) bool { return label == "" })
		for constant := range strings.SplitSeq(match[3], ",") {
			if name, _, ok := strings.Cut(constant, "="); ok {
				labels = append(labels, name)
			}
		}
		name := match[1]
		if len(labels) > 0 {
			name += "{" + strings.Join(labels, ",") + "}"
		}
		d.descs[name] = match[2]
	}
	return nil
}

func (d *described) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

func (d *described) Unregister(prometheus.Collector) bool { return false }

// registerAll registers the metrics of serve.
func registerAll(t *testing.T, registry prometheus.Registerer) {
	t.Helper()
	adoqueue.NewMetrics(registry)
	housekeeping.NewMetrics(registry)
	decisions := engine.New(engine.Options{Logger: zap.NewNop()})
	t.Cleanup(decisions.Close)
	explain.New(explain.Options{}).Register(registry, time.Minute)
	service := scaler.New(scaler.Options{Engine: decisions, Metrics: scaler.NewMetrics(registry, decisions)})
	scaler.NewServer(service, scaler.ServerOptions{TLS: &scaler.TLS{}, Registerer: registry, Logger: zap.NewNop()})
	newWebServer(registry, prometheus.NewRegistry(), zap.NewNop())
}

// registerRun registers the metrics of run.
func registerRun(registry prometheus.Registerer) {
	adoqueue.NewMetrics(registry)
	housekeeping.NewActionMetrics(registry)
	explain.New(explain.Options{}).Register(registry, time.Minute)
	newWebServer(registry, prometheus.NewRegistry(), zap.NewNop())
}

// TestDocumentedMetrics keeps the table of the metrics.
func TestDocumentedMetrics(t *testing.T) {
	known := &described{descs: map[string]string{}}
	registerAll(t, known)
	var table strings.Builder
	table.WriteString("| Metric | Meaning |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(known.descs)) {
		fmt.Fprintf(&table, "| `%s` | %s |\n", name, known.descs[name])
	}
	ofRun := &described{descs: map[string]string{}}
	registerRun(ofRun)
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(known.descs)) {
		if _, ok := ofRun.descs[name]; !ok {
			bare, _, _ := strings.Cut(name, "{")
			missing = append(missing, "`"+bare+"`")
		}
	}
	for name, help := range ofRun.descs {
		if known.descs[name] != help {
			t.Errorf("run has %s, and serve has not, or says something else of it", name)
		}
	}
	fmt.Fprintf(&table, "\n`run`, which works without KEDA, exposes these except for %s.\n", strings.Join(missing, ", "))
	content, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(content), beginMetrics)
	_, after, ends := strings.Cut(rest, endMetrics)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table", metricsPage)
	}
	want := before + beginMetrics + table.String() + endMetrics + after
	if *update {
		writeFile(t, metricsPage, want)
		return
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("%s is not up to date; run go generate: %s", metricsPage, diff)
	}
}

// TestExposedMetricsAreDocumented scrapes a scaler that has answered.
func TestExposedMetricsAreDocumented(t *testing.T) {
	ado := adotest.Serve(t, adotest.Options{AllowUnmatched: true})
	ado.AddPool(adotest.Pool{Name: "linux"})
	p := serve(t, "ORG_URL="+ado.URL(), "ORG_PAT=adotest-pat")
	defer p.stop(t)
	if _, log, exit := output(t, nil, "query", "--address", p.grpcAddr, "--pool", "linux"); exit != 0 {
		t.Fatal(log)
	}
	names := exposed(t, "http://"+p.httpAddr+"/metrics")
	content, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, name := range names {
		if strings.HasPrefix(name, "ado_agent_orchestrator_") {
			own++
		} else {
			name, _, _ = strings.Cut(name, "_")
		}
		if !strings.Contains(string(content), "`"+name) {
			t.Errorf("%s says nothing of %s", metricsPage, name)
		}
	}
	if own < 5 {
		t.Errorf("only %d metrics of the scaler", own)
	}
}

// exposed returns the names of the metrics at an address.
func exposed(t *testing.T, url string) (names []string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(string(content), -1) {
		names = append(names, match[1])
	}
	return names
}
