package main

import (
	"errors"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/zap"
)

// memoryShare is the part of the container's memory that the Go runtime may use
// before it collects garbage at any cost. The rest is for the program's code and
// what the kernel counts.
const memoryShare = 0.9

// limitMemory sets GOMEMLIMIT by the container's limit, unless it is set: the
// runtime would let the heap double, and the kernel kill the program.
func limitMemory(logger *zap.Logger) {
	_, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	switch {
	case err == nil, errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
	default:
		logger.Warn("the container's memory limit cannot be read; set GOMEMLIMIT", zap.Error(err))
	}
}
