package adotest

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// pageCap is the most that $top returns, however much is requested (KEDA's
	// issues 6148 and 6819).
	pageCap = 200
	// defaultCompleted is how many finished requests per agent come without
	// completedRequestCount; documented for the twin call of deployment targets.
	defaultCompleted = 50
)

// listRequests answers the three shapes of one URL: $top, which wins over
// everything, and the list by agents with or without completedRequestCount.
func (s *Server) listRequests(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.visiblePool(c)
	if err != nil {
		return err.answer()
	}
	if p.verbatim != nil {
		return p.verbatim
	}
	if top := c.param("$top"); top != "" {
		return s.page(p, c, top)
	}
	requests := s.selectRequests(p, c)
	rendered := make([]wireRequest, len(requests))
	for i, q := range requests {
		rendered[i] = s.renderRequest(q, c, withMatches)
	}
	return list(rendered)
}

// page answers $top: newest first, finished ones mixed in, no matchedAgents, so
// that requests which wait for long fall out of the window.
func (s *Server) page(p *pool, c *call, top string) *answer {
	size, err := strconv.Atoi(top)
	if err != nil || size < 0 {
		return refuse(http.StatusBadRequest, "InvalidQueryParameterException", "The value %s of $top is not valid.", top).answer()
	}
	size = min(size, pageCap)
	before, err := strconv.ParseInt(c.param("continuationToken"), 10, 64)
	if err != nil {
		before = s.lastRequest + 1
	}
	var rendered []wireRequest
	for _, q := range slices.Backward(p.requests) {
		if q.id >= before {
			continue
		}
		if len(rendered) == size {
			a := list(rendered)
			if size > 0 {
				a.header = http.Header{"X-Ms-Continuationtoken": {strconv.FormatInt(rendered[size-1].RequestID, 10)}}
			}
			return a
		}
		rendered = append(rendered, s.renderRequest(q, c, withoutMatches))
	}
	return list(rendered)
}

// selectRequests returns finished requests, newest first, and then the
// unfinished ones.
func (s *Server) selectRequests(p *pool, c *call) []*request {
	perAgent, explicit := defaultCompleted, false
	if n, err := strconv.Atoi(c.param("completedRequestCount")); err == nil {
		perAgent, explicit = max(n, 0), true
	}
	ids := c.param("agentIds")
	if ids == "" {
		ids = c.param("agentId")
	}
	var finished, unfinished []*request
	count := make(map[int]int) // finished requests by agent
	for _, q := range slices.Backward(p.requests) {
		holder := 0
		if q.agent != nil {
			holder = q.agent.id
		}
		if ids != "" && !listed(ids, holder) {
			continue
		}
		if q.state() != Finished {
			unfinished = append(unfinished, q)
			continue
		}
		if explicit && ids == "" {
			holder = 0 // the newest n of the pool
		}
		count[holder]++
		if count[holder] <= perAgent {
			finished = append(finished, q)
		}
	}
	slices.Reverse(unfinished)
	if s.opts.ShuffleUnfinished {
		rand.Shuffle(len(unfinished), func(i, j int) { unfinished[i], unfinished[j] = unfinished[j], unfinished[i] })
	}
	return append(finished, unfinished...)
}

func (s *Server) getRequest(c *call) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.requestOf(c)
	if err != nil {
		return err.answer()
	}
	return ok(s.renderRequest(q, c, withMatches))
}

// requestOf is the request of a call's path.
func (s *Server) requestOf(c *call) (*request, *Error) {
	p, err := s.visiblePool(c)
	if err != nil {
		return nil, err
	}
	q := s.requests[int64(c.id("request"))]
	if q == nil || q.pool != p {
		return nil, refuse(http.StatusNotFound, "TaskAgentJobNotFoundException",
			"Job request %s was not found in pool %d.", c.PathValue("request"), p.ID)
	}
	return q, nil
}

// matchDetail reports whether an answer names the agents that could run a request.
type matchDetail bool

const (
	withMatches    matchDetail = true
	withoutMatches matchDetail = false
)

// Owners of requests, as seen in recorded traffic.
const (
	buildService   = "00025394-6065-48ca-87d9-7f5672854ef7"
	releaseService = "0000000d-0000-8888-8000-000000000000"
)

func (s *Server) renderRequest(q *request, c *call, detail matchDetail) wireRequest {
	w := wireRequest{
		RequestID:     q.id,
		QueueTime:     c.shown(q.queued),
		AssignTime:    c.shown(q.assigned),
		ReceiveTime:   c.shown(q.received),
		FinishTime:    c.shown(q.finished),
		Result:        q.result,
		LockedUntil:   c.shown(s.lockEnd(q)),
		ServiceOwner:  buildService,
		HostID:        guid("organization", 1),
		ScopeID:       guid("project", 1),
		PlanType:      q.job.Plan,
		PlanID:        guid("plan", q.origin),
		JobID:         guid("job", q.origin),
		JobName:       q.job.Name,
		Demands:       q.job.Demands,
		Data:          map[string]string{"ParallelismTag": "Private"},
		PoolID:        q.pool.ID,
		StatusMessage: q.job.StatusMessage,
	}
	if q.job.Public {
		w.Data["ParallelismTag"] = "Public"
	}
	if s.opts.Flavour == Services {
		w.Priority = new(q.job.Priority)
	}
	if q.agent != nil {
		w.ReservedAgent = new(renderAgent(q.agent, c, asReserved))
	}
	w.refer(q, c)
	if detail == withMatches && q.state() == Queued {
		w.match(q, c)
	}
	return w
}

// match says who could run a request: nobody in particular if all could.
func (w *wireRequest) match(q *request, c *call) {
	agents := q.matches()
	if len(agents) > 0 && len(agents) == len(q.pool.agents) {
		w.MatchesAllAgents, w.AgentDelays = true, &[]struct{}{}
		return
	}
	for _, a := range agents {
		w.MatchedAgents = append(w.MatchedAgents, renderAgent(a, c, asMatched))
	}
}

// refer names pipeline and run. A release is served by another host, has
// another owner and no flag for schedules.
func (w *wireRequest) refer(q *request, c *call) {
	project := c.base + "/" + w.ScopeID
	number := strconv.FormatInt(q.origin, 10)
	if q.job.Plan == "Release" {
		w.ServiceOwner = releaseService
		w.OrchestrationID = w.PlanID + ".stage_1_1_1.phase_1.__default"
		w.Definition = refer(7, q.job.Pipeline, project+"/_release?definitionId=7", project+"/_apis/Release/definitions/7")
		w.Owner = refer(q.origin, "Release-"+number+" / "+q.job.Name,
			project+"/_release?releaseId="+number, project+"/_apis/Release/releases/"+number)
		return
	}
	w.Data["IsScheduledKey"] = "False"
	w.OrchestrationID = w.PlanID + "." + identifier(q.job.Name) + ".__default"
	w.Definition = refer(7, q.job.Pipeline, project+"/_build/definition?definitionId=7", project+"/_apis/build/Definitions/7")
	w.Owner = refer(q.origin, q.queued.UTC().Format("20060102.")+number,
		project+"/_build/results?buildId="+number, project+"/_apis/build/Builds/"+number)
}

func refer(id int64, name, web, self string) *wireReference {
	return &wireReference{Links: wireLinks{Web: wireLink{web}, Self: wireLink{self}}, ID: id, Name: name}
}

// identifier makes a job's name fit for an orchestration id.
func identifier(name string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > 'z' || r > '9' && r < 'A' || r > 'Z' && r < 'a' {
			return '_'
		}
		return r
	}, strings.ToLower(name))
}
