package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/housekeeping"
)

// housekeepingFlags switch on what is done to keep pools fit.
type housekeepingFlags struct {
	Placeholders  yesNo  `name:"placeholders" env:"PLACEHOLDERS" help:"Keep an offline agent in each pool for each set of capabilities, so that jobs can be queued while there are no agents."`
	OfflineAgents yesNo  `name:"offline-agents" env:"OFFLINE_AGENTS" help:"Remove agents of Jobs that ended without taking them out of the pool."`
	OfflineAfter  string `name:"offline-after" env:"OFFLINE_AFTER" default:"10m" help:"How long such an agent must have been offline, or a placeholder of no use, to be removed."`
	StuckAfter    string `name:"stuck-after" env:"STUCK_AFTER" default:"15m" help:"How long a Job's pod may take to start before an event tells of it; 0 is for ever."`
	DeleteStuck   yesNo  `name:"delete-stuck" env:"DELETE_STUCK" help:"Delete such Jobs."`
	DryRun        yesNo  `name:"housekeeping-dry-run" env:"HOUSEKEEPING_DRY_RUN" help:"Only tell what would be done."`
	Owner         string `name:"housekeeping-owner" env:"HOUSEKEEPING_OWNER" help:"Text that tells this scaler from others that keep the same pools; by default the UID of its namespace."`
}

// housekeeper is the checked settings.
type housekeeper struct {
	housekeeping.Settings
	owner string
}

func (m *mistakes) housekeeping(f housekeepingFlags, address string) housekeeper {
	h := housekeeper{owner: f.Owner, Settings: housekeeping.Settings{
		Placeholders:  m.yesNo("PLACEHOLDERS (--placeholders)", f.Placeholders),
		OfflineAgents: m.yesNo("OFFLINE_AGENTS (--offline-agents)", f.OfflineAgents),
		Grace:         m.duration("OFFLINE_AFTER (--offline-after)", f.OfflineAfter),
		DeleteStuck:   m.yesNo("DELETE_STUCK (--delete-stuck)", f.DeleteStuck),
		DryRun:        m.yesNo("HOUSEKEEPING_DRY_RUN (--housekeeping-dry-run)", f.DryRun),
	}}
	if f.StuckAfter != "0" {
		h.StuckAfter = m.duration("STUCK_AFTER (--stuck-after)", f.StuckAfter)
	}
	if h.pools() && address == "" {
		// A leader that KEDA never asks would not learn it.
		m.add("SCALER_ADDRESS (--scaler-address)", "is missing; PLACEHOLDERS and OFFLINE_AGENTS need it, to know their ScaledJobs")
	}
	return h
}

// pools tells whether agents of pools are seen to, and not just Jobs.
func (h housekeeper) pools() bool { return h.Placeholders || h.OfflineAgents }

// findOwner settles whose the agents are that are kept.
func (h *housekeeper) findOwner(ctx context.Context) error {
	if h.owner != "" || !h.pools() {
		return nil
	}
	found := kubernetesConfig()
	config, err := found.ClientConfig()
	if err != nil {
		return err
	}
	namespace, _, err := found.Namespace()
	if err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, viewWithin)
	defer cancel()
	if h.owner, err = housekeeping.OwnerIn(ctx, kube, namespace, "ado-agent-orchestrator"); err != nil {
		return fmt.Errorf("HOUSEKEEPING_OWNER (--housekeeping-owner) is not set: %w", err)
	}
	return nil
}

// keeper makes what keeps house, nil if there is nothing to keep.
func (s settings) keeper(view *fleet.Fleet, decisions *engine.Engine, registry *prometheus.Registry, logger *zap.Logger) (*housekeeping.Keeper, error) {
	h := s.housekeeper
	if view == nil {
		if h.pools() {
			return nil, errors.New("PLACEHOLDERS and OFFLINE_AGENTS need a view of Kubernetes: set KUBE=on to see what is in its way")
		}
		return nil, nil //nolint:nilnil // nothing to keep, nothing wrong
	}
	if !h.pools() && h.StuckAfter == 0 {
		return nil, nil //nolint:nilnil // nothing to keep, nothing wrong
	}
	config, err := kubernetesConfig().ClientConfig()
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	clients := map[string]*adoqueue.Client{}
	for _, o := range s.organizations {
		if clients[o.url.String()], err = o.client(nil); err != nil {
			return nil, err
		}
	}
	return housekeeping.New(housekeeping.Options{
		Settings: h.Settings, Owner: h.owner, Organizations: clients, Members: membersOf(decisions),
		Cluster: view, Pods: housekeeping.KubernetesPods{Client: kube},
		Metrics: housekeeping.NewMetrics(registry), Logger: logger,
	}), nil
}

// membersOf returns the ScaledJobs that housekeeping serves, as they are now.
func membersOf(decisions *engine.Engine) func() []housekeeping.Member {
	return func() []housekeeping.Member {
		var members []housekeeping.Member
		for _, m := range decisions.Members() {
			members = append(members, housekeeping.Member{
				Key: m.Key, Organization: m.Trigger.Organization.String(), Pool: m.Trigger.Pool,
				Capabilities: m.Trigger.Requests.Placeholder(),
			})
		}
		return members
	}
}
