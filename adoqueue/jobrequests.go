package adoqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

// JobRequests lists the unfinished job requests of a pool, oldest first.
//
// It requests no finished ones (completedRequestCount=0) and sets no $top,
// which would cut the list at 200 and leave out matchedAgents.
func (c *Client) JobRequests(ctx context.Context, pool Pool) ([]*JobRequest, error) {
	list, err := c.jobRequests(ctx, pool, nil)
	if err != nil {
		return nil, err
	}
	return list.requests, nil
}

// jobRequests reads the list. Unchanged requests are shared with the last list,
// which may be nil.
func (c *Client) jobRequests(ctx context.Context, pool Pool, last *requestList) (list *requestList, err error) {
	q := call{
		name: "jobrequests", operation: "list job requests of " + pool.String(),
		query: url.Values{"completedRequestCount": {"0"}},
		path:  []string{"_apis", "distributedtask", "pools", strconv.Itoa(pool.ID), "jobrequests"},
	}
	err = c.do(ctx, q, func(body io.Reader) error {
		list, err = decodeJobRequests(body, last)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

const (
	// maxTextBytes bounds the text that the requests of a list hold together,
	// maxDemands and maxMatchedAgents their demands and the agents that match
	// them. Equal lists count once.
	maxTextBytes     = 32 << 20
	maxText          = 16 << 10 // of one demand or name
	maxDemands       = 1 << 19
	maxMatchedAgents = 1 << 21
)

// decodeJobRequests returns the unfinished requests of a list.
func decodeJobRequests(body io.Reader, last *requestList) (*requestList, error) {
	if last == nil {
		last = &requestList{shared: shared{seed: maphash.MakeSeed()}}
	}
	expected := len(last.requests)
	reading := listReader{
		last: last.requests, position: make(map[int64]int, expected),
		list: requestList{requests: make([]*JobRequest, 0, expected+expected/16), shared: last.shared.next()},
	}
	if err := decodeList(body, reading.add); err != nil {
		return nil, err
	}
	return reading.end(), nil
}

// requestList is the list of the unfinished requests of a pool, oldest first.
type requestList struct {
	requests []*JobRequest
	shared   shared
}

// size returns how many bytes of memory the list takes.
func (l *requestList) size() int {
	return len(l.requests)*int(unsafe.Sizeof(l)+unsafe.Sizeof(JobRequest{})) + l.shared.size()
}

// listReader collects the requests of a list, each once.
type listReader struct {
	list     requestList
	position map[int64]int // in the list, by id
	last     []*JobRequest // the list before this one
}

// add takes over one request. Of one that is listed twice, because it moved on
// while the list was made, the state that comes later counts.
func (l *listReader) add(w *wireJobRequest) error {
	if w.RequestID == 0 {
		return errors.New("it is not a job request")
	}
	i, twice := l.position[w.RequestID]
	state := w.state()
	if twice && l.list.requests[i].State >= state {
		return nil
	}
	request := JobRequest{ID: w.RequestID, State: state}
	if state != Finished { // not requested, but not every Server knows that
		var err error
		if request, err = l.list.shared.jobRequest(w); err != nil {
			return err
		}
	}
	if twice {
		l.list.requests[i] = l.known(&request)
		return nil
	}
	l.position[w.RequestID] = len(l.list.requests)
	l.list.requests = append(l.list.requests, l.known(&request))
	return nil
}

// known returns the request of the list before if it has not changed since. Of 100,000
// that wait, each list would take 30 MiB, and three are in use at a time: the one that
// is read, the one that serves, and that of the last decision.
func (l *listReader) known(r *JobRequest) *JobRequest {
	if i, ok := slices.BinarySearchFunc(l.last, r, byAge); ok && l.last[i].equal(r) {
		return l.last[i]
	}
	added := *r // r is on its caller's stack, for all that are known
	return &added
}

// end returns the list without requests that are finished.
func (l *listReader) end() *requestList {
	list := l.list
	list.requests = slices.DeleteFunc(list.requests, func(r *JobRequest) bool { return r.State == Finished })
	if len(list.requests) < cap(list.requests)/2 {
		list.requests = slices.Clone(list.requests) // the rest is not kept for as long as the snapshot
	}
	slices.SortFunc(list.requests, byAge)
	list.shared.end()
	return &list
}

func byAge(a, b *JobRequest) int {
	return cmp.Or(a.QueueTime.Compare(b.QueueTime), cmp.Compare(a.ID, b.ID))
}

func (r *JobRequest) equal(other *JobRequest) bool {
	return r.ID == other.ID && r.State == other.State && r.JobID == other.JobID &&
		r.QueueTime.Equal(other.QueueTime) && r.AssignTime.Equal(other.AssignTime) && r.ReceiveTime.Equal(other.ReceiveTime) &&
		slices.Equal(r.Demands, other.Demands) && r.Agent == other.Agent &&
		slices.Equal(r.MatchedAgents, other.MatchedAgents) && r.MatchesAllAgents == other.MatchesAllAgents &&
		r.Definition == other.Definition && r.Run == other.Run && r.RunID == other.RunID &&
		r.Project == other.Project && r.Priority == other.Priority
}

// shared keeps equal texts and lists once, in a list of requests and the next one:
// most requests of a pool have the same demands and the same agents.
type shared struct {
	texts   map[string]string
	demands sharedLists[Demand]
	agents  sharedLists[string]
	text    int  // how many more bytes of text may be kept
	long    bool // there was one of more than maxText

	seed maphash.Seed // random, so that no two lists can be made to have one hash
	last *shared      // of the list before, while this one is read
}

// next returns what the next list of requests shares, nothing yet.
func (s *shared) next() shared {
	return shared{
		texts: map[string]string{}, text: maxTextBytes, seed: s.seed, last: s,
		demands: newSharedLists(maxDemands, s.demands), agents: newSharedLists(maxMatchedAgents, s.agents),
	}
}

// end drops what only the list before shared.
func (s *shared) end() { s.last, s.demands.last, s.agents.last = nil, nil, nil }

// size returns how many bytes of memory the texts and lists take.
func (s *shared) size() int {
	return maxTextBytes - s.text + 2*len(s.texts)*int(unsafe.Sizeof("")) +
		(maxDemands-s.demands.left)*int(unsafe.Sizeof(Demand{})) +
		(maxMatchedAgents-s.agents.left)*int(unsafe.Sizeof(""))
}

func (s *shared) jobRequest(w *wireJobRequest) (JobRequest, error) {
	r := JobRequest{
		ID:               w.RequestID,
		State:            w.state(),
		JobID:            s.own(w.JobID),
		QueueTime:        time.Time(w.QueueTime),
		AssignTime:       time.Time(w.AssignTime),
		ReceiveTime:      time.Time(w.ReceiveTime),
		MatchesAllAgents: w.MatchesAllAgents,
		Definition:       s.common(w.Definition.Name),
		Run:              s.own(w.Owner.Name),
		Project:          s.common(string(w.ScopeID)),
		Priority:         int(w.Priority),
	}
	if w.PlanType == "Build" {
		r.RunID = int64(w.Owner.ID)
	}
	r.Demands = s.demands.list(s, len(w.Demands), func(i int) string { return string(w.Demands[i]) }, ParseDemand)
	r.MatchedAgents = s.agents.list(s, len(w.MatchedAgents), func(i int) string { return w.MatchedAgents[i].Name }, func(name string) string { return name })
	if w.ReservedAgent != nil {
		r.Agent = s.common(w.ReservedAgent.Name)
	}
	switch {
	case s.long:
		return r, fmt.Errorf("a text of it is longer than %d KiB", maxText>>10)
	case s.text < 0:
		return r, fmt.Errorf("the list holds more than %d MiB of text", maxTextBytes>>20)
	case s.demands.left < 0:
		return r, fmt.Errorf("the list holds more than %d different demands", maxDemands)
	case s.agents.left < 0:
		return r, fmt.Errorf("the list holds more than %d different matched agents", maxMatchedAgents)
	}
	return r, nil
}

// own returns a text that hardly another request has, as it may be shown.
func (s *shared) own(text string) string {
	s.text -= len(text)
	s.long = s.long || len(text) > maxText
	return safetext.Printable(text)
}

// common returns a text that many requests have, as it may be shown.
func (s *shared) common(text string) string {
	known, ok := s.texts[text]
	if ok {
		return known
	}
	if known, ok = s.last.texts[text]; ok {
		s.text -= len(text)
	} else {
		known = s.own(text)
	}
	s.texts[text] = known
	return known
}

// sharedLists keeps lists of texts, in the form T, each once.
type sharedLists[T any] struct {
	known map[uint64][]T // by the hash of the texts
	last  map[uint64][]T // of the list of requests before
	left  int            // how many more entries may be kept
}

func newSharedLists[T any](limit int, last sharedLists[T]) sharedLists[T] {
	return sharedLists[T]{known: map[uint64][]T{}, last: last.known, left: limit}
}

// list returns the list for n texts.
func (l *sharedLists[T]) list(texts *shared, n int, text func(int) string, entry func(string) T) []T {
	if n == 0 {
		return nil
	}
	var hasher maphash.Hash
	hasher.SetSeed(texts.seed)
	for i := range n {
		_, _ = hasher.WriteString(text(i)) // never fails
		_ = hasher.WriteByte(0)
	}
	hash := hasher.Sum64()
	if known, ok := l.known[hash]; ok && len(known) == n {
		return known
	}
	if l.left -= n; l.left < 0 {
		return nil
	}
	entries, known := l.last[hash]
	if known = known && len(entries) == n; !known {
		entries = make([]T, n)
	}
	for i := range n {
		if shown := texts.common(text(i)); !known {
			entries[i] = entry(shown)
		}
	}
	l.known[hash] = entries
	return entries
}
