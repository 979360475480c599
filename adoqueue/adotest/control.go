package adotest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// controlPath is outside every organization: nothing of Azure DevOps is there.
const controlPath = "/_control/"

// PoolState is a pool with everything in it.
type PoolState struct {
	Pool
	Queued   int            `json:"queued"`
	Assigned int            `json:"assigned"`
	Running  int            `json:"running"`
	Finished int            `json:"finished"`
	Requests []RequestState `json:"requests"`
	Agents   []AgentState   `json:"agents"`
}

// Snapshot is the whole state at one moment.
type Snapshot struct {
	Pools []PoolState    `json:"pools"`
	Calls map[string]int `json:"calls"` // received so far, by operation
}

// Snapshot returns the whole state.
func (s *Server) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := Snapshot{Pools: []PoolState{}, Calls: make(map[string]int)}
	for _, p := range s.pools {
		state := PoolState{Pool: p.Pool, Requests: s.inspectAll(p), Agents: p.agentStates()}
		for _, q := range state.Requests {
			switch q.State {
			case Queued:
				state.Queued++
			case Assigned:
				state.Assigned++
			case Running:
				state.Running++
			case Finished:
				state.Finished++
			}
		}
		snapshot.Pools = append(snapshot.Pools, state)
	}
	for key, n := range s.calls.counts {
		snapshot.Calls[key.operation] += n
	}
	return snapshot
}

// Bodies of the control API; Control sends them.
type (
	controlJobs struct {
		Pool  string `json:"pool"`
		Count int    `json:"count,omitzero"` // default 1
		jobJSON
	}
	controlAgent struct {
		Pool string `json:"pool"`
		Agent
	}
	controlChange struct { // of an agent; what is nil stays
		Online       *bool             `json:"online,omitzero"`
		Enabled      *bool             `json:"enabled,omitzero"`
		Capabilities map[string]string `json:"capabilities,omitempty"`
	}
	controlToken struct {
		Token  string `json:"token"`
		Kind   string `json:"kind,omitzero"`  // "pat" (default), "bearer"
		State  string `json:"state,omitzero"` // "allowed" (default), "revoked", "expired"
		Access string `json:"scope,omitzero"` // "manage" (default), "read", "none"
	}
	controlFault struct {
		Operation   string      `json:"operation,omitzero"`
		Method      string      `json:"method,omitzero"`
		PoolID      int         `json:"poolId,omitzero"`
		Times       int         `json:"times,omitzero"`
		Status      int         `json:"status,omitzero"`
		Header      http.Header `json:"header,omitempty"`
		Body        string      `json:"body,omitzero"`
		ContentType string      `json:"contentType,omitzero"`
		Delay       duration    `json:"delay,omitzero"`
		CutAfter    int         `json:"cutAfter,omitzero"`
		Reset       bool        `json:"reset,omitzero"`
		Repeat      int         `json:"repeat,omitzero"`
		Gzip        bool        `json:"gzip,omitzero"`
		Pace        duration    `json:"pace,omitzero"`
	}
	controlStep struct { // of a request
		Agent  string `json:"agent,omitzero"`
		Result string `json:"result,omitzero"`
	}
	controlIDs struct {
		IDs []int64 `json:"ids"`
	}
	nothing struct{}
)

// controlEndpoint does what a request demands and returns the body of the answer.
type controlEndpoint func(r *http.Request) (any, error)

func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, endpoint := range map[string]controlEndpoint{
		"GET /_control/state":                          func(*http.Request) (any, error) { return s.Snapshot(), nil },
		"GET /_control/calls":                          func(*http.Request) (any, error) { return s.Calls(), nil },
		"POST /_control/pools":                         s.controlAddPool,
		"POST /_control/jobs":                          s.controlQueue,
		"POST /_control/requests/{id}/{step}":          s.controlRequest,
		"POST /_control/agents":                        s.controlAddAgent,
		"PATCH /_control/pools/{pool}/agents/{agent}":  s.controlChangeAgent,
		"DELETE /_control/pools/{pool}/agents/{agent}": s.controlRemoveAgent,
		"POST /_control/tokens":                        s.controlToken,
		"POST /_control/faults":                        s.controlInject,
		"DELETE /_control/faults": func(*http.Request) (any, error) {
			s.ClearFaults()
			return nothing{}, nil
		},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := endpoint(r)
			writeControl(w, body, err)
		})
	}
	return onlyLoopback(mux)
}

// onlyLoopback keeps the control API, which needs no credential, to this
// machine even if the stand-in listens everywhere.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Unmap().IsLoopback() {
			writeControl(w, nil, refuse(http.StatusForbidden, "", "the control API is for this machine only"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeControl(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		if refused, ok := errors.AsType[*Error](err); ok {
			status = refused.Status
		}
		body = map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(encode(body), '\n'))
}

// decode reads a body and refuses fields that it does not know, since a typing
// mistake in a curl command should not go unnoticed.
func decode[T any](r *http.Request) (body T, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
		return body, fmt.Errorf("body: %w", err)
	}
	return body, nil
}

func (s *Server) controlAddPool(r *http.Request) (any, error) {
	p, err := decode[Pool](r)
	if err != nil {
		return nil, err
	}
	return map[string]int{"id": s.AddPool(p)}, nil
}

// controlQueue queues all jobs or none: the first one shows whether they match.
func (s *Server) controlQueue(r *http.Request) (any, error) {
	in, err := decode[controlJobs](r)
	if err != nil {
		return nil, err
	}
	job := in.job()
	var queued controlIDs
	for range max(in.Count, 1) {
		id, err := s.Queue(in.Pool, job)
		if err != nil {
			return nil, err
		}
		queued.IDs = append(queued.IDs, id)
	}
	return queued, nil
}

func (s *Server) controlRequest(r *http.Request) (any, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, err
	}
	in, err := decode[controlStep](r)
	if err != nil {
		return nil, err
	}
	switch step := r.PathValue("step"); step {
	case "assign":
		return nothing{}, s.Assign(id, in.Agent)
	case "receive":
		return nothing{}, s.Receive(id)
	case "finish":
		return nothing{}, s.Finish(id, in.Result)
	case "cancel":
		return nothing{}, s.Cancel(id)
	case "abandon":
		return nothing{}, s.Abandon(id)
	case "redispatch":
		return nothing{}, s.Redispatch(id)
	case "retry":
		again, err := s.Retry(id)
		return controlIDs{[]int64{again}}, err
	default:
		return nil, refuse(http.StatusNotFound, "", "no step %q: assign, receive, finish, cancel, abandon, redispatch or retry", step)
	}
}

func (s *Server) controlAddAgent(r *http.Request) (any, error) {
	in, err := decode[controlAgent](r)
	if err != nil {
		return nil, err
	}
	id, err := s.AddAgent(in.Pool, in.Agent)
	return map[string]int{"id": id}, err
}

func (s *Server) controlChangeAgent(r *http.Request) (any, error) {
	in, err := decode[controlChange](r)
	if err != nil {
		return nil, err
	}
	pool, name := r.PathValue("pool"), r.PathValue("agent")
	if in.Online != nil {
		err = errors.Join(err, s.SetAgentOnline(pool, name, *in.Online))
	}
	if in.Enabled != nil {
		err = errors.Join(err, s.SetAgentEnabled(pool, name, *in.Enabled))
	}
	if in.Capabilities != nil {
		err = errors.Join(err, s.SetAgentCapabilities(pool, name, in.Capabilities))
	}
	return nothing{}, err
}

func (s *Server) controlRemoveAgent(r *http.Request) (any, error) {
	return nothing{}, s.RemoveAgent(r.PathValue("pool"), r.PathValue("agent"))
}

func (s *Server) controlToken(r *http.Request) (any, error) {
	in, err := decode[controlToken](r)
	if err != nil {
		return nil, err
	}
	scope, known := map[string]Scope{"": ScopeManage, "manage": ScopeManage, "read": ScopeRead, "none": ScopeNone}[in.Access]
	switch {
	case in.Token == "" || !known:
		return nil, refuse(http.StatusBadRequest, "", "a token needs a text and a scope of manage, read or none")
	case in.State == "revoked":
		s.RevokePAT(in.Token)
	case in.State == "expired":
		s.ExpirePAT(in.Token)
	case in.Kind == "bearer":
		s.AllowBearer(in.Token, scope)
	default:
		s.AllowPAT(in.Token, scope)
	}
	return nothing{}, nil
}

func (s *Server) controlInject(r *http.Request) (any, error) {
	in, err := decode[controlFault](r)
	if err != nil {
		return nil, err
	}
	f := Fault{
		Operation: in.Operation, Method: in.Method, PoolID: in.PoolID, Times: in.Times,
		Status: in.Status, Header: in.Header, ContentType: in.ContentType,
		Delay: time.Duration(in.Delay), CutAfter: in.CutAfter, Reset: in.Reset,
		Repeat: in.Repeat, Gzip: in.Gzip, Pace: time.Duration(in.Pace),
	}
	if in.Body != "" {
		f.Body = []byte(in.Body)
	}
	s.Inject(f)
	return nothing{}, nil
}
