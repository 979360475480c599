package adotest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// route is one resource of the REST API. Patterns are in lower case, as
// [Server.ServeHTTP] makes the paths.
type route struct {
	pattern   string
	operation string // its name in faults and counters
	access    access
	endpoint  func(*Server, *call) *answer
	preview   bool // never released: its api-version needs the flag -preview
}

// Operations name the resources in [Fault] and [Call].
const (
	OpPools          = "pools"          // pools by name and by id
	OpAgents         = "agents"         // agents in all ways, capabilities included
	OpJobRequests    = "jobrequests"    // the list of a pool's requests
	OpJobRequest     = "jobrequest"     // one request: reading, renewing its lock, finishing it
	OpResourceUsage  = "resourceusage"  // parallel jobs
	OpConnectionData = "connectiondata" // the identity of a credential
	OpLocations      = "locations"      // the list of resources
	OpPackages       = "packages"       // the list of agent packages
	OpDownload       = "download"       // an agent package itself, outside the organization
	OpSessions       = "sessions"       // an agent going online and offline
	OpMessages       = "messages"       // an agent's poll for work
	OpSignIn         = "signin"         // the page that a sign-in redirect leads to
	OpUnknown        = "unknown"        // a path without a resource, or outside the organization
)

const (
	poolPath    = "/_apis/distributedtask/pools/{pool}"
	agentPath   = poolPath + "/agents/{agent}"
	requestPath = poolPath + "/jobrequests/{request}"
)

func routes() []route {
	return []route{
		{"GET /_apis/connectiondata", OpConnectionData, mayEnter, (*Server).connectionData, true},
		{"OPTIONS /_apis", OpLocations, mayEnter, (*Server).locations, false},
		{"GET /_apis/distributedtask/packages/{type}", OpPackages, mayEnter, (*Server).listPackages, false},
		{"GET /_apis/distributedtask/resourceusage", OpResourceUsage, mayRead, (*Server).resourceUsage, true},

		{"GET /_apis/distributedtask/pools", OpPools, mayRead, (*Server).listPools, false},
		{"GET " + poolPath, OpPools, mayRead, (*Server).getPool, false},

		{"GET " + poolPath + "/agents", OpAgents, mayRead, (*Server).listAgents, false},
		{"POST " + poolPath + "/agents", OpAgents, mayManage, (*Server).createAgent, false},
		{"GET " + agentPath, OpAgents, mayRead, (*Server).getAgent, false},
		{"PUT " + agentPath, OpAgents, mayManage, (*Server).replaceAgent, false},
		{"PATCH " + agentPath, OpAgents, mayManage, (*Server).updateAgent, false},
		{"DELETE " + agentPath, OpAgents, mayManage, (*Server).deleteAgent, false},
		{"PUT " + agentPath + "/usercapabilities", OpAgents, mayManage, (*Server).setUserCapabilities, false},

		{"GET " + poolPath + "/jobrequests", OpJobRequests, mayRead, (*Server).listRequests, false},
		{"GET " + requestPath, OpJobRequest, mayRead, (*Server).getRequest, false},
		{"PATCH " + requestPath, OpJobRequest, mayServe, (*Server).changeRequest, false},
		{"DELETE " + requestPath, OpJobRequest, mayServe, (*Server).finishRequest, false},

		{"POST " + poolPath + "/sessions", OpSessions, mayServe, (*Server).createSession, false},
		{"DELETE " + poolPath + "/sessions/{session}", OpSessions, mayServe, (*Server).deleteSession, false},
		{"GET " + poolPath + "/messages", OpMessages, mayServe, (*Server).getMessage, false},
		{"DELETE " + poolPath + "/messages/{message}", OpMessages, mayServe, (*Server).deleteMessage, false},
	}
}

// register builds the routers. Each path of the table answers other methods as
// ASP.NET does; every other path has no controller.
func (s *Server) register() {
	paths := make(map[string]route)
	for _, rt := range routes() {
		if s.opts.Flavour != Services && rt.operation == OpResourceUsage {
			continue // parallel jobs are unlimited on premises
		}
		s.api.HandleFunc(rt.pattern, s.handler(rt))
		_, path, _ := strings.Cut(rt.pattern, " ")
		paths[path] = rt
	}
	for path, rt := range paths {
		rt.pattern, rt.access, rt.endpoint, rt.preview = path, mayEnter, (*Server).methodNotAllowed, false
		s.api.HandleFunc(path, s.handler(rt))
	}
	s.api.HandleFunc("/", s.handler(route{operation: OpUnknown, access: mayEnter, endpoint: (*Server).unknownPath}))
	s.root.Handle(controlPath, s.controlHandler())
	for _, rt := range []route{
		{packagePath + "{version}/{file}", OpDownload, anyone, (*Server).downloadPackage, false},
		{"/_signin", OpSignIn, anyone, (*Server).signIn, false},
		{"/", OpUnknown, anyone, (*Server).unknownPath, false}, // another organization, say
	} {
		s.root.HandleFunc(rt.pattern, s.handler(rt))
	}
}

// handler is the way of every request: counted, then scripted faults, then
// credential, version and the endpoint.
func (s *Server) handler(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := s.begin(rt, r)
		w.Header().Set("Date", time.Now().Add(c.clock).UTC().Format(http.TimeFormat))
		recorder := &statusRecorder{ResponseWriter: w}
		defer func() { s.end(c, recorder.status) }()
		out, answered := s.interfere(recorder, c)
		if !answered {
			s.respond(c).write(out, c)
		}
	}
}

func (s *Server) respond(c *call) *answer {
	if c.route.access == anyone {
		return c.route.endpoint(s, c)
	}
	if refused := s.authorize(c); refused != nil {
		return refused
	}
	if c.route.operation == OpUnknown {
		return noController(c)
	}
	version, refused := s.negotiate(c)
	if refused != nil {
		return refused
	}
	c.version = version
	return c.route.endpoint(s, c)
}

func (s *Server) unknownPath(c *call) *answer { return noController(c) }

func (s *Server) signIn(_ *call) *answer {
	return &answer{raw: []byte(signInPage), contentType: htmlType}
}

func (s *Server) methodNotAllowed(c *call) *answer {
	return refuse(http.StatusMethodNotAllowed, "VssServiceException",
		"The requested resource does not support http method '%s'.", c.Method).answer()
}

// call is a request on its way through the stand-in.
type call struct {
	*http.Request
	route   route
	number  int64
	entry   *Call
	base    string // the organization's URL as the client wrote it
	path    string // the path as the client wrote it
	version string // what the content type echoes
	clock   time.Duration
}

// shown is a time by the clock that clients see.
func (c *call) shown(t time.Time) wireTime {
	if t.IsZero() {
		return wireTime(t)
	}
	return wireTime(t.Add(c.clock))
}

// origin is the scheme and host that the client used.
func (c *call) origin() string {
	if c.TLS != nil {
		return "https://" + c.Host
	}
	return "http://" + c.Host
}

// session is the id that the client sent, else one of ours.
func (c *call) session() string {
	if id := c.Header.Get("X-TFS-Session"); id != "" {
		return id
	}
	return guid("session header", c.number)
}

// id is a number in the path, 0 if it is none: no object has that id.
func (c *call) id(name string) int {
	n, err := strconv.Atoi(c.PathValue(name))
	if err != nil {
		return 0
	}
	return n
}

// number is an int64 in a query or path, 0 if it is none.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// flag is a boolean query parameter.
func (c *call) flag(name string) bool {
	return strings.EqualFold(c.param(name), "true")
}

// param is a query parameter; ASP.NET ignores the case of their names.
func (c *call) param(name string) string {
	for key, values := range c.URL.Query() {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// statusRecorder remembers the status for the log of calls.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
