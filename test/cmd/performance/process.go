package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: a hundredth of a second on every
// architecture that Go supports.
const tick = time.Second / 100

// processorTime returns the processor time that a process has used.
func processorTime(pid int) (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseProcessorTime(string(content))
}

// processorShare returns the processor time, of one core, that a process uses while
// do runs.
func processorShare(pid int, do func() error) (float64, error) {
	begin := time.Now()
	before, err := processorTime(pid)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := processorTime(pid)
	return (after - before).Seconds() / time.Since(begin).Seconds(), err
}

// parseProcessorTime reads utime and stime, fields 14 and 15 of /proc/PID/stat.
// The second field is the program's name in parentheses, which may hold spaces.
func parseProcessorTime(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat has too few fields")
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// memory is the resident memory of a process, in bytes.
type memory struct{ peak, mean int64 }

// sampleMemory returns the mean resident memory over a duration, and the peak
// since the start of the process.
func sampleMemory(ctx context.Context, pid int, d time.Duration) (m memory, err error) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	end := time.After(d)
	var sum, samples int64
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return m, err
		}
		now, err := parseMemory(string(status), "VmRSS")
		if err != nil {
			return m, err
		}
		if m.peak, err = parseMemory(string(status), "VmHWM"); err != nil {
			return m, err
		}
		sum, samples = sum+now, samples+1
		m.mean = sum / samples
		select {
		case <-ticker.C:
		case <-end:
			return m, nil
		case <-ctx.Done():
			return m, context.Cause(ctx)
		}
	}
}

// parseMemory reads a field of /proc/PID/status, which is in KiB.
func parseMemory(status, name string) (bytes int64, err error) {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/status: %s: %w", name, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("/proc/PID/status has no %s", name)
}
