package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The bounds that -check enforces.
const (
	maxProcessor = 0.10
	maxMemory    = 96 << 20
	maxLatency   = 25 * time.Millisecond // besides one request to Azure DevOps
	minRatio     = 0.8
)

// results are what was measured.
type results struct {
	settings
	start  time.Duration // until the scaler had its view of Kubernetes
	load   load
	floor  float64 // processor time of as many health checks
	rates  rates
	shared []sharing
}

// tables returns the results in Markdown.
func (r results) tables() string {
	var b strings.Builder
	r.writeLoad(&b)
	if r.rate.rounds > 0 {
		r.writeRates(&b)
	}
	if r.sharing > 0 {
		r.writeShared(&b)
	}
	return b.String()
}

func (r results) writeLoad(b *strings.Builder) {
	fmt.Fprintf(b, "%d ScaledJobs, %d pools, %d Jobs, each ScaledJob polled every %v, Azure DevOps answering in %v, measured for %v:\n\n",
		r.scaledJobs, r.pools, r.jobs, r.interval, r.latency, r.duration)
	b.WriteString("| | measured | bound |\n|---|--:|--:|\n")
	row := func(name, measured, bound string) { fmt.Fprintf(b, "| %s | %s | %s |\n", name, measured, bound) }
	row("start, until serving", fmt.Sprintf("%.1f s", r.start.Seconds()), "")
	row("polls", strconv.Itoa(r.load.polls), "")
	row("failed polls", strconv.Itoa(r.load.failures), "0")
	row("processor time, of one core", fmt.Sprintf("%.1f %%", 100*r.load.processor), fmt.Sprintf("%.0f %%", 100*maxProcessor))
	row("processor time of as many health checks", fmt.Sprintf("%.1f %%", 100*r.floor), "")
	row("resident memory, peak since the start", mebibytes(r.load.memory.peak), mebibytes(maxMemory))
	row("resident memory, mean", mebibytes(r.load.memory.mean), "")
	row("poll of three calls, median", milliseconds(r.load.p50), "")
	row("poll of three calls, 99th percentile", milliseconds(r.load.p99), milliseconds(r.maxP99()))
	row("requests to Azure DevOps, per pool and minute", fmt.Sprintf("%.1f", r.load.requests), fmt.Sprintf("%.0f", time.Minute.Seconds()/pollingDelay.Seconds()))
}

func (r results) writeRates(b *strings.Builder) {
	fmt.Fprintf(b, "\nAs fast as possible, %d connections with %d calls in flight each, %d rounds of %v each in turn:\n\n",
		r.rate.connections, r.rate.concurrency, r.rate.rounds, r.rate.length)
	b.WriteString("| call | per second | processor time of the scaler per call |\n|---|--:|--:|\n")
	row := func(name string, r rate) {
		fmt.Fprintf(b, "| %s | %.0f | %.1f µs |\n", name, r.perSecond(), float64(r.perCall())/float64(time.Microsecond))
	}
	row("GetMetrics on a warm pool", r.rates.metrics)
	row("grpc.health.v1 Check", r.rates.health)
	fmt.Fprintf(b, "| ratio (bound: %.1f) | %.2f | %.2f |\n", minRatio, r.rates.ratio(), r.rates.processorRatio())
}

func (r results) writeShared(b *strings.Builder) {
	fmt.Fprintf(b, "\nRequests to Azure DevOps about one pool in %v, by its ScaledJobs:\n\n", r.duration.Truncate(r.interval))
	fmt.Fprintf(b, "| | one ScaledJob | %d, polled together | %d, polls spread |\n|---|--:|--:|--:|\n", r.sharing, r.sharing)
	for _, s := range r.shared {
		name := "nothing queued"
		if s.jobsWait {
			name = "jobs wait"
		}
		fmt.Fprintf(b, "| %s | %d | %d | %d |\n", name, s.one, s.together, s.spread)
	}
}

// maxP99 is the bound of a poll's latency: one that comes when the snapshot has
// expired waits for a request to Azure DevOps.
func (r results) maxP99() time.Duration { return maxLatency + r.latency }

// check returns an error for each bound that is missed.
func (r results) check() error {
	var errs []error
	bound := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bound(r.load.polls > 0, "no poll was measured")
	bound(r.load.failures == 0, "%d of %d polls failed, the first with: %w", r.load.failures, r.load.polls, r.load.firstFailure)
	bound(r.load.processor < maxProcessor, "processor time is %.1f %% of one core, bound %.0f %%", 100*r.load.processor, 100*maxProcessor)
	bound(r.load.memory.peak < maxMemory, "resident memory is %s, bound %s", mebibytes(r.load.memory.peak), mebibytes(maxMemory))
	bound(r.load.p99 < r.maxP99(), "99th percentile of polls is %v, bound %v", r.load.p99, r.maxP99())
	if r.rate.rounds > 0 {
		bound(r.rates.ratio() >= minRatio, "rate of GetMetrics is %.2f of that of the health check, bound %.1f", r.rates.ratio(), minRatio)
	}
	for _, s := range r.shared {
		most := int(r.duration.Truncate(r.interval)/pollingDelay) + 1
		bound(max(s.one, s.together, s.spread) <= most, "%+v requests to Azure DevOps, bound %d", s, most)
		bound(s.jobsWait || s.one == s.together, "%d requests to Azure DevOps with %d ScaledJobs, %d with one", s.together, r.sharing, s.one)
	}
	return errors.Join(errs...)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
