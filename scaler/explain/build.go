package explain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

const (
	// agentsMaxAge is how old a list of a pool's agents may be while one is awaited,
	// and idleAgentsMaxAge otherwise. They are listed only while somebody looks.
	agentsMaxAge     = 15 * time.Second
	idleAgentsMaxAge = 5 * time.Minute
	// agentsTimeout is how long a Report waits for that, for all pools together.
	agentsTimeout = time.Second
	// maxListed bounds the pools of a Report whose agents are listed.
	maxListed = 20
)

// builder is the state of making one Report.
type builder struct {
	options *Options
	cluster Cluster
	filter  Filter
	now     time.Time
	report  *Report
	status  map[adoqueue.OrganizationURL]adoqueue.Status
	pools   []*poolBuilder
	// unpooled are the ScaledJobs whose pool is unknown now.
	unpooled map[plan.Key]bool
}

// poolBuilder is the state of one pool's part of a Report.
type poolBuilder struct {
	organization adoqueue.OrganizationURL
	pool         adoqueue.Pool
	history      poolCopy     // without last if no decision was made
	counted      *countedCopy // nil if nothing was counted from requests alone
	members      []engine.MemberState
	view         poolView
	scaledJobs   map[plan.Key]*scaledJobView
	order        []plan.Key
	jobs         map[string]*fleet.Job // by UID
	nearest      map[*adoqueue.Demand]*nearest
	demands      map[*adoqueue.Demand][]string
}

func (b *builder) addOrganization(o ServedOrganization) {
	added := Organization{URL: o.URL.String(), Credential: o.Credential}
	if o.Reader != nil {
		s := o.Reader.Status()
		b.status[o.URL] = s
		added.Requests, added.DelayedSeconds, added.CredentialExpires = s.Requests, s.Delayed.Seconds(), s.CredentialExpires
		if s.Directory.Err != nil {
			added.Error, added.FailingSince = cause(s.Directory.Err), s.Directory.FailingSince
		}
		if s.ThrottledUntil.After(b.now) {
			added.ThrottledUntil = s.ThrottledUntil
		}
	}
	b.report.Organizations = append(b.report.Organizations, added)
}

// addPools finds the pools of the report, with their ScaledJobs.
func (b *builder) addPools(histories []poolCopy, counted []countedCopy, members []engine.MemberState) {
	var all []*poolBuilder
	for _, h := range histories {
		all = append(all, &poolBuilder{organization: h.key.organization, pool: h.last.Snapshot.Pool, history: h})
	}
	slices.SortFunc(members, func(x, y engine.MemberState) int {
		return cmp.Or(strings.Compare(x.ScaledJob.Key.Namespace, y.ScaledJob.Key.Namespace), strings.Compare(x.ScaledJob.Key.Name, y.ScaledJob.Key.Name))
	})
	for i := range members {
		m := members[i]
		if m.Trigger == nil {
			b.unpooled[m.ScaledJob.Key] = true
			if b.filter.hasScaledJob(m.ScaledJob.Key) && b.filter.Pool == "" {
				b.report.Unpooled = append(b.report.Unpooled, b.invalid(&m))
			}
			continue
		}
		at := slices.IndexFunc(all, func(p *poolBuilder) bool { return p.named(m.Trigger.Organization, m.Trigger.Pool) })
		if at < 0 {
			all = append(all, &poolBuilder{
				organization: m.Trigger.Organization, pool: adoqueue.Pool{ID: m.Trigger.Pool.ID, Name: m.Trigger.Pool.Name},
			})
			at = len(all) - 1
		}
		all[at].members = append(all[at].members, m)
	}
	for _, p := range b.addCounted(all, counted) {
		if p.followed(b.now) && b.filter.hasPool(p.pool.ID, p.pool.Name) {
			b.pools = append(b.pools, p)
		}
	}
}

// followed reports whether anything is known of the pool still. Nobody follows one
// that no ScaledJob names any more: what became of its unfinished requests is unknown.
func (p *poolBuilder) followed(now time.Time) bool {
	if len(p.members) > 0 || p.history.last == nil {
		return true
	}
	age := now.Sub(p.history.last.MadeAt)
	if age > shownFor {
		p.history.unfinished, p.history.omitted = nil, 0
	}
	return age <= keepFor || p.counted != nil
}

// named reports whether triggers name the pool so.
func (p *poolBuilder) named(organization adoqueue.OrganizationURL, ref adoqueue.PoolRef) bool {
	if p.organization != organization {
		return false
	}
	if ref.Name != "" {
		return strings.EqualFold(ref.Name, p.pool.Name)
	}
	return ref.ID == p.pool.ID
}

// shareOut divides the bounds among the pools.
func (b *builder) shareOut() {
	for _, bound := range []*int{&b.filter.MaxRequests, &b.filter.MaxScaledJobs} {
		*bound = share(*bound, len(b.pools))
	}
}

// share is a pool's part of a bound.
func share(bound, pools int) int { return max(1, bound/max(1, pools)) }

// invalid is a ScaledJob whose trigger has mistakes.
func (b *builder) invalid(m *engine.MemberState) ScaledJob {
	view := &scaledJobView{key: m.ScaledJob.Key, member: m, max: m.ScaledJob.MaxReplicas}
	s := scaledJobOf(view)
	if m.Unresolved {
		s.State, s.Broken = NotPolled, view.asking(b.now)
		return s
	}
	s.State = Invalid
	sentence := "the metadata of the trigger of ScaledJob " + m.ScaledJob.Key.String() + " has mistakes"
	if m.Err != nil {
		sentence += ": " + cause(m.Err)
	}
	s.Broken = &Broken{Step: StepCounted, Code: CodeInvalid, Sentence: sentence, Fix: "change what the sentence names; the command doctor checks it"}
	return s
}

// addPool adds a pool to the report.
func (b *builder) addPool(p *poolBuilder) {
	b.look(p)
	made := Pool{
		Organization: p.organization.String(), ID: p.pool.ID, Name: p.pool.Name,
		AzureDevOps: AzureDevOps{LastRead: p.view.reading.At, FailingSince: p.view.reading.FailingSince},
		Stages:      []Stage{}, ScaledJobs: []ScaledJob{}, Requests: []Request{}, Decisions: []Decision{},
	}
	if p.view.reading.Err != nil {
		made.AzureDevOps.Error = cause(p.view.reading.Err)
	}
	made.Broken = cmp.Or(p.view.broken(b.now), p.unasked(b.now), p.uncounted(b.now), p.view.withoutAgents())
	b.addCallers(p, &made)
	b.addRequests(p, &made)
	b.addScaledJobs(p, &made)
	made.Decisions = append(made.Decisions, p.history.decisions...)
	made.Omitted.Decisions = p.history.kept - len(made.Decisions)
	found := len(made.Requests) > 0 || !b.filter.particular() && (b.filter.ScaledJob == "" || len(made.ScaledJobs)+len(made.Counted) > 0)
	if !found && made.Broken == nil {
		return
	}
	b.report.Pools = append(b.report.Pools, made)
}

// look reads what the sentences about a pool depend on.
func (b *builder) look(p *poolBuilder) {
	status := b.status[p.organization]
	p.view.name, p.view.throttledUntil, p.view.podsInView = p.pool.Name, status.ThrottledUntil, b.report.PodsInView
	p.view.standalone = b.options.Standalone
	p.identify(&status)
	p.view.reading = status.Pools[p.pool.ID]
	if p.view.reading.At.IsZero() && p.view.reading.Err == nil {
		p.view.reading.Err, p.view.reading.FailingSince = status.Directory.Err, status.Directory.FailingSince
	}
	p.scaledJobs, p.jobs, p.nearest = map[plan.Key]*scaledJobView{}, map[string]*fleet.Job{}, map[*adoqueue.Demand]*nearest{}
	p.demands = map[*adoqueue.Demand][]string{}
	for i := range p.members {
		m := &p.members[i]
		p.scaledJobs[m.ScaledJob.Key] = &scaledJobView{key: m.ScaledJob.Key, member: m, max: m.ScaledJob.MaxReplicas}
		p.order = append(p.order, m.ScaledJob.Key)
	}
	if p.history.last != nil {
		for i := range p.history.last.Groups {
			p.addGroup(&p.history.last.Groups[i])
		}
		p.view.scaledJobs = len(p.history.last.Groups)
	}
	p.view.pods = map[string]bool{}
	if b.cluster == nil {
		return
	}
	p.view.outOfDate = b.cluster.OutOfDate()
	for _, key := range p.order {
		s := p.scaledJobs[key]
		s.ready = b.cluster.Ready(key)
		jobs := b.cluster.JobsOf(key)
		for i := range jobs {
			p.addJob(s, &jobs[i])
		}
	}
}

// identify finds a pool that is known by its name alone, since its jobs were never read.
func (p *poolBuilder) identify(status *adoqueue.Status) {
	if p.pool.ID != 0 {
		return // as nearly all have; there may be thousands
	}
	for id, reading := range status.Pools {
		if strings.EqualFold(reading.Pool, p.pool.Name) {
			p.pool.ID = id
		}
	}
}

func (p *poolBuilder) addGroup(g *plan.Group) {
	s := p.scaledJobs[g.Key]
	if s == nil {
		s = &scaledJobView{key: g.Key}
		p.scaledJobs[g.Key] = s
		p.order = append(p.order, g.Key)
	}
	last := p.history.last
	s.plan, s.block, s.max = last.Plan.Groups[g.Key], last.Blocks[g.Key], g.MaxReplicas
	s.stray, s.placeholder, s.idle = last.Strays[g.Key], g.Placeholder, s.plan.Idle
}

func (p *poolBuilder) addJob(s *scaledJobView, job *fleet.Job) {
	p.jobs[job.UID] = job
	for i := range job.Pods {
		p.view.pods[strings.ToLower(job.Pods[i].Name)] = true
	}
	if job.Name == s.block.Job && len(job.Pods) > 0 {
		s.failed = job.Pods[len(job.Pods)-1].Status
	}
}

// unasked is what concerns a pool that KEDA asks for no ScaledJob of, so that nothing
// new is known of it.
func (p *poolBuilder) unasked(now time.Time) *Broken {
	var first *Broken
	for _, key := range p.order {
		s := p.scaledJobs[key]
		if s.member == nil || s.member.ScaledJob.Paused || s.member.ScaledJob.Deleting {
			continue
		}
		b := s.asking(now)
		if b == nil || b.Code != CodeNotPolled {
			return nil
		}
		first = cmp.Or(first, b)
	}
	return first
}

// addScaledJobs adds those of a pool, after its requests.
func (b *builder) addScaledJobs(p *poolBuilder, made *Pool) {
	for _, key := range p.order {
		if !b.filter.hasScaledJob(key) || b.unpooled[key] { // which was in the last decision
			continue
		}
		if len(made.ScaledJobs) >= b.filter.MaxScaledJobs {
			made.Omitted.ScaledJobs++
			continue
		}
		s := scaledJobOf(p.scaledJobs[key])
		s.Broken = cmp.Or(p.scaledJobs[key].blocked(), p.scaledJobs[key].withoutPlaceholder(&p.view), s.Broken)
		if s.Broken == nil && s.State == Scaling {
			s.Broken = p.scaledJobs[key].asking(b.now)
			if s.Broken != nil && s.Broken.Code == CodeNotPolled {
				s.State = NotPolled
			}
		}
		made.ScaledJobs = append(made.ScaledJobs, s)
	}
	made.passBroken()
}

// passBroken has ScaledJobs in which nothing else is broken show the first broken link
// of their requests.
func (made *Pool) passBroken() {
	whole := make(map[string]*ScaledJob, len(made.ScaledJobs))
	for i := range made.ScaledJobs {
		if s := &made.ScaledJobs[i]; s.Broken == nil {
			whole[s.Namespace+"/"+s.Name] = s
		}
	}
	for i := range made.Requests {
		r := &made.Requests[i]
		if r.Broken == nil || r.Broken.Code == CodeTaken {
			continue
		}
		if s := whole[r.ScaledJob]; s != nil && s.Broken == nil {
			s.Broken = r.Broken
		}
	}
}

// withoutPlaceholder explains a ScaledJob for which no agent is registered that
// Azure DevOps could match jobs with.
func (s *scaledJobView) withoutPlaceholder(p *poolView) *Broken {
	if s.placeholder == "" || p.agents == nil || p.agents[strings.ToLower(s.placeholder)] != nil || len(p.agents) == 0 {
		return nil
	}
	return &Broken{
		Step: StepQueued, Code: CodePlaceholder,
		Sentence: "the placeholder of ScaledJob " + s.key.String() + " is not registered, so that Azure DevOps may fail its jobs at once while no agent of it runs",
		Fix:      "see the ScaledJob's events: the credential needs the right to manage agents, and one replica has to be the leader",
	}
}

func scaledJobOf(v *scaledJobView) ScaledJob {
	s := ScaledJob{
		Namespace: v.key.Namespace, Name: v.key.Name, MaxReplicas: v.max, State: Scaling,
		Unfinished: v.plan.Unfinished, Waiting: v.plan.Waiting, Busy: v.plan.Busy, Draining: v.plan.Draining,
		Queued: v.plan.Queued, Missing: v.plan.Missing,
	}
	switch v.block.Cause {
	case engine.Invalid:
		s.State = Invalid
	case engine.Deleting:
		s.State = Deleting
	case engine.Paused:
		s.State = Paused
	case engine.NotPolled, engine.Unresolved:
		s.State = NotPolled
	case engine.HeldBack:
		s.State = HeldBack
	}
	m := v.member
	if m == nil {
		return s
	}
	if m.ScaledJob.Paused {
		s.State = Paused
	}
	s.MinReplicas, s.PollingInterval = m.ScaledJob.MinReplicas, int(m.ScaledJob.PollingInterval/time.Second)
	s.PolledAt = m.PolledAt
	for _, warning := range m.Warnings {
		s.Warnings = append(s.Warnings, safetext.Line(warning))
	}
	if !m.Answered.IsZero() {
		s.Reported = &Reported{Value: m.Answer.Value, At: m.Answered}
	}
	if m.Err != nil {
		s.Error = cause(m.Err)
	}
	if m.Trigger != nil {
		s.Capabilities = mask(safetext.Line(m.Trigger.Requests.Capabilities.String()))
		s.Priority, s.MinIdle, s.Count = m.Trigger.Priority, v.idle, m.Trigger.Count.Name
	}
	return s
}
