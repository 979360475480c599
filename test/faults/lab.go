package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// Lab is where faults are tried.
type Lab struct {
	Cluster  *cluster.Cluster
	Programs cluster.Programs
	Record   *cluster.JobRecord
	// Dir gets the logs.
	Dir string
}

// NewLab starts a cluster, with its files in a directory. stop ends it.
func NewLab(ctx context.Context, dir string) (lab *Lab, stop func() error, err error) {
	programs, err := cluster.Build(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(dir, "clients.log"))
	if err != nil {
		return nil, nil, err
	}
	// Messages of a client of Kubernetes about a fault are no progress.
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(log, nil)))
	plane, err := controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(dir, "control-plane")})
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	stop = func() error { return errors.Join(plane.StopKeepingLogs(), log.Close()) }
	c, err := cluster.New(ctx, plane, programs)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	record, err := cluster.RecordJobs(ctx, c.Kube)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return &Lab{Cluster: c, Programs: programs, Record: record, Dir: dir}, stop, nil
}

// Setup is what a fault may change about its part of the cluster.
type Setup struct {
	cluster.EnvOptions

	// Processes runs agents as processes of our launcher in place of played ones.
	Processes bool
	// Env is added to the scaler's environment.
	Env []string
	// Job changes the ScaledJob.
	Job func(*workload.ScaledJob)
	// Front makes what stands between the scaler and its organization; nil is
	// nothing.
	Front func(azure *adotest.Server, dir string) (front *Front, err error)
	// Replicas is the number of scalers, by default one. KEDA is connected to the
	// first.
	Replicas int
	// Failing reports that Jobs may fail before they take a job.
	Failing bool
	// Disk is a small file system for the agents' folders.
	Disk bool
}

// Front is what stands between a scaler and its organization.
type Front struct {
	URL   string
	Env   []string // of the scaler
	Wrap  []string // the command that runs the scaler's, if any
	Break func()
	Mend  func()
	Close func() error
}

// lock is how long Azure DevOps waits for an agent that is gone; in reality, 10 minutes.
const lock = 5 * time.Second

// agentTimes are those of played agents.
var agentTimes = cluster.AgentTimes{
	PodStart: 300 * time.Millisecond, Registration: 300 * time.Millisecond, Cleaning: 300 * time.Millisecond,
	Patience: time.Minute,
}

// prepare makes an environment for a fault and deploys a ScaledJob there. end
// removes both.
func (l *Lab) prepare(ctx context.Context, f Fault) (t *Trial, end func() error, err error) {
	played := &cluster.Agents{AgentTimes: agentTimes}
	t = &Trial{Fault: f, lab: l, killed: map[string]bool{}, cancelled: map[int64]bool{}}
	t.setup = Setup{Replicas: 1, EnvOptions: cluster.EnvOptions{
		Azure: adotest.Options{ReceiveDelay: 100 * time.Millisecond, LockDuration: lock}, Plan: played.Plan,
	}}
	if f.Setup != nil {
		f.Setup(&t.setup)
	}
	if t.setup.Processes {
		t.setup.Plan, t.setup.Azure.ReceiveDelay = nil, 0
	}
	if t.Env, err = l.Cluster.NewEnv(ctx, t.setup.EnvOptions); err != nil {
		return nil, nil, err
	}
	played.Azure = t.Azure
	for _, pool := range t.Azure.Snapshot().Pools {
		t.pool = pool.ID // the only one
	}
	ends := []func() error{t.Close}
	end = func() error {
		var errs []error
		for i := range ends {
			errs = append(errs, ends[len(ends)-1-i]())
		}
		return errors.Join(errs...)
	}
	for _, step := range []func(context.Context) (func() error, error){t.connect, t.mount, t.start, t.deploy} {
		stop, err := step(ctx)
		if stop != nil {
			ends = append(ends, stop)
		}
		if err != nil {
			return nil, nil, errors.Join(err, end())
		}
	}
	return t, end, nil
}

// connect makes the network paths of the scaler.
func (t *Trial) connect(context.Context) (end func() error, err error) {
	t.dir = filepath.Join(t.lab.Dir, t.Namespace)
	if err := os.MkdirAll(t.dir, 0o750); err != nil {
		return nil, err
	}
	t.front = &Front{URL: t.Azure.URL(), Close: func() error { return nil }}
	if t.setup.Front != nil {
		if t.front, err = t.setup.Front(t.Azure, t.dir); err != nil {
			return nil, err
		}
	}
	t.tap = &Tap{}
	if t.KEDA, err = NewLink("", t.tap.Connection); err != nil {
		return t.front.Close, err
	}
	end = func() error { return errors.Join(t.KEDA.Close(), t.front.Close()) }
	config, err := clientcmd.LoadFromFile(t.Plane.Kubeconfig())
	if err != nil {
		return end, err
	}
	entry := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	if t.API, err = NewLink(entry.Server[len("https://"):], nil); err != nil {
		return end, err
	}
	entry.Server = "https://" + t.API.Addr
	err = clientcmd.WriteToFile(*config, t.kubeconfig())
	return func() error { return errors.Join(t.API.Close(), t.KEDA.Close(), t.front.Close()) }, err
}

func (t *Trial) kubeconfig() string { return filepath.Join(t.dir, "kubeconfig") }
func (t *Trial) patFile() string    { return filepath.Join(t.dir, "pat") }

// WritePAT replaces the scaler's token, as Kubernetes does in a mounted Secret.
func (t *Trial) WritePAT(pat string) error {
	next := t.patFile() + ".next"
	if err := os.WriteFile(next, []byte(pat+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, t.patFile())
}

// start starts the scalers.
func (t *Trial) start(context.Context) (end func() error, err error) {
	if err := t.WritePAT(cluster.ScalerPAT); err != nil {
		return nil, err
	}
	end = func() error {
		var errs []error
		for _, s := range t.Scalers {
			errs = append(errs, s.stop())
		}
		return errors.Join(errs...)
	}
	for i := range t.setup.Replicas {
		s := &replica{trial: t, log: filepath.Join(t.dir, fmt.Sprintf("scaler-%d.log", i))}
		t.Scalers = append(t.Scalers, s)
		if err := s.start(); err != nil {
			return end, err
		}
	}
	t.KEDA.Retarget(t.Scalers[0].Addr)
	return end, nil
}

// replica is one scaler, which may be started again.
type replica struct {
	*cluster.Scaler

	trial   *Trial
	log     string
	file    *os.File
	address string // of its first start, or ""
	stopped bool
}

func (r *replica) start() error {
	t := r.trial
	env := append([]string{
		"ORG_URL=" + t.front.URL, "ORG_PAT_FILE=" + t.patFile(),
		"KUBE=on", "KUBECONFIG=" + t.kubeconfig(), "KUBE_NAMESPACES=" + t.Namespace,
		"GRPC_ADDR=" + cmp.Or(r.address, "127.0.0.1:0"), "SCALER_ADDRESS=" + t.KEDA.Addr,
	}, append(t.front.Env, t.setup.Env...)...)
	file, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r.Scaler, err = cluster.StartScalerBy(append(slices.Clone(t.front.Wrap), t.lab.Programs.Scaler), env, file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	r.file, r.address, r.stopped = file, r.Addr, false
	return nil
}

// stop ends it as Kubernetes does. That it had ended by itself is an error.
func (r *replica) stop() error {
	if r.Scaler == nil || r.stopped {
		return nil
	}
	r.stopped = true
	err := r.Stop()
	if err != nil {
		err = fmt.Errorf("the scaler was gone or did not stop as usual, see %s: %w", r.log, err)
	}
	return errors.Join(err, r.file.Close())
}

// kill ends it without notice.
func (r *replica) kill() error {
	r.stopped = true
	return errors.Join(r.Kill(), r.file.Close())
}

// deploy applies the ScaledJob and waits until KEDA polls it steadily: it
// reconciles a new one twice, which restarts its loop.
func (t *Trial) deploy(ctx context.Context) (end func() error, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("KEDA did not become ready for the ScaledJob"))
	defer cancel()
	job := workload.ScaledJob{
		Namespace: t.Namespace, Name: scaledJob, ScalerAddress: t.KEDA.Addr,
		OrganizationURL: t.Azure.URL(), Pool: cluster.Pool, PollingInterval: 2 * time.Second,
	}
	if t.setup.Disk {
		job.Env = map[string]string{"DISK": t.disk()}
	}
	if t.setup.Job != nil {
		t.setup.Job(&job)
	}
	end = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return t.Delete(ctx, scaledJob)
	}
	if err := t.Apply(ctx, job); err != nil {
		return nil, err
	}
	var failed error
	isReady := func() bool {
		object, err := t.ScaledJob(ctx, scaledJob)
		if err != nil {
			failed = err
			return true
		}
		condition, _ := workload.Condition(object, "Ready")
		return condition.Status == metav1.ConditionTrue
	}
	if err := errors.Join(cluster.Until(ctx, isReady), failed); err != nil {
		return end, err
	}
	return end, t.polledAgain(ctx, 3)
}
