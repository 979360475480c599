package adotest

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// Scope is what a credential may do with agent pools. Microsoft names the
// scopes of a token vso.agentpools and vso.agentpools_manage.
type Scope int

// A token without scope is known to the organization and refused everywhere.
const (
	ScopeNone Scope = iota
	ScopeRead
	ScopeManage
)

// credential is what the stand-in knows about a token.
type credential struct {
	scope   Scope
	bearer  bool
	expired bool
	agent   *agent // the holder of a registration's token, else nil
}

// AllowPAT makes a personal access token valid with the given scope.
func (s *Server) AllowPAT(pat string, scope Scope) {
	s.setCredential(pat, &credential{scope: scope})
}

// AllowBearer makes an Entra access token valid with the given scope. It is
// also accepted in place of a PAT, as agents that are configured with one rely on.
func (s *Server) AllowBearer(token string, scope Scope) {
	s.setCredential(token, &credential{scope: scope, bearer: true})
}

// RevokePAT makes a token of any kind unknown.
func (s *Server) RevokePAT(pat string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.credentials, pat)
}

// ExpirePAT makes a token fail with the header X-TFS-ServiceError, by which
// Azure DevOps distinguishes an expired token from a wrong one.
func (s *Server) ExpirePAT(pat string) {
	s.setCredential(pat, &credential{expired: true})
}

func (s *Server) setCredential(token string, c *credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials[token] = c
}

// access is the least that a route requires of a credential.
type access int

const (
	mayRead   access = iota // reading pools, agents and requests
	mayManage               // changing agents
	mayServe                // what an agent does with its own token; a managing token may as well
	mayEnter                // any valid credential, agents included
	anyone                  // no credential: a download
)

// authorize returns an answer that refuses the call, or nil.
func (s *Server) authorize(c *call) *answer {
	s.mu.Lock()
	cred := s.credentialOf(c.Request)
	s.mu.Unlock()
	if cred == nil || cred.expired {
		return s.unauthenticated(c, cred != nil)
	}
	if cred.agent != nil {
		pool := c.entry.PoolID
		if c.route.access >= mayServe && (pool == 0 || pool == cred.agent.pool.ID) {
			return nil
		}
		return unauthorized()
	}
	switch need := c.route.access; {
	case cred.scope == ScopeNone:
		return unauthorized()
	case need != mayRead && need != mayEnter && cred.scope != ScopeManage:
		return forbidden()
	}
	return nil
}

func (s *Server) credentialOf(r *http.Request) *credential {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "basic":
		text, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return nil
		}
		_, password, _ := strings.Cut(string(text), ":")
		if cred := s.credentials[password]; cred != nil && cred.agent == nil {
			return cred
		}
	case "bearer":
		if cred := s.credentials[rest]; cred != nil && cred.bearer {
			return cred
		}
	}
	return nil
}

// signInPage is the kind of page that clients see in place of JSON.
const signInPage = `<!DOCTYPE html>
<html lang="en"><head><title>Azure DevOps Services | Sign In</title></head>
<body><h1>Sign in to your account</h1></body></html>
`

// unauthenticated has the shapes seen in recorded traffic: nothing but headers
// when the client wants no redirects, a page to sign in for other reads, and
// an error in JSON for other writes.
func (s *Server) unauthenticated(c *call, expired bool) *answer {
	h := make(http.Header)
	if s.opts.Flavour == Services {
		h.Add("WWW-Authenticate", "Bearer authorization_uri=https://login.microsoftonline.com/"+guid("tenant", 1))
		h.Set("X-VSS-ResourceTenant", guid("tenant", 1))
	}
	h.Add("WWW-Authenticate", `Basic realm="`+c.base+`/"`)
	if expired {
		h.Set("X-TFS-ServiceError", "Access%20Denied%3A%20The%20Personal%20Access%20Token%20used%20has%20expired.")
	}
	switch {
	case strings.EqualFold(c.Header.Get("X-TFS-FedAuthRedirect"), "Suppress"):
		return &answer{status: http.StatusUnauthorized, header: h}
	case c.Method != http.MethodGet && c.Method != http.MethodHead:
		refused := unauthorized()
		refused.header = h
		return refused
	case s.opts.SignIn == SignInRedirect:
		h.Set("Location", c.origin()+"/_signin?realm=dev.azure.com&reply_to="+c.base)
		return &answer{status: http.StatusFound, header: h, raw: []byte(signInPage), contentType: htmlType}
	default:
		return &answer{status: http.StatusNonAuthoritativeInfo, header: h, raw: []byte(signInPage), contentType: htmlType}
	}
}

func unauthorized() *answer {
	return &answer{
		status: http.StatusUnauthorized,
		body: errorBody("UnauthorizedRequestException",
			"TF400813: The user '"+guid("user", 1)+"' is not authorized to access this resource."),
	}
}

func forbidden() *answer {
	return &answer{
		status: http.StatusForbidden,
		body: errorBody("AccessDeniedException",
			"Access denied. User needs Manage permissions for this pool to perform this action."),
	}
}

// String is the name of a scope in the control API.
func (s Scope) String() string {
	switch s {
	case ScopeRead:
		return "read"
	case ScopeManage:
		return "manage"
	default:
		return "none"
	}
}
