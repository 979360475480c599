package fleet

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/lru"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// Index holds ScaledJobs, their Jobs and the pods of these, by ScaledJob. It is
// kept by events, one object at a time, so that reading costs what is read.
type Index struct {
	rememberFor time.Duration
	changed     func(plan.Key)

	mu         sync.Mutex
	scaledJobs map[plan.Key]*ScaledJob
	objects    map[plan.Key]*ScaledObject
	jobs       map[plan.Key]*jobSet
	owners     map[string]plan.Key // by UID of the Job
	orphans    map[string][]Pod    // pods that came before their Job, by its UID
	swept      time.Time
	podsInView bool
	ready      map[plan.Key]Condition
	refusals   *lru.Cache // of Refusal, by UID of the Job
}

// jobSet is the Jobs of one ScaledJob.
type jobSet struct {
	byUID map[string]*entry
	list  []Job // nil if it has to be made again; never changed once made
	until time.Time
}

// entry is a Job and what is known of it besides.
type entry struct {
	job  Job
	pods map[string]Pod
	// forgetAt is when an entry that no event may end is dropped, zero for never.
	forgetAt time.Time
}

// NewIndex returns an empty index. A Job that was deleted stays in it for
// rememberFor, which has to be longer than any snapshot is used: the Job may have
// taken a request that a snapshot from before shows as queued.
func NewIndex(rememberFor time.Duration) *Index {
	return &Index{
		rememberFor: rememberFor, changed: func(plan.Key) {},
		scaledJobs: map[plan.Key]*ScaledJob{}, objects: map[plan.Key]*ScaledObject{}, jobs: map[plan.Key]*jobSet{},
		owners: map[string]plan.Key{}, orphans: map[string][]Pod{}, swept: time.Now(),
		ready: map[plan.Key]Condition{}, refusals: lru.New(maxRefusals),
	}
}

// OnChange sets the function that is called after each change from now on, with
// the ScaledJob that the change is about.
func (x *Index) OnChange(changed func(plan.Key)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.changed = changed
}

func (x *Index) notify(key plan.Key) {
	x.mu.Lock()
	changed := x.changed
	x.mu.Unlock()
	changed(key)
}

// SetScaledJob adds a ScaledJob or replaces the one of its name.
func (x *Index) SetScaledJob(s *ScaledJob) {
	x.mu.Lock()
	old := x.scaledJobs[s.Key]
	same := old != nil && old.equal(s)
	if !same {
		x.scaledJobs[s.Key] = s
	}
	x.mu.Unlock()
	if !same {
		x.notify(s.Key)
	}
}

// DeleteScaledJob removes a ScaledJob. Its Jobs stay until they are deleted.
func (x *Index) DeleteScaledJob(key plan.Key) {
	x.mu.Lock()
	_, known := x.scaledJobs[key]
	delete(x.scaledJobs, key)
	delete(x.ready, key)
	x.mu.Unlock()
	if known {
		x.notify(key)
	}
}

// SetScaledObject adds a ScaledObject or replaces the one of its name. No change
// is notified: what a ScaledObject gets is no part of any other's.
func (x *Index) SetScaledObject(o *ScaledObject) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.objects[o.Key]; old == nil || !old.equal(o) {
		x.objects[o.Key] = o
	}
}

// DeleteScaledObject removes a ScaledObject.
func (x *Index) DeleteScaledObject(key plan.Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.objects, key)
}

// SetJob adds a Job or replaces the one of its UID.
func (x *Index) SetJob(job Job) {
	if x.put(job, time.Time{}) {
		x.notify(job.Owner())
	}
}

// AddCreated adds a Job that this program has just created, before an event
// shows it. If none ever does, the Job came and went unseen.
func (x *Index) AddCreated(job Job) {
	if x.put(job, time.Now().Add(x.rememberFor)) {
		x.notify(job.Owner())
	}
}

// DeleteJob marks a Job as deleted.
func (x *Index) DeleteJob(job Job) {
	now := time.Now()
	if job.Ended.IsZero() {
		job.Ended = now
	}
	x.put(job, now.Add(x.rememberFor))
	x.notify(job.Owner())
}

// put reports whether anything that matters has changed.
func (x *Index) put(job Job, forgetAt time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := job.Owner()
	set := x.jobs[key]
	if set == nil {
		set = &jobSet{byUID: map[string]*entry{}}
		x.jobs[key] = set
	}
	e := set.byUID[job.UID]
	if e == nil {
		e = &entry{pods: map[string]Pod{}}
		for _, pod := range x.orphans[job.UID] {
			e.pods[pod.Name] = pod
		}
		delete(x.orphans, job.UID)
		set.byUID[job.UID] = e
		x.owners[job.UID] = key
	}
	same := e.job.equal(&job)
	if !same || e.job.Annotated != job.Annotated || !e.forgetAt.Equal(forgetAt) {
		e.job, e.forgetAt, set.list = job, forgetAt, nil
	}
	x.sweep() // after its pods have been found
	return !same
}

// SetPod adds a pod of a Job or replaces the one of its name.
func (x *Index) SetPod(pod Pod) { x.setPod(pod) }

// DeletePod marks a pod as deleted. Its agent may be in the pool a while longer.
func (x *Index) DeletePod(pod Pod) {
	pod.Ended = true
	x.setPod(pod)
}

func (x *Index) setPod(pod Pod) {
	if pod.JobUID == "" {
		return // not a Job's
	}
	x.mu.Lock()
	x.sweep() // no Job may come for days
	key, known := x.owners[pod.JobUID]
	changed := false
	if known {
		e := x.jobs[key].byUID[pod.JobUID]
		known := e.pods[pod.Name]
		changed = !known.equal(pod)
		if known != pod {
			e.pods[pod.Name] = pod
			x.jobs[key].list = nil
		}
	} else if !pod.Ended {
		x.orphans[pod.JobUID] = append(x.orphans[pod.JobUID], pod)
	}
	x.mu.Unlock()
	if changed {
		x.notify(key)
	}
}

// ScaledJob returns the ScaledJob of this name; ok is false if there is none.
func (x *Index) ScaledJob(key plan.Key) (s *ScaledJob, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s, ok = x.scaledJobs[key]
	return s, ok
}

// ScaledObject returns the ScaledObject of this name; ok is false if there is
// none.
func (x *Index) ScaledObject(key plan.Key) (o *ScaledObject, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o, ok = x.objects[key]
	return o, ok
}

// ScaledJobs returns all ScaledJobs, in no order.
func (x *Index) ScaledJobs() []*ScaledJob {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Values(x.scaledJobs))
}

// JobsOf returns the Jobs of a ScaledJob, those included that were deleted lately.
// The slice is shared and must not be changed.
func (x *Index) JobsOf(key plan.Key) []Job {
	x.mu.Lock()
	defer x.mu.Unlock()
	if set := x.jobs[key]; set != nil {
		return set.read(x)
	}
	return nil
}

// Jobs returns the Jobs of all ScaledJobs, those included that were deleted
// lately.
func (x *Index) Jobs() []Job {
	x.mu.Lock()
	defer x.mu.Unlock()
	var list []Job
	for _, set := range x.jobs {
		list = append(list, set.read(x)...)
	}
	return list
}

// OutOfDate returns nil: an Index does not know where its content comes from.
func (x *Index) OutOfDate() error { return nil }

// PodsInView reports whether Jobs show their pods.
func (x *Index) PodsInView() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.podsInView
}

// ShowPods says that Jobs show their pods from now on.
func (x *Index) ShowPods() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.podsInView = true
}

func (s *jobSet) read(x *Index) []Job {
	now := time.Now()
	if s.list != nil && (s.until.IsZero() || now.Before(s.until)) {
		return s.list
	}
	s.list, s.until = make([]Job, 0, len(s.byUID)), time.Time{}
	for uid, e := range s.byUID {
		if !e.forgetAt.IsZero() && !now.Before(e.forgetAt) {
			delete(s.byUID, uid)
			delete(x.owners, uid)
			continue
		}
		if !e.forgetAt.IsZero() && (s.until.IsZero() || e.forgetAt.Before(s.until)) {
			s.until = e.forgetAt
		}
		job := e.job
		job.Pods = slices.SortedFunc(maps.Values(e.pods), func(a, b Pod) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
		})
		s.list = append(s.list, job)
	}
	return s.list
}

// sweep drops what was deleted long ago and nobody has read since.
func (x *Index) sweep() {
	now := time.Now()
	if now.Sub(x.swept) < x.rememberFor {
		return
	}
	x.swept = now
	for key, set := range x.jobs {
		if len(set.read(x)) == 0 {
			delete(x.jobs, key)
		}
	}
	clear(x.orphans) // their Jobs are not ours
}
