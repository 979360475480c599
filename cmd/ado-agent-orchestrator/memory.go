package main

import (
	"errors"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/zap"
)

// memoryShare is the part of the container's memory that the Go runtime may use
// before it collects garbage at any cost. The rest is for the program's code and
// what the kernel counts.
const memoryShare = 0.9

// garbageShare is how much the heap may grow over what is in use, in percent. At the
// runtime's 100 %, some attacks would bring the process near the chart's 256 MiB.
const garbageShare = 50

// limitMemory sets GOGC, and GOMEMLIMIT by the container's limit, unless they are set:
// the runtime would let the heap double, and the kernel kill the program.
func limitMemory(logger *zap.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageShare)
	}
	_, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	switch {
	case err == nil, errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
	default:
		logger.Warn("the container's memory limit cannot be read; set GOMEMLIMIT", zap.Error(err))
	}
}
