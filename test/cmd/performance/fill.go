package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// ref is a ScaledJob as KEDA names it, with its pool.
type ref struct{ name, pool string }

// refsOf deals ScaledJobs to pools in turn.
func refsOf(scaledJobs, pools int) []ref {
	refs := make([]ref, scaledJobs)
	for i := range refs {
		refs[i] = ref{name: fmt.Sprintf("agents-%04d", i), pool: fmt.Sprintf("pool-%03d", i%pools)}
	}
	return refs
}

// azureDevOps is the stand-in with the ids of its pools.
type azureDevOps struct {
	*adotest.Server
	pools map[string]int
}

// listenAzureDevOps starts an Azure DevOps that takes a while for each answer.
func listenAzureDevOps(latency time.Duration) (*azureDevOps, error) {
	server, err := adotest.Listen("127.0.0.1:0", adotest.Options{PAT: cluster.ScalerPAT})
	if err != nil {
		return nil, err
	}
	if latency > 0 {
		server.Inject(adotest.Fault{Delay: latency})
	}
	return &azureDevOps{Server: server, pools: map[string]int{}}, nil
}

// addPool adds a pool unless it is there.
func (a *azureDevOps) addPool(name string) {
	if _, ok := a.pools[name]; !ok {
		a.pools[name] = a.AddPool(adotest.Pool{Name: name})
	}
}

// run registers an agent that runs a request.
func (a *azureDevOps) run(pool, agent string) error {
	if _, err := a.AddAgent(pool, adotest.Agent{Name: agent}); err != nil {
		return err
	}
	request, err := a.Queue(pool, adotest.Job{})
	if err != nil {
		return err
	}
	if err := a.Assign(request, agent); err != nil {
		return err
	}
	return a.Receive(request)
}

// fill creates ScaledJobs, Jobs with their pods, and the requests that the agents
// of half of them run.
func fill(ctx context.Context, s settings, c *apiServer, azure *azureDevOps) ([]ref, error) {
	refs := refsOf(s.scaledJobs, s.pools)
	poolOf := map[string]string{}
	for _, r := range refs {
		azure.addPool(r.pool)
		poolOf[r.name] = r.pool
	}
	scaledJobs, err := c.createScaledJobs(ctx, refs, azure.URL(), s.interval)
	if err != nil {
		return nil, err
	}
	if err := c.createJobs(ctx, scaledJobs, s.jobs); err != nil {
		return nil, err
	}
	progress("waiting for the Jobs' pods")
	pods, err := c.awaitPods(ctx, s.jobs)
	if err != nil {
		return nil, err
	}
	if err := c.run(ctx, pods); err != nil {
		return nil, err
	}
	return refs, occupy(azure, pods, poolOf)
}

// occupy has each second agent of a ScaledJob run a request; the others are
// waiting for one.
func occupy(azure *azureDevOps, pods []corev1.Pod, poolOf map[string]string) error {
	seen := map[string]int{}
	for i := range pods {
		owner := ownerOf(&pods[i])
		seen[owner]++
		if seen[owner]%2 == 0 {
			continue
		}
		if err := azure.run(poolOf[owner], pods[i].Name); err != nil {
			return err
		}
	}
	return nil
}
