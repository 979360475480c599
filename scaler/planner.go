package scaler

import (
	"cmp"
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
	cluster       Cluster
	organizations []Organization
	metrics       *Metrics
	logger        *zap.Logger

	mu        sync.Mutex
	histories map[poolKey]*plan.History
	// addresses are those by which triggers name this scaler: of ScaledJobs
	// that it was asked about. Those with other addresses are other scalers'.
	addresses map[string]bool
	backoffs  map[plan.Key]*backoff
}

// poolKey tells the pools of all organizations apart.
type poolKey struct {
	organization string
	pool         int
}

func newPlanner(options Options) *planner {
	return &planner{
		cluster: options.Cluster, organizations: options.Organizations, metrics: options.Metrics, logger: options.Logger,
		histories: map[poolKey]*plan.History{}, addresses: map[string]bool{}, backoffs: map[plan.Key]*backoff{},
	}
}

// value gives what KEDA is to be told for the ScaledJob that asks. Who asks
// without being a ScaledJob in view is a ScaledObject, or so new that it has no
// Jobs to join.
func (p *planner) value(t *trigger, key plan.Key, snapshot *adoqueue.Snapshot) (int64, error) {
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
	groups := groupsOf(p.members(list, t.organization, snapshot.Pool))
	if _, ok := groups[key]; !ok { // its trigger has changed since
		return t.value(snapshot, key.Name), nil
	}
	return p.plan(groups, t.organization, snapshot).Groups[key].Metric, nil
}

// plan joins the snapshot with the Jobs of the groups. The snapshot is older
// than the view of the Jobs, which plan relies on.
func (p *planner) plan(groups map[plan.Key]plan.Group, organization Organization, snapshot *adoqueue.Snapshot) plan.Plan {
	jobs := p.cluster.Jobs()
	in := plan.Input{Snapshot: snapshot, Jobs: planJobs(jobs, groups, snapshot)}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := poolKey{organization.URL.String(), snapshot.Pool.ID}
	history := p.histories[key]
	if history == nil {
		history = &plan.History{}
		p.histories[key] = history
	}
	history.Observe(snapshot, in.Jobs)
	in.Held = history.Held
	for key, group := range groups {
		group.Blocked = p.blocked(key, jobs, history)
		in.Groups = append(in.Groups, group)
	}
	return plan.Make(in)
}

// blocked is why a ScaledJob gets no new Jobs now. A new pause is told of where
// people look.
func (p *planner) blocked(key plan.Key, jobs []fleet.Job, history *plan.History) string {
	own := slices.DeleteFunc(slices.Clone(jobs), func(job fleet.Job) bool {
		return job.Namespace != key.Namespace || job.ScaledJob != key.Name
	})
	b := p.backoffs[key]
	if b == nil {
		b = &backoff{}
		p.backoffs[key] = b
	}
	failures := b.failures
	b.observe(own, history.Held)
	reason := b.blocked(time.Now())
	p.metrics.heldBack(key, b.until)
	if reason != "" && b.failures != failures {
		p.logger.Warn("a ScaledJob is held back", zap.String("namespace", key.Namespace), zap.String("name", key.Name), zap.String("reason", reason))
		p.cluster.Warn(key.Namespace, key.Name, "AgentsFail", reason)
	}
	return reason
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
			t, err := parseTrigger(metadata, p.organizations, countExact)
			if err == nil && p.isOurs(metadata) && t.count == countExact &&
				t.organization.URL.Same(organization.URL) && t.isOn(pool) {
				members = append(members, member{&list[i], t})
			}
		}
	}
	return members
}

// groupsOf are the groups that plan shares the requests out to.
func groupsOf(members []member) map[plan.Key]plan.Group {
	// That all registered agents match a request says little of a ScaledJob
	// which has none there now. So it counts only if no ScaledJob states
	// capabilities that meet the demands.
	stated := func(r *adoqueue.JobRequest) bool {
		return slices.ContainsFunc(members, func(m member) bool { return m.requests.offers(r) })
	}
	groups := map[plan.Key]plan.Group{}
	for _, m := range members {
		key := plan.Key{Namespace: m.Namespace, Name: m.Name}
		groups[key] = plan.Group{
			Key: key, Priority: m.priority, Capabilities: len(m.requests.capabilities),
			MinIdle: int(m.minIdle), MinReplicas: m.MinReplicas, MaxReplicas: m.MaxReplicas,
			Serves: func(r *adoqueue.JobRequest) bool {
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

// planJobs are the Jobs of the groups, with the agents that the snapshot shows
// of them.
func planJobs(all []fleet.Job, groups map[plan.Key]plan.Group, snapshot *adoqueue.Snapshot) []plan.Job {
	agents := map[string][]string{}
	for i := range snapshot.Requests {
		if name := snapshot.Requests[i].Agent; name != "" {
			prefix := fleet.PrefixOfPod(name)
			agents[prefix] = append(agents[prefix], name)
		}
	}
	var jobs []plan.Job
	for _, job := range all {
		key := plan.Key{Namespace: job.Namespace, Name: job.ScaledJob}
		if _, ok := groups[key]; ok {
			jobs = append(jobs, plan.Job{
				UID: job.UID, Group: key, Agents: agents[job.PodPrefix()], Created: job.Created, Ended: job.Ended,
			})
		}
	}
	return jobs
}

// isOn tells whether the trigger is about this pool.
func (t *trigger) isOn(pool adoqueue.Pool) bool {
	if t.pool.Name != "" {
		return strings.EqualFold(t.pool.Name, pool.Name)
	}
	return t.pool.ID == pool.ID
}
