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
func (c *Client) JobRequests(ctx context.Context, pool Pool) ([]JobRequest, error) {
	requests, _, err := c.jobRequests(ctx, pool, 0)
	return requests, err
}

// jobRequests also returns how much memory the requests take. About as many as
// expected are read without taking more than that meanwhile.
func (c *Client) jobRequests(ctx context.Context, pool Pool, expected int) (requests []JobRequest, size int, err error) {
	q := call{
		name: "jobrequests", operation: "list job requests of " + pool.String(),
		query: url.Values{"completedRequestCount": {"0"}},
		path:  []string{"_apis", "distributedtask", "pools", strconv.Itoa(pool.ID), "jobrequests"},
	}
	err = c.do(ctx, q, func(body io.Reader) error {
		requests, size, err = decodeJobRequests(body, expected)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return requests, size, nil
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

// decodeJobRequests returns the unfinished requests of a list, oldest first, and
// how much memory they take.
func decodeJobRequests(body io.Reader, expected int) (requests []JobRequest, size int, err error) {
	list := requestList{
		requests: make([]JobRequest, 0, expected+expected/16),
		position: make(map[int64]int, expected),
		shared:   newShared(),
	}
	if err := decodeList(body, list.add); err != nil {
		return nil, 0, err
	}
	requests = slices.DeleteFunc(list.requests, func(r JobRequest) bool { return r.State == Finished })
	if len(requests) < cap(requests)/2 {
		requests = slices.Clone(requests) // the rest is not kept for as long as the snapshot
	}
	slices.SortFunc(requests, func(a, b JobRequest) int {
		return cmp.Or(a.QueueTime.Compare(b.QueueTime), cmp.Compare(a.ID, b.ID))
	})
	return requests, cap(requests)*int(unsafe.Sizeof(JobRequest{})) + list.shared.size(), nil
}

// requestList collects the requests of a list, each once.
type requestList struct {
	requests []JobRequest
	position map[int64]int // in requests, by id
	shared   shared
}

// add takes over one request. Of one that is listed twice, because it moved on
// while the list was made, the state that comes later counts.
func (l *requestList) add(w *wireJobRequest) error {
	if w.RequestID == 0 {
		return errors.New("it is not a job request")
	}
	i, twice := l.position[w.RequestID]
	state := w.state()
	if twice && l.requests[i].State >= state {
		return nil
	}
	request := JobRequest{ID: w.RequestID, State: state}
	if state != Finished { // not requested, but not every Server knows that
		var err error
		if request, err = l.shared.jobRequest(w); err != nil {
			return err
		}
	}
	if twice {
		l.requests[i] = request
		return nil
	}
	l.position[w.RequestID] = len(l.requests)
	l.requests = append(l.requests, request)
	return nil
}

// shared keeps equal texts and lists of a list of requests once: most requests
// of a pool have the same demands and the same agents.
type shared struct {
	texts   map[string]string
	demands sharedLists[Demand]
	agents  sharedLists[string]
	text    int  // how many more bytes of text may be kept
	long    bool // there was one of more than maxText
}

func newShared() shared {
	return shared{
		texts: map[string]string{}, text: maxTextBytes,
		demands: newSharedLists[Demand](maxDemands), agents: newSharedLists[string](maxMatchedAgents),
	}
}

// size returns how much memory the texts and lists take.
func (s *shared) size() int {
	return maxTextBytes - s.text + (maxDemands-s.demands.left)*int(unsafe.Sizeof(Demand{})) +
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
	r.Demands = s.demands.list(len(w.Demands), func(i int) string { return string(w.Demands[i]) },
		func(text string) Demand { return ParseDemand(s.common(text)) })
	r.MatchedAgents = s.agents.list(len(w.MatchedAgents), func(i int) string { return w.MatchedAgents[i].Name }, s.common)
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
	if !ok {
		known = s.own(text)
		s.texts[text] = known
	}
	return known
}

// sharedLists keeps lists of texts, in the form T, each once.
type sharedLists[T any] struct {
	known map[uint64][]T // by the hash of the texts
	seed  maphash.Seed
	left  int // how many more entries may be kept
}

func newSharedLists[T any](limit int) sharedLists[T] {
	return sharedLists[T]{known: map[uint64][]T{}, seed: maphash.MakeSeed(), left: limit}
}

// list returns the list for n texts. The seed is random, so that no two lists can
// be made to have one hash.
func (l *sharedLists[T]) list(n int, text func(int) string, entry func(string) T) []T {
	if n == 0 {
		return nil
	}
	var hash maphash.Hash
	hash.SetSeed(l.seed)
	for i := range n {
		_, _ = hash.WriteString(text(i)) // never fails
		_ = hash.WriteByte(0)
	}
	if known, ok := l.known[hash.Sum64()]; ok && len(known) == n {
		return known
	}
	if l.left -= n; l.left < 0 {
		return nil
	}
	entries := make([]T, n)
	for i := range entries {
		entries[i] = entry(text(i))
	}
	l.known[hash.Sum64()] = entries
	return entries
}
