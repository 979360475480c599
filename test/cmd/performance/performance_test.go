package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseProcessorTime(t *testing.T) {
	t.Parallel()
	const stat = "42 (a (odd) name) S 1 42 42 0 -1 4194304 900 0 0 0 120 30 0 0 20 0 8 0 100 1000000 2000 18446744073709551615"
	got, err := parseProcessorTime(stat)
	if want := 1500 * time.Millisecond; got != want || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, broken := range []string{"", "42 (name) S 1", strings.Replace(stat, "120 30", "x 30", 1)} {
		if got, err := parseProcessorTime(broken); err == nil {
			t.Errorf("%q: got %v", broken, got)
		}
	}
}

func TestParseMemory(t *testing.T) {
	t.Parallel()
	const status = "Name:\tx\nVmHWM:\t   90112 kB\nVmRSS:\t   81920 kB\n"
	for name, want := range map[string]int64{"VmHWM": 88 << 20, "VmRSS": 80 << 20} {
		if got, err := parseMemory(status, name); got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, want)
		}
	}
	if got, err := parseMemory(status, "VmSwap"); err == nil {
		t.Errorf("got %d of a field that is missing", got)
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      int
		want   time.Duration
	}{
		{nil, 99, 0},
		{hundred[:1], 50, 1},
		{hundred[:2], 50, 1},
		{hundred[:3], 99, 3},
		{hundred, 50, 50},
		{hundred, 99, 99},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("%d of %d values: got %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestReplaceTables(t *testing.T) {
	t.Parallel()
	const before, after = "# Title\n\n", "\nMore.\n"
	want := before + tablesBegin + "\nnew\n\n" + tablesEnd + after
	for _, old := range []string{"", "\nold\n\n"} {
		if got, err := replaceTables(before+tablesBegin+old+tablesEnd+after, "new\n"); got != want || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	for _, broken := range []string{"", tablesBegin, tablesEnd, tablesEnd + tablesBegin} {
		if got, err := replaceTables(broken, "new\n"); err == nil {
			t.Errorf("%q: got %q", broken, got)
		}
	}
}

// good are results that miss no bound.
func good(change func(*results)) results {
	s, err := parse([]string{"-azure-devops-latency", "50ms", "-duration", "60s"})
	if err != nil {
		panic(err)
	}
	r := results{
		settings: s,
		load:     load{polls: 12000, processor: 0.09, memory: memory{peak: 90 << 20}, p99: 74 * time.Millisecond},
		rates: rates{
			metrics: rate{calls: 80, took: time.Second, processor: time.Millisecond},
			health:  rate{calls: 100, took: time.Second, processor: time.Millisecond},
		},
		shared: []sharing{{one: 12, together: 12, spread: 60}, {jobsWait: true, one: 48, together: 50, spread: 60}},
	}
	change(&r)
	return r
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if err := good(func(*results) {}).check(); err != nil {
		t.Errorf("nothing is missed: %v", err)
	}
	for want, change := range map[string]func(*results){
		"no poll":         func(r *results) { r.load.polls = 0 },
		"polls failed":    func(r *results) { r.load.failures, r.load.firstFailure = 1, errors.New("unavailable") },
		"processor time":  func(r *results) { r.load.processor = 0.101 },
		"resident memory": func(r *results) { r.load.memory.peak = 97 << 20 },
		"99th percentile": func(r *results) { r.load.p99 = 76 * time.Millisecond },
		"rate of":         func(r *results) { r.rates.metrics.calls = 79 },
		"with 100":        func(r *results) { r.shared[0].together = 13 },
		"bound 61":        func(r *results) { r.shared[1].spread = 62 },
	} {
		if err := good(change).check(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
