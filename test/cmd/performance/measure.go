package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// measurement is what is measured.
type measurement struct {
	settings
	server  *apiServer
	azure   *azureDevOps
	program string
	log     io.Writer
	scaler  *cluster.Scaler
	keda    *grpc.ClientConn
	refs    []ref
}

// measure fills the control plane and an Azure DevOps, starts the scaler beside
// them and measures it.
func measure(ctx context.Context, s settings, plane *controlplane.ControlPlane, program string, log io.Writer) (r results, err error) {
	r.settings = s
	server, err := newAPIServer(plane)
	if err != nil {
		return r, err
	}
	azure, err := listenAzureDevOps(s.latency)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, azure.Close()) }()
	progress("creating %d ScaledJobs and %d Jobs", s.scaledJobs, s.jobs)
	refs, err := fill(ctx, s, server, azure)
	if err != nil {
		return r, fmt.Errorf("create ScaledJobs and Jobs: %w", err)
	}
	m := measurement{settings: s, server: server, azure: azure, program: program, log: log, refs: refs}
	started := time.Now()
	m.scaler, err = m.startScaler("KUBE=on", "KUBECONFIG="+plane.Kubeconfig())
	if err != nil {
		return r, err
	}
	r.start = time.Since(started)
	defer func() { err = errors.Join(err, m.scaler.Stop()) }()
	m.keda, err = connect(m.scaler.Addr)
	if err != nil {
		return r, err
	}
	defer m.keda.Close()
	err = m.all(ctx, &r)
	return r, err
}

// startScaler starts the program.
func (m measurement) startScaler(env ...string) (*cluster.Scaler, error) {
	env = append(env, "ORG_URL="+m.azure.URL(), "ORG_PAT="+cluster.ScalerPAT)
	return cluster.StartScaler(m.program, append(env, m.env...), m.log)
}

func connect(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func (m measurement) all(ctx context.Context, r *results) error {
	var err error
	if r.load, err = m.load(ctx); err != nil {
		return fmt.Errorf("measure the load of polls: %w", err)
	}
	if r.floor, err = m.floor(ctx); err != nil {
		return fmt.Errorf("measure health checks: %w", err)
	}
	if m.rate.rounds > 0 {
		progress("calling as fast as possible, %d rounds of %v", 2*m.rate.rounds, m.rate.length)
		if r.rates, err = m.rates(ctx); err != nil {
			return fmt.Errorf("measure rates: %w", err)
		}
	}
	if m.sharing > 0 {
		if r.shared, err = m.shared(ctx); err != nil {
			return fmt.Errorf("count requests to Azure DevOps: %w", err)
		}
	}
	return nil
}

// sleep returns the cause if the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
