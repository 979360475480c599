package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"google.golang.org/grpc"
)

// callTimeout bounds one call; KEDA itself sets no deadline.
const callTimeout = time.Minute

// poller asks for ScaledJobs as KEDA does, over the one connection that KEDA has
// to a scaler.
type poller struct {
	client externalscaler.ExternalScalerClient
	refs   []*externalscaler.ScaledObjectRef

	mu     sync.Mutex
	took   []time.Duration // of polls since the last reset
	failed int
	first  error // of the failed
}

func newPoller(conn grpc.ClientConnInterface, refs []ref) *poller {
	p := &poller{client: externalscaler.NewExternalScalerClient(conn)}
	for _, r := range refs {
		p.refs = append(p.refs, r.message())
	}
	return p
}

func (r ref) message() *externalscaler.ScaledObjectRef {
	return &externalscaler.ScaledObjectRef{
		Name: r.name, Namespace: namespace,
		ScalerMetadata: map[string]string{"scalerAddress": scalerAddress, "poolName": r.pool},
	}
}

// spread polls each ScaledJob once per interval, evenly spread over it, until ctx
// ends.
func (p *poller) spread(ctx context.Context, interval time.Duration) {
	every(ctx, interval/time.Duration(len(p.refs)), func(n int) { p.poll(ctx, p.refs[n%len(p.refs)]) })
}

// together polls all ScaledJobs at the same time, once per interval, until ctx
// ends.
func (p *poller) together(ctx context.Context, interval time.Duration) {
	every(ctx, interval, func(int) {
		var polls sync.WaitGroup
		for _, ref := range p.refs {
			polls.Go(func() { p.poll(ctx, ref) })
		}
		polls.Wait()
	})
}

// every calls do once per interval, in a separate goroutine, until ctx ends. It
// returns when the calls have.
func every(ctx context.Context, interval time.Duration, do func(n int)) {
	var running sync.WaitGroup
	defer running.Wait()
	begin := time.Now()
	for n := 0; sleep(ctx, time.Until(begin.Add(time.Duration(n)*interval))) == nil; n++ {
		running.Go(func() { do(n) })
	}
}

// callsPerPoll is how many calls KEDA makes in a poll.
const callsPerPoll = 3

// poll makes the three calls of a poll of KEDA. A poll that the end of ctx cuts
// off does not count.
func (p *poller) poll(ctx context.Context, ref *externalscaler.ScaledObjectRef) {
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	begin := time.Now()
	err := p.calls(bounded, ref)
	took := time.Since(begin)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = append(p.took, took)
	if err != nil {
		p.failed++
		if p.first == nil {
			p.first = err
		}
	}
}

func (p *poller) calls(ctx context.Context, ref *externalscaler.ScaledObjectRef) error {
	spec, err := p.client.GetMetricSpec(ctx, ref)
	if err != nil {
		return err
	}
	if len(spec.GetMetricSpecs()) != 1 {
		return errors.New("GetMetricSpec did not return one metric")
	}
	request := &externalscaler.GetMetricsRequest{ScaledObjectRef: ref, MetricName: spec.GetMetricSpecs()[0].GetMetricName()}
	if _, err := p.client.GetMetrics(ctx, request); err != nil {
		return err
	}
	_, err = p.client.IsActive(ctx, ref)
	return err
}

// reset forgets the polls so far.
func (p *poller) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took, p.failed, p.first = nil, 0, nil
}

// latencies returns how long the polls took, the shortest first.
func (p *poller) latencies() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.took))
}

func (p *poller) failures() (n int, first error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed, p.first
}

// percentile returns the smallest of sorted values that p percent of them do not
// exceed, 0 if there are none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}
