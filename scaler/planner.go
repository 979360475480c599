package scaler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Cluster is what Kubernetes holds.
type Cluster interface {
	ScaledJobs() []fleet.ScaledJob
	// Jobs includes those that ended, even if deleted, for as long as a
	// snapshot from before may be used.
	Jobs() []fleet.Job
	// Warn tells of something in an event on a ScaledJob.
	Warn(namespace, scaledJob, reason, message string)
}

// planner joins snapshots with what Kubernetes holds.
type planner struct {
	options Options
	cluster Cluster
	ledger  *fleet.Ledger
	watcher *watcher

	mu sync.Mutex
	// addresses are those by which triggers name this scaler: of ScaledJobs
	// that it was asked about. Those with other addresses are other scalers'.
	addresses map[string]bool
	// unbounded are the organizations whose parallel jobs cannot be read.
	unbounded map[string]bool
}

func newPlanner(options Options) *planner {
	p := &planner{
		options: options, cluster: options.Cluster, ledger: fleet.NewLedger(options.Cluster.Jobs),
		watcher: newWatcher(options.MaxAge), addresses: map[string]bool{}, unbounded: map[string]bool{},
	}
	if options.Address != "" {
		p.addresses[options.Address] = true
	}
	return p
}

// value gives what KEDA is to be told for the ScaledJob that asks. Who asks
// without being a ScaledJob in view is a ScaledObject, or so new that it has no
// Jobs to join.
func (p *planner) value(ctx context.Context, t *trigger, key plan.Key, snapshot *adoqueue.Snapshot) (int64, error) {
	list := p.cluster.ScaledJobs()
	i := slices.IndexFunc(list, func(s fleet.ScaledJob) bool { return s.Namespace == key.Namespace && s.Name == key.Name })
	if i < 0 {
		return t.value(snapshot, key.Name), nil
	}
	if err := faultOf(&list[i], t.count); err != nil {
		return 0, metadataError{err}
	}
	if t.count != countExact {
		return t.value(snapshot, key.Name), nil
	}
	p.learn(&list[i])
	made, watch := p.plan(ctx, list, t.organization, snapshot)
	group, ok := made.Groups[key]
	if !ok { // its trigger has changed since
		return t.value(snapshot, key.Name), nil
	}
	pool := poolKey{t.organization.URL.String(), snapshot.Pool.ID}
	p.watcher.asked(pool, key)
	if watch {
		p.watcher.watch(pool, p.look(t))
	}
	return group.Metric, nil
}

// look lets the ledger see a trigger's pool between two polls.
func (p *planner) look(t *trigger) look {
	return func(ctx context.Context) (at time.Time, more bool) {
		ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
		defer cancel()
		snapshot, err := t.organization.Queue.Snapshot(ctx, t.pool, p.options.MaxAge)
		if err != nil || snapshot.Err != nil {
			return time.Now(), true // KEDA is told when it asks
		}
		_, more = p.plan(ctx, p.cluster.ScaledJobs(), t.organization, snapshot)
		return snapshot.RequestedAt, more
	}
}

// plan shares out the requests of a snapshot. The snapshot is older than the
// view of the Jobs, which plan relies on. It also tells whether agents may take
// requests before the next poll.
func (p *planner) plan(ctx context.Context, list []fleet.ScaledJob, organization Organization, snapshot *adoqueue.Snapshot) (made plan.Plan, watch bool) {
	groups := p.groupsOf(p.members(list, organization, snapshot.Pool))
	made, pauses := p.ledger.Plan(fleet.Question{
		Organization: organization.URL, Snapshot: snapshot, Groups: groups,
		ParallelJobs: p.parallelJobs(ctx, organization, snapshot),
	})
	for _, pause := range pauses {
		p.options.Metrics.heldBack(pause.Key, pause.Until)
		if pause.New {
			p.options.Logger.Warn("a ScaledJob is held back",
				zap.String("namespace", pause.Namespace), zap.String("name", pause.Name), zap.String("reason", pause.Reason))
			p.cluster.Warn(pause.Namespace, pause.Name, "AgentsFail", pause.Reason)
		}
	}
	for key, group := range made.Groups {
		// Those that are to be idle may wait for hours.
		watch = watch || group.Queued > 0 || group.Waiting > groups[key].MinIdle
	}
	return made, watch
}

// parallelJobs are those of the organization if they are to bound the agents.
// They are no older than the snapshot: of a request that was given to an agent
// between the two, neither would know, and a Job too many be made.
func (p *planner) parallelJobs(ctx context.Context, organization Organization, snapshot *adoqueue.Snapshot) *adoqueue.ParallelJobs {
	if !p.options.CapByParallelJobs {
		return nil
	}
	limit, err := organization.Queue.ParallelJobs(ctx, time.Since(snapshot.RequestedAt))
	name := organization.URL.String()
	p.mu.Lock()
	told := p.unbounded[name]
	p.unbounded[name] = err != nil
	p.mu.Unlock()
	if err != nil {
		if !told {
			p.options.Logger.Warn("agents are not bounded by the organization's parallel jobs, which cannot be read",
				zap.String("organization", name), zap.Error(err))
		}
		return nil
	}
	return &limit
}

// learn takes in how a ScaledJob that asks names this scaler.
func (p *planner) learn(s *fleet.ScaledJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, metadata := range s.Triggers {
		p.addresses[metadata[scalerAddress]] = true
	}
}

func (p *planner) isOurs(metadata map[string]string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addresses[metadata[scalerAddress]]
}

// member is a ScaledJob with a trigger on a pool.
type member struct {
	*fleet.ScaledJob
	*trigger
}

// members are the ScaledJobs with a trigger on the pool that counts exactly.
func (p *planner) members(list []fleet.ScaledJob, organization Organization, pool adoqueue.Pool) []member {
	var members []member
	for i := range list {
		if faultOf(&list[i], countExact) != nil {
			continue // it is told when it asks
		}
		for _, metadata := range list[i].Triggers {
			t, err := parseTrigger(metadata, p.options.Organizations, countExact)
			if err == nil && p.isOurs(metadata) && t.count == countExact &&
				t.organization.URL.Same(organization.URL) && t.isOn(pool) {
				members = append(members, member{&list[i], t})
			}
		}
	}
	return members
}

// groupsOf are the groups that plan shares the requests out to.
func (p *planner) groupsOf(members []member) map[plan.Key]plan.Group {
	// That all registered agents match a request says little of a ScaledJob
	// which has none there now. So it counts only if no ScaledJob states
	// capabilities that meet the demands.
	stated := func(r *adoqueue.JobRequest) bool {
		return slices.ContainsFunc(members, func(m member) bool { return m.requests.offers(r) })
	}
	groups := map[plan.Key]plan.Group{}
	for _, m := range members {
		key := plan.Key{Namespace: m.Namespace, Name: m.Name}
		placeholder := p.placeholderName(&m.requests)
		groups[key] = plan.Group{
			Key: key, Priority: m.priority, Capabilities: len(m.requests.capabilities),
			MinIdle: int(m.minIdle), MinReplicas: m.MinReplicas, MaxReplicas: m.MaxReplicas,
			Serves: func(r *adoqueue.JobRequest) bool {
				if placeholder != "" && slices.Contains(r.MatchedAgents, placeholder) {
					return true
				}
				if r.MatchesAllAgents && m.requests.capabilities != nil && stated(r) {
					return m.requests.offers(r)
				}
				return m.requests.serves(r)
			},
		}
	}
	return groups
}

// strategies are those of KEDA that go with a count, the best one first. With
// another, KEDA would make Jobs again and again, or too few.
var strategies = map[string][]string{
	countExact:      {"default"},
	countOwned:      {"default"},
	countUnfinished: {"default", "custom"},
	countQueued:     {"accurate", "custom"},
}

// faultOf tells why a ScaledJob cannot work with a count.
func faultOf(s *fleet.ScaledJob, count string) error {
	var faults []string
	if fit := strategies[count]; !slices.Contains(fit, cmp.Or(s.Strategy, "default")) {
		faults = append(faults, fmt.Sprintf("scalingStrategy.strategy %q does not go with count %s, set it to %s",
			cmp.Or(s.Strategy, "default"), count, fit[0]))
	}
	if count == countExact && len(s.Triggers) > 1 {
		faults = append(faults, "it has several external triggers, make a ScaledJob for each pool")
	}
	if s.Parallelism != 1 {
		faults = append(faults, fmt.Sprintf("jobTargetRef.parallelism is %d, set it to 1, since each Job runs one agent", s.Parallelism))
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("the ScaledJob cannot work: %s", strings.Join(faults, "; "))
}

// isOn tells whether the trigger is about this pool.
func (t *trigger) isOn(pool adoqueue.Pool) bool {
	if t.pool.Name != "" {
		return strings.EqualFold(t.pool.Name, pool.Name)
	}
	return t.pool.ID == pool.ID
}
