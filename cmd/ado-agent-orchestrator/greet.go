package main

import (
	"context"
	"sync"

	"go.uber.org/zap"
)

// checkOrganizations checks the organizations without waiting for Kubernetes, which may
// not answer for long.
func (s commonSettings) checkOrganizations(ctx context.Context, logger *zap.Logger) error {
	all, err := s.open(nil)
	if err != nil {
		return err
	}
	defer all.close()
	all.check(ctx, logger)
	return nil
}

// check logs whether each organization can be read with its credential, so that a
// wrong token is known before the first job is queued. It returns when all have
// answered.
func (all opened) check(ctx context.Context, logger *zap.Logger) {
	var checks sync.WaitGroup
	for _, o := range all {
		checks.Go(func() {
			pools, err := o.cache.Check(ctx)
			organization := zap.Stringer("organization", o.organization.url)
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
