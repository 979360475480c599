package adotest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Control drives a stand-in that runs as a separate process, over its control
// API. Its methods are those of [Server].
type Control struct {
	base   string
	client *http.Client
}

// NewControl returns a client for the stand-in at any of its URLs, such as
// http://127.0.0.1:1234 or http://127.0.0.1:1234/contoso.
func NewControl(baseURL string) *Control {
	base := strings.TrimRight(baseURL, "/")
	if u, err := url.Parse(baseURL); err == nil && u.Host != "" {
		base = u.Scheme + "://" + u.Host
	}
	return &Control{base: base + controlPath, client: http.DefaultClient}
}

// do sends a body and reads the answer into out, both of which may be nil.
func (c *Control) do(ctx context.Context, method, path string, in, out any) error {
	payload := []byte("{}")
	if in != nil {
		payload = encode(in)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("adotest: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(r)
	if err != nil {
		return fmt.Errorf("adotest: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var refused struct{ Error string }
		_ = json.NewDecoder(resp.Body).Decode(&refused) // the status says enough without
		return fmt.Errorf("adotest: %s %s: %w", method, path, &Error{Status: resp.StatusCode, Message: refused.Error})
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("adotest: %s %s: %w", method, path, err)
	}
	return nil
}

// AddPool adds a pool and returns its id.
func (c *Control) AddPool(ctx context.Context, p Pool) (id int, err error) {
	var out struct{ ID int }
	err = c.do(ctx, http.MethodPost, "pools", p, &out)
	return out.ID, err
}

// AddAgent registers an agent that the stand-in plays.
func (c *Control) AddAgent(ctx context.Context, pool string, a Agent) (id int, err error) {
	var out struct{ ID int }
	err = c.do(ctx, http.MethodPost, "agents", controlAgent{pool, a}, &out)
	return out.ID, err
}

// RemoveAgent deletes an agent.
func (c *Control) RemoveAgent(ctx context.Context, pool, name string) error {
	return c.do(ctx, http.MethodDelete, agentURL(pool, name), nil, nil)
}

// SetAgentOnline makes an agent lose or regain its connection.
func (c *Control) SetAgentOnline(ctx context.Context, pool, name string, online bool) error {
	return c.do(ctx, http.MethodPatch, agentURL(pool, name), controlChange{Online: &online}, nil)
}

// SetAgentEnabled enables or disables an agent.
func (c *Control) SetAgentEnabled(ctx context.Context, pool, name string, enabled bool) error {
	return c.do(ctx, http.MethodPatch, agentURL(pool, name), controlChange{Enabled: &enabled}, nil)
}

func agentURL(pool, name string) string {
	return "pools/" + url.PathEscape(pool) + "/agents/" + url.PathEscape(name)
}

// Queue queues count jobs and returns their requests.
func (c *Control) Queue(ctx context.Context, pool string, j Job, count int) (requestIDs []int64, err error) {
	var out controlIDs
	err = c.do(ctx, http.MethodPost, "jobs", controlJobs{pool, count, jobText(j)}, &out)
	return out.IDs, err
}

// Assign reserves an agent for a queued request.
func (c *Control) Assign(ctx context.Context, id int64, agent string) error {
	return c.step(ctx, id, "assign", controlStep{Agent: agent})
}

// Receive makes an assigned request a running one.
func (c *Control) Receive(ctx context.Context, id int64) error {
	return c.step(ctx, id, "receive", controlStep{})
}

// Finish ends a request with a result.
func (c *Control) Finish(ctx context.Context, id int64, result string) error {
	return c.step(ctx, id, "finish", controlStep{Result: result})
}

// Cancel cancels a job.
func (c *Control) Cancel(ctx context.Context, id int64) error {
	return c.step(ctx, id, "cancel", controlStep{})
}

// Abandon ends a request whose agent was not heard of any more.
func (c *Control) Abandon(ctx context.Context, id int64) error {
	return c.step(ctx, id, "abandon", controlStep{})
}

// Redispatch takes an assigned request back from its agent.
func (c *Control) Redispatch(ctx context.Context, id int64) error {
	return c.step(ctx, id, "redispatch", controlStep{})
}

// Retry queues a finished job again.
func (c *Control) Retry(ctx context.Context, id int64) (newID int64, err error) {
	var out controlIDs
	if err := c.do(ctx, http.MethodPost, fmt.Sprintf("requests/%d/retry", id), nil, &out); err != nil {
		return 0, err
	}
	return out.IDs[0], nil
}

func (c *Control) step(ctx context.Context, id int64, step string, in controlStep) error {
	return c.do(ctx, http.MethodPost, fmt.Sprintf("requests/%d/%s", id, step), in, nil)
}

// AllowPAT makes a personal access token valid.
func (c *Control) AllowPAT(ctx context.Context, pat string, scope Scope) error {
	return c.do(ctx, http.MethodPost, "tokens", controlToken{Token: pat, Access: scope.String()}, nil)
}

// AllowBearer makes an Entra access token valid.
func (c *Control) AllowBearer(ctx context.Context, token string, scope Scope) error {
	return c.do(ctx, http.MethodPost, "tokens", controlToken{Token: token, Kind: "bearer", Access: scope.String()}, nil)
}

// RevokePAT makes a token of any kind unknown.
func (c *Control) RevokePAT(ctx context.Context, pat string) error {
	return c.do(ctx, http.MethodPost, "tokens", controlToken{Token: pat, State: "revoked"}, nil)
}

// ExpirePAT makes a token expired.
func (c *Control) ExpirePAT(ctx context.Context, pat string) error {
	return c.do(ctx, http.MethodPost, "tokens", controlToken{Token: pat, State: "expired"}, nil)
}

// Inject adds a fault.
func (c *Control) Inject(ctx context.Context, f Fault) error {
	return c.do(ctx, http.MethodPost, "faults", controlFault{
		Operation: f.Operation, Method: f.Method, PoolID: f.PoolID, Times: f.Times,
		Status: f.Status, Header: f.Header, Body: string(f.Body), ContentType: f.ContentType,
		Delay: duration(f.Delay), CutAfter: f.CutAfter, Reset: f.Reset,
		Repeat: f.Repeat, Gzip: f.Gzip, Pace: duration(f.Pace),
	}, nil)
}

// ClearFaults ends all faults.
func (c *Control) ClearFaults(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, "faults", nil, nil)
}

// Snapshot returns the whole state.
func (c *Control) Snapshot(ctx context.Context) (Snapshot, error) {
	var out Snapshot
	err := c.do(ctx, http.MethodGet, "state", nil, &out)
	return out, err
}

// Calls returns the latest requests that the stand-in received.
func (c *Control) Calls(ctx context.Context) ([]Call, error) {
	var out []Call
	err := c.do(ctx, http.MethodGet, "calls", nil, &out)
	return out, err
}
