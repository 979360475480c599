package main

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// checkable is an organization's Queue that can be checked.
type checkable interface {
	Check(ctx context.Context) (pools int, err error)
}

// checkOrganizations logs whether each organization can be read with its credential,
// so that a wrong token is known before the first job is queued. It returns when all
// have answered.
func checkOrganizations(ctx context.Context, organizations []engine.Organization, logger *zap.Logger) {
	var checks sync.WaitGroup
	for _, o := range organizations {
		queue, ok := o.Queue.(checkable)
		if !ok {
			continue
		}
		checks.Go(func() {
			pools, err := queue.Check(ctx)
			organization := zap.Stringer("organization", o.URL)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				logger.Warn("the organization cannot be read; retried with each poll", organization, zap.Error(err))
			case pools == 0:
				logger.Warn("the organization shows no agent pool: give the identity the role Reader on the pools", organization)
			default:
				logger.Info("the organization can be read", organization, zap.Int("pools", pools))
			}
		})
	}
	checks.Wait()
}
