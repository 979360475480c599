package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

const (
	sampleEvery = 2 * time.Second
	// growth is how much larger the second half's lower quartile may be than the
	// first's. The lower quartile is what is left after garbage collections; peaks
	// do not move it.
	growth = 1.10
	// slack is what may be added in any case.
	memorySlack    = 4 << 20
	goroutineSlack = 8
)

// The metrics that must not grow.
const (
	resident   = "process_resident_memory_bytes"
	heap       = "go_memstats_heap_inuse_bytes"
	goroutines = "go_goroutines"
	files      = "process_open_fds"
)

// The scaler remembers finished jobs for explain, up to a number and at up to 30 MiB
// for all of them. Their memory is no growth, and is subtracted.
const (
	waits         = "ado_agent_orchestrator_job_wait_seconds_count"
	maxRemembered = 10_000
	rememberedJob = 30 << 20 / maxRemembered // bytes
)

// samples are the metrics of the scaler over time.
type samples struct {
	warmUp time.Duration // is left out: caches and the heap have to get to their size
	values map[string][]float64
}

// watch samples until ctx ends.
func (s *samples) watch(ctx context.Context, scaler *cluster.Scaler) error {
	s.values = map[string][]float64{}
	_ = cluster.Sleep(ctx, s.warmUp) // the loop looks at ctx
	for ctx.Err() == nil {
		now, err := read(context.WithoutCancel(ctx), scaler.HTTPAddr)
		if err != nil {
			return err
		}
		s.add(now)
		_ = cluster.Sleep(ctx, sampleEvery)
	}
	return nil
}

// add adds a sample of all metrics.
func (s *samples) add(now map[string]float64) {
	remembered := min(now[waits], maxRemembered) * rememberedJob
	for _, name := range []string{resident, heap, goroutines, files} {
		value := now[name]
		if name == resident || name == heap {
			value -= remembered
		}
		s.values[name] = append(s.values[name], value)
	}
}

// read reads the metrics that must not grow, and how many jobs are remembered.
func read(ctx context.Context, addr string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{") // a sum over all ScaledJobs
		if !slices.Contains([]string{resident, heap, goroutines, files, waits}, name) {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		values[name] += value
	}
	if values[waits] += 0; len(values) != 5 { // there may be none yet
		return nil, fmt.Errorf("the scaler has only the metrics %v", values)
	}
	return values, nil
}

// halves are the lower quartiles of both halves of a metric.
func (s *samples) halves(name string) (first, second float64) {
	values := s.values[name]
	return quartile(values[:len(values)/2]), quartile(values[len(values)/2:])
}

func quartile(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/4]
}

// String shows both halves of each metric.
func (s *samples) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d samples without what finished jobs are remembered by, the lower quartile of the first and of the second half:", len(s.values[resident]))
	for _, name := range []string{resident, heap} {
		first, second := s.halves(name)
		fmt.Fprintf(&b, "\n%s: %.1f MiB, %.1f MiB, peak %.1f MiB", name, first/(1<<20), second/(1<<20), slices.Max(append(s.values[name], 0))/(1<<20))
	}
	for _, name := range []string{goroutines, files} {
		first, second := s.halves(name)
		fmt.Fprintf(&b, "\n%s: %.0f, %.0f, peak %.0f", name, first, second, slices.Max(append(s.values[name], 0)))
	}
	return b.String()
}

// problems are the metrics that grow.
func (s *samples) problems() error {
	const enough = 20
	if n := len(s.values[resident]); n < enough {
		return fmt.Errorf("%d samples show nothing, soak for longer", n)
	}
	var errs []error
	for name, slack := range map[string]float64{resident: memorySlack, heap: memorySlack, goroutines: goroutineSlack, files: goroutineSlack} {
		if first, second := s.halves(name); second > first*growth+slack {
			errs = append(errs, fmt.Errorf("%s grows: %.0f in the first half, %.0f in the second", name, first, second))
		}
	}
	return errors.Join(errs...)
}
