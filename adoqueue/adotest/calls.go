package adotest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Call is one request that the stand-in received.
type Call struct {
	Time      time.Time
	Method    string
	Path      string // as sent, prefix included
	Query     url.Values
	Operation string // one of the constants OpPools, OpAgents and so on
	PoolID    int    // from the path, 0 if it names none
	Header    http.Header
	Status    int // of the answer, 0 while there is none
}

// keptCalls bounds the memory of a stand-in that runs for days.
const keptCalls = 10_000

type callKey struct {
	operation string
	pool      int
}

// callLog has the latest calls and the number of all of them.
type callLog struct {
	latest []*Call
	counts map[callKey]int
	number int64
}

// Calls returns the latest 10,000 requests, oldest first. Their Authorization
// headers are kept so that a test can see where a credential went.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls.latest))
	for i, c := range s.calls.latest {
		calls[i] = *c
	}
	return calls
}

// Count is the number of requests for an operation ("": any) about a pool (0:
// any) since the start, those that failed included.
func (s *Server) Count(operation string, poolID int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for key, n := range s.calls.counts {
		if (operation == "" || operation == key.operation) && (poolID == 0 || poolID == key.pool) {
			total += n
		}
	}
	return total
}

// begin records a request.
func (s *Server) begin(rt route, r *http.Request) *call {
	at, inside := r.Context().Value(addressKey{}).(address)
	if !inside {
		at = address{path: r.URL.Path}
	}
	entry := &Call{
		Time:      time.Now(),
		Method:    r.Method,
		Path:      at.path,
		Query:     r.URL.Query(),
		Operation: rt.operation,
		Header:    r.Header.Clone(),
	}
	c := &call{Request: r, route: rt, entry: entry, path: at.path, clock: time.Duration(s.clock.Load())}
	c.base = c.origin() + at.prefix
	entry.PoolID = poolOf(r)

	s.mu.Lock()
	defer s.mu.Unlock()
	log := &s.calls
	log.number++
	c.number = log.number
	log.counts[callKey{entry.Operation, entry.PoolID}]++
	log.latest = append(log.latest, entry)
	if len(log.latest) > keptCalls {
		log.latest = append(log.latest[:0:0], log.latest[keptCalls/10:]...)
	}
	return c
}

func poolOf(r *http.Request) int {
	id, err := strconv.Atoi(strings.TrimSpace(r.PathValue("pool")))
	if err != nil {
		return 0
	}
	return id
}

func (s *Server) end(c *call, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.Status = status
}
