package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

const (
	// starvedAfter is when a job that still waits is given up.
	starvedAfter = time.Minute
	// deployTimeout bounds the time until KEDA is ready for a ScaledJob.
	deployTimeout = 2 * time.Minute
	// authentication is the name of the built-in scaler's TriggerAuthentication.
	authentication = "azure-devops"
)

// trial is a run that goes on.
type trial struct {
	run
	env    *cluster.Env
	agents *cluster.Agents
	record *cluster.JobRecord
	queued []int64 // requests of the scenario's jobs
	begin  time.Time
	asked  int // requests to Azure DevOps before the begin
}

// measureOne measures a run in a separate environment.
func (l laboratory) measureOne(ctx context.Context, r run) (res result, err error) {
	t := &trial{run: r, record: l.record, agents: &cluster.Agents{AgentTimes: agentTimes, Capabilities: r.scenario.capabilities}}
	t.env, err = l.cluster.NewEnv(ctx, cluster.EnvOptions{
		Azure: adotest.Options{ReceiveDelay: receiving}, Plan: t.agents.Plan, Capabilities: values([]string{common, rare}),
	})
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, t.env.Close()) }()
	t.agents.Azure = t.env.Azure // before there are pods
	stop, err := l.deploy(ctx, t)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := t.feed(ctx); err != nil {
		return result{}, err
	}
	if err := t.settle(ctx); err != nil {
		return result{}, err
	}
	res = t.result()
	if err := l.keepTimeline(t, res); err != nil {
		return result{}, err
	}
	return res, nil
}

// deploy makes the ScaledJobs and waits until KEDA polls them steadily. The
// result ends them, and the scaler if it is ours.
func (l laboratory) deploy(ctx context.Context, t *trial) (stop func() error, err error) {
	if err := t.occupy(ctx); err != nil {
		return nil, err
	}
	address, stopScaler, err := l.startContender(ctx, t)
	if err != nil {
		return nil, err
	}
	stop = func() error { return errors.Join(t.undeploy(), stopScaler()) }
	for _, g := range t.scenario.groups {
		if err := t.env.Apply(ctx, t.scaledJob(g, address)); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	if err := t.ready(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// occupy keeps the agents of somebody else busy for the whole run.
func (t *trial) occupy(ctx context.Context) error {
	for i := range t.scenario.foreign {
		agent := fmt.Sprintf("of-somebody-else-%d", i+1)
		if _, err := t.env.Azure.AddAgent(cluster.Pool, adotest.Agent{Name: agent}); err != nil {
			return err
		}
		if _, err := t.env.Azure.Queue(cluster.Pool, adotest.Job{Name: "of somebody else"}); err != nil {
			return err
		}
	}
	return cluster.Sleep(ctx, 2*receiving)
}

// startContender starts our scaler, or creates the Secret that KEDA's own requires.
func (l laboratory) startContender(ctx context.Context, t *trial) (address string, stop func() error, err error) {
	nothing := func() error { return nil }
	if !t.contender.ours {
		parameters := map[string]string{"personalAccessToken": "token"}
		object := workload.TriggerAuthentication(t.env.Namespace, authentication, workload.TokenSecret, parameters)
		return "", nothing, t.env.CreateAuthentication(ctx, object)
	}
	log, err := os.Create(filepath.Join(l.dir, t.env.Namespace+".log"))
	if err != nil {
		return "", nil, err
	}
	variables := []string{"ORG_URL=" + t.env.Azure.URL(), "ORG_PAT=" + cluster.ScalerPAT, "KUBE=" + l.kube}
	if l.kube != "off" {
		// The ScaledJobs of the other runs name the same pool, of another organization.
		variables = append(variables, "KUBECONFIG="+l.cluster.Plane.Kubeconfig(), "KUBE_NAMESPACES="+t.env.Namespace)
	}
	scaler, err := cluster.StartScaler(l.program, append(variables, l.env...), log)
	if err != nil {
		return "", nil, errors.Join(err, log.Close())
	}
	return scaler.Addr, func() error { return errors.Join(scaler.Stop(), log.Close()) }, nil
}

func (t *trial) scaledJob(g group, scalerAddress string) workload.ScaledJob {
	metadata := map[string]string{}
	maps.Copy(metadata, t.contender.metadata)
	if g.capabilities != nil {
		metadata[t.contender.capabilities] = strings.Join(g.capabilities, ",")
	}
	job := workload.ScaledJob{
		Namespace: t.env.Namespace, Name: g.name, ScalerAddress: scalerAddress,
		OrganizationURL: t.env.Azure.URL(), Pool: cluster.Pool, Metadata: metadata,
		PollingInterval: t.interval, Strategy: t.contender.strategy,
	}
	if !t.contender.ours {
		job.Authentication = authentication
	}
	return job
}

// ready waits until KEDA says so of all ScaledJobs, and then for two polls: KEDA
// reconciles a new one twice, which restarts its loop.
func (t *trial) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, deployTimeout, errors.New("KEDA did not become ready for the ScaledJobs"))
	defer cancel()
	for _, g := range t.scenario.groups {
		var failed error
		isReady := func() bool {
			object, err := t.env.ScaledJob(ctx, g.name)
			if err != nil {
				failed = err
				return true
			}
			condition, _ := workload.Condition(object, "Ready")
			return condition.Status == metav1.ConditionTrue
		}
		if err := errors.Join(cluster.Until(ctx, isReady), failed); err != nil {
			return err
		}
	}
	return cluster.Sleep(ctx, 2*t.interval+time.Second)
}

// undeploy ends KEDA's polls before the scaler and Azure DevOps end.
func (t *trial) undeploy() error {
	ctx, cancel := context.WithTimeout(context.Background(), deployTimeout)
	defer cancel()
	var errs []error
	for _, g := range t.scenario.groups {
		errs = append(errs, t.env.Delete(ctx, g.name))
	}
	return errors.Join(errs...)
}
