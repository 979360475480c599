package page

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// Bounds of a page: the rows of each table over all pools together, of which each
// pool has its share, but never fewer than a few. A page about one pool, run or
// ScaledJob has room for more.
const (
	rows         = 50
	rowsFiltered = 500
	fewRows      = 5
	maxPools     = 50
	maxProblems  = 10
)

// view is what the page shows, in words.
type view struct {
	Version       string
	Title         string
	Headline      headline
	Problems      []problemView
	Strip         []station
	Contenders    []contenderView
	Pools         []poolView
	MorePools     int
	Unpooled      []scaledJobView
	Organizations []organizationView
	Filter        explain.Filter
	Filtered      bool
	MadeAt, Since *moment
	PodsInView    bool
}

// headline is the answer to the question that somebody opens the page with.
type headline struct {
	Broken   bool
	Party    party
	Sentence string
	Fix      string
	Since    *moment
	Summary  string
}

// problemView is one broken link.
type problemView struct {
	Party               party
	Step                explain.Step
	Sentence, Fix, Jobs string
	Pool, Anchor        string
	Since               *moment
}

type organizationView struct {
	explain.Organization

	Expires, ThrottledUntil *moment
	FailingSince            *moment
	ExpiresSoon             bool
	Delayed                 string
}

// expiresSoon is how long before its end a credential is pointed out.
const expiresSoon = 14 * 24 * time.Hour

func viewOf(r *explain.Report, filter explain.Filter) *view {
	problems := problemsOf(r)
	v := &view{
		Headline: headlineOf(r, problems), Strip: stripOf(r, problems),
		Filter: filter, Filtered: filter.Pool != "" || filter.Run != "" || filter.ScaledJob != "" || filter.Request != 0,
		MadeAt: momentOf(r.MadeAt, r.MadeAt), Since: momentOf(r.Since, r.MadeAt), PodsInView: r.PodsInView,
	}
	v.Title = "all is well"
	if v.Headline.Broken {
		v.Title = string(v.Headline.Party)
		if len(problems) > 0 {
			v.Title += ": " + string(problems[0].broken.Step)
		}
	}
	for _, p := range problems[:min(len(problems), maxProblems)] {
		v.Problems = append(v.Problems, problemViewOf(p, r.MadeAt))
	}
	for i := range r.Organizations {
		v.Organizations = append(v.Organizations, organizationViewOf(&r.Organizations[i], r.MadeAt))
	}
	budget := rows
	if v.Filtered {
		budget = rowsFiltered
	}
	shown := r.Pools[:min(len(r.Pools), maxPools)]
	v.MorePools = len(r.Pools) - len(shown)
	for i := range shown {
		v.Pools = append(v.Pools, poolViewOf(&shown[i], r, max(budget/len(shown), fewRows)))
	}
	for i := range r.Unpooled[:min(len(r.Unpooled), budget)] {
		v.Unpooled = append(v.Unpooled, scaledJobViewOf(&r.Unpooled[i], r.MadeAt))
	}
	return v
}

func headlineOf(r *explain.Report, problems []problem) headline {
	s := r.Summary
	h := headline{Summary: fmt.Sprintf("%s served, %d with an agent on its way, %d stopped, %d finished.",
		count(s.Served, "job"), s.Coming, s.Stopped, s.Finished)}
	switch {
	case len(problems) > 0:
		first := problems[0].broken
		h.Broken, h.Party, h.Sentence, h.Fix, h.Since = true, blame(first), first.Sentence, first.Fix, momentOf(first.Since, r.MadeAt)
	case !r.OK():
		h.Broken, h.Party, h.Sentence, h.Fix = true, azureDevOps, "Azure DevOps cannot be read: no list of pools has come yet.", "see the organization below"
	case len(r.Pools) == 0:
		h.Sentence = "No pool is known yet: KEDA has not polled a ScaledJob, or nothing matches."
	case s.Coming > 0:
		h.Sentence = "Nothing is broken: " + count(s.Coming, "agent") + " on the way."
	case s.Served > 0:
		h.Sentence = "Nothing is broken: each queued job has its agent."
	default:
		h.Sentence = "Nothing is broken: no job is waiting."
	}
	return h
}

func problemViewOf(p problem, now time.Time) problemView {
	v := problemView{
		Party: blame(p.broken), Step: p.broken.Step, Sentence: p.broken.Sentence, Fix: p.broken.Fix,
		Anchor: "unpooled-title", Since: momentOf(p.broken.Since, now),
	}
	if p.pool != nil {
		v.Pool, v.Anchor = nameOf(p.pool), anchor(p.pool)
	}
	if p.jobs > 0 {
		v.Jobs = count(p.jobs, "job") + " stopped"
	}
	return v
}

func organizationViewOf(o *explain.Organization, now time.Time) organizationView {
	return organizationView{
		Organization: *o, Expires: momentOf(o.CredentialExpires, now), ThrottledUntil: momentOf(o.ThrottledUntil, now),
		FailingSince: momentOf(o.FailingSince, now),
		ExpiresSoon:  !o.CredentialExpires.IsZero() && o.CredentialExpires.Sub(now) < expiresSoon,
		Delayed:      duration(time.Duration(o.DelayedSeconds * float64(time.Second))),
	}
}

// station is one step of the strip.
type station struct {
	Step  explain.Step
	Party party
	// Here is how many unfinished jobs have come this far and no further, Stuck how
	// many do not get here.
	Here, Stuck int
	Broken      bool
	// First marks the first broken link.
	First bool
}

func stripOf(r *explain.Report, problems []problem) []station {
	var strip []station
	for _, step := range explain.Steps() {
		strip = append(strip, station{Step: step, Party: parties[step]})
	}
	at := func(step explain.Step) *station {
		i := slices.IndexFunc(strip, func(s station) bool { return s.Step == step })
		return &strip[max(i, 0)]
	}
	for i := range r.Pools {
		for _, stage := range r.Pools[i].Stages {
			at(stage.Step).Here += stage.Requests
		}
	}
	for i, p := range problems {
		s := at(p.broken.Step)
		s.Broken, s.First = true, s.First || i == 0
		s.Stuck += p.jobs
	}
	return strip
}

// Contender is one of several ways to scale that run side by side.
type Contender struct {
	Name, Pool, Note string
	// Done are the jobs that were run, Jobs the Kubernetes Jobs made for them, and
	// Surplus those whose agent never took a job.
	Done, Jobs, Surplus int
	// Waits are how long jobs waited for their agents.
	Waits []time.Duration
}

type contenderView struct {
	Contender

	Mean, Long string
	Anchor     string
}

func contendersOf(contenders []Contender) (views []contenderView) {
	for _, c := range contenders {
		waits := slices.Sorted(slices.Values(c.Waits))
		v := contenderView{Contender: c, Mean: "–", Long: "–"}
		if len(waits) > 0 {
			v.Mean, v.Long = duration(mean(waits)), duration(quantile(waits, 0.95))
		}
		views = append(views, v)
	}
	return views
}

func mean(d []time.Duration) time.Duration {
	var sum time.Duration
	for _, each := range d {
		sum += each
	}
	return sum / time.Duration(max(len(d), 1))
}

// quantile is that of durations in order, of which there is at least one.
func quantile(d []time.Duration, q float64) time.Duration {
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// anchor is the id of a pool's part of the page.
func anchor(p *explain.Pool) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(p.Organization)) // never fails
	if p.ID == 0 {                           // it was never read, as all of them when the scaler starts
		_, _ = sum.Write([]byte("\n" + p.Name))
	}
	return fmt.Sprintf("pool-%d-%08x", p.ID, sum.Sum32())
}

// nameOf is how people may name a pool: one that was never read may have an id alone.
func nameOf(p *explain.Pool) string { return cmp.Or(p.Name, strconv.Itoa(p.ID)) }

// firstOf returns the first n of a list, broken ones before the others, and how many
// are left out.
func firstOf[T any](all []T, n int, broken func(*T) bool) (shown []T, more int) {
	for _, wanted := range []bool{true, false} {
		for i := range all {
			if len(shown) < n && broken(&all[i]) == wanted {
				shown = append(shown, all[i])
			}
		}
	}
	return shown, len(all) - len(shown)
}
