package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// housekeepingFlags switch on what keeps pools fit for scaling.
type housekeepingFlags struct {
	Placeholders  bool          `name:"placeholders" env:"PLACEHOLDERS" default:"false" help:"Keep an offline agent in each pool for each distinct set of capabilities of its ScaledJobs, so that jobs can be queued while no agent runs. Your own agent that a trigger names as parent is not changed."`
	OfflineAgents bool          `name:"offline-agents" env:"OFFLINE_AGENTS" default:"false" help:"Remove the agents that finished Jobs left in the pool."`
	OfflineAfter  time.Duration `name:"offline-after" env:"OFFLINE_AFTER" default:"10m" min:"1s" help:"Offline time after which leftover agents and unused placeholders are removed."`
	StuckAfter    time.Duration `name:"stuck-after" env:"STUCK_AFTER" default:"15m" help:"Time that a Job's pod may take to start before an event and a metric report the reason; 0 disables."`
	DeleteStuck   bool          `name:"delete-stuck" env:"DELETE_STUCK" default:"false" help:"Delete Jobs whose pods do not start within $STUCK_AFTER."`
	EndIdle       bool          `name:"end-idle" env:"END_IDLE" default:"false" help:"Delete the Jobs of idle agents beyond the number that a trigger's warm sets, and of agents that warmMaxAge has replaced. Applies to Jobs with the label ado-agent-orchestrator.io/launcher: this project's launcher loses no job."`
	DryRun        bool          `name:"housekeeping-dry-run" env:"HOUSEKEEPING_DRY_RUN" default:"false" help:"Change nothing; log what housekeeping would do."`
	Owner         string        `name:"housekeeping-owner" env:"HOUSEKEEPING_OWNER" placeholder:"TEXT" unset:"namespace UID" help:"Identifies this scaler among others that manage the same pools. Default: the UID of its namespace."`
}

func (f *housekeepingFlags) check(p *setting.Problems, flags *serveFlags) {
	scaling := &flags.ScaledJobs
	if flags.View.Kube == off {
		for _, feature := range []*bool{&f.Placeholders, &f.OfflineAgents, &f.EndIdle, &scaling.EvictableIdle, &flags.Common.AnnotateJobs} {
			if *feature {
				p.AddAll([]any{feature, &flags.View.Kube}, "requires a view of Kubernetes, which off switches off")
			}
		}
	}
	if (f.Placeholders || f.OfflineAgents || f.EndIdle || scaling.EvictableIdle) && scaling.Address == "" && p.Sound(&scaling.Address) {
		// A leader that KEDA never asks would not learn it.
		p.Add(&scaling.Address, "is missing; PLACEHOLDERS, OFFLINE_AGENTS, END_IDLE and EVICTABLE_IDLE require it, to find their ScaledJobs")
	}
}

// housekeeper is what the flags ask for.
type housekeeper struct {
	housekeeping.Settings
	owner string
}

func (f *housekeepingFlags) housekeeper(scaling *scaledJobFlags, annotateJobs bool) housekeeper {
	return housekeeper{owner: f.Owner, Settings: housekeeping.Settings{
		Placeholders: f.Placeholders, OfflineAgents: f.OfflineAgents, Grace: f.OfflineAfter,
		StuckAfter: f.StuckAfter, DeleteStuck: f.DeleteStuck, EndIdle: f.EndIdle, EvictableIdle: scaling.EvictableIdle, AnnotateJobs: annotateJobs, DryRun: f.DryRun,
	}}
}

// pools reports whether housekeeping covers agents of pools, and not only Jobs.
func (h housekeeper) pools() bool { return h.Placeholders || h.OfflineAgents }

// idle reports whether housekeeping covers idle agents.
func (h housekeeper) idle() bool { return h.EndIdle || h.EvictableIdle }

// findOwner settles whose the agents are that are kept.
func (h *housekeeper) findOwner(ctx context.Context) error {
	if h.owner != "" || !h.pools() {
		return nil
	}
	found := kubernetesConfig()
	config, err := kubernetesClientConfig()
	if err != nil {
		return fmt.Errorf("PLACEHOLDERS (--placeholders) and OFFLINE_AGENTS (--offline-agents) require Kubernetes: %w", err)
	}
	namespace, _, err := found.Namespace()
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, viewTimeout)
	defer cancel()
	if h.owner, err = housekeeping.OwnerIn(ctx, kube, namespace, "ado-agent-orchestrator"); err != nil {
		return fmt.Errorf("HOUSEKEEPING_OWNER (--housekeeping-owner) is not set: %w", err)
	}
	return nil
}

// keeper makes what keeps house, nil if there is nothing to keep.
func (s settings) keeper(p parts) (*housekeeping.Keeper, error) {
	h := s.housekeeper
	if p.view == nil {
		if h.pools() || h.idle() || h.AnnotateJobs {
			return nil, errors.New("PLACEHOLDERS, OFFLINE_AGENTS, END_IDLE, EVICTABLE_IDLE and ANNOTATE_JOBS require a view of Kubernetes: set KUBE=on to get the reason")
		}
		return nil, nil //nolint:nilnil // nothing to keep, nothing wrong
	}
	if !h.pools() && h.StuckAfter == 0 && !h.idle() && !h.AnnotateJobs {
		return nil, nil //nolint:nilnil // nothing to keep, nothing wrong
	}
	config, err := kubernetesClientConfig()
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	clients := map[string]*adoqueue.Client{}
	for _, o := range s.organizations {
		if clients[o.url.String()], err = o.client(p.queue); err != nil {
			return nil, err
		}
	}
	pods := housekeeping.KubernetesPods{Client: kube}
	return housekeeping.New(housekeeping.Options{
		Settings: h.Settings, Owner: h.owner, Organizations: clients, Members: membersOf(p.decisions),
		Cluster: p.view, Pods: pods, Budgets: pods, Idle: p.decisions,
		Held: p.decisions, Jobs: housekeeping.KubernetesJobs{Client: kube},
		Metrics: housekeeping.NewMetrics(p.registry), Logger: p.logger,
	}), nil
}

// membersOf returns the ScaledJobs that housekeeping serves, as they are now.
func membersOf(decisions *engine.Engine) func() []housekeeping.Member {
	return func() []housekeeping.Member {
		var members []housekeeping.Member
		for _, m := range decisions.Members() {
			members = append(members, housekeeping.Member{
				Key: m.Key, Organization: m.Trigger.Organization.String(), Pool: m.Trigger.Pool,
				Capabilities: m.Trigger.Requests.Placeholder(), UID: m.ScaledJob.UID, Launcher: m.ScaledJob.Launcher,
			})
		}
		return members
	}
}
