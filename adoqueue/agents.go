package adoqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

// Agent is an agent that is registered in a pool.
type Agent struct {
	ID      int
	Name    string
	Version string
	Enabled bool
	Online  bool
	// StatusChanged is when it went online or offline last; zero if Azure
	// DevOps does not say.
	StatusChanged time.Time
	// Request is the id of the unfinished job request that it has, 0 if none.
	Request int64
	// System capabilities are those that the agent found out itself, User
	// capabilities those that people set on it. Agents leaves both out.
	System, User map[string]string
}

// NewAgent is an agent to register. It stays offline until a process opens a
// session for it.
type NewAgent struct {
	Name    string
	Version string
	// OS is what pages about the pool show, such as "Linux".
	OS           string
	System, User map[string]string
}

// Agents lists all agents of a pool, without their capabilities: those of ten
// thousand agents would not fit into an answer.
func (c *Client) Agents(ctx context.Context, pool Pool) ([]Agent, error) {
	q := agentsCall(pool, "list agents of "+pool.String())
	q.query = url.Values{"includeAssignedRequest": {"true"}}
	return c.listAgents(ctx, q)
}

// AgentByName finds an agent, with its capabilities, by its name; case does not
// matter. One that is not there is ErrAgentNotFound.
func (c *Client) AgentByName(ctx context.Context, pool Pool, name string) (Agent, error) {
	q := agentsCall(pool, fmt.Sprintf("find agent %q of %s", name, pool))
	q.query = url.Values{"agentName": {name}, "includeAssignedRequest": {"true"}, "includeCapabilities": {"true"}}
	agents, err := c.listAgents(ctx, q)
	if err != nil {
		return Agent{}, err
	}
	for _, agent := range agents {
		if strings.EqualFold(agent.Name, name) {
			return agent, nil
		}
	}
	return Agent{}, &Error{Operation: q.operation, Message: "it is not registered", kind: ErrAgentNotFound}
}

// Agent reads one agent, with its capabilities.
func (c *Client) Agent(ctx context.Context, pool Pool, id int) (Agent, error) {
	q := agentsCall(pool, fmt.Sprintf("read agent %d of %s", id, pool), strconv.Itoa(id))
	q.query = url.Values{"includeAssignedRequest": {"true"}, "includeCapabilities": {"true"}}
	return c.oneAgent(ctx, q)
}

// AddAgent registers an agent that no process runs for, such as a placeholder.
// If the name is taken the error is ErrAgentExists.
func (c *Client) AddAgent(ctx context.Context, pool Pool, agent NewAgent) (Agent, error) {
	q := agentsCall(pool, fmt.Sprintf("register agent %q in %s", agent.Name, pool))
	q.method, q.body = http.MethodPost, agent.registration()
	return c.oneAgent(ctx, q)
}

// ReplaceAgent registers an agent that no process runs for in place of what it was
// registered as.
func (c *Client) ReplaceAgent(ctx context.Context, pool Pool, id int, agent NewAgent) error {
	q := agentsCall(pool, fmt.Sprintf("replace agent %d of %s", id, pool), strconv.Itoa(id))
	body := agent.registration()
	body["id"] = id
	q.method, q.body = http.MethodPut, body
	return c.change(ctx, q)
}

func (a NewAgent) registration() map[string]any {
	return map[string]any{
		"name": a.Name, "version": a.Version, "osDescription": a.OS, "enabled": true,
		"status": "offline", "provisioningState": "Provisioned",
		"systemCapabilities": a.System, "userCapabilities": a.User,
	}
}

// SetAgentEnabled enables or disables an agent. A disabled one gets no new job
// and keeps the one it has.
func (c *Client) SetAgentEnabled(ctx context.Context, pool Pool, id int, enabled bool) error {
	q := agentsCall(pool, fmt.Sprintf("set enabled of agent %d of %s to %t", id, pool, enabled), strconv.Itoa(id))
	q.method = http.MethodPatch
	q.body = map[string]any{"id": id, "enabled": enabled}
	return c.change(ctx, q)
}

// SetAgentCapabilities replaces the capabilities that people set on an agent.
func (c *Client) SetAgentCapabilities(ctx context.Context, pool Pool, id int, user map[string]string) error {
	q := agentsCall(pool, fmt.Sprintf("set capabilities of agent %d of %s", id, pool), strconv.Itoa(id), "usercapabilities")
	q.method = http.MethodPut
	q.body = user
	if user == nil {
		q.body = struct{}{} // not null
	}
	return c.change(ctx, q)
}

// RemoveAgent takes an agent out of its pool. One that is gone already is no
// error; one that runs a job stays, which is ErrAgentBusy.
func (c *Client) RemoveAgent(ctx context.Context, pool Pool, id int) error {
	q := agentsCall(pool, fmt.Sprintf("remove agent %d of %s", id, pool), strconv.Itoa(id))
	q.method = http.MethodDelete
	if err := c.change(ctx, q); !errors.Is(err, ErrAgentNotFound) {
		return err
	}
	return nil
}

func agentsCall(pool Pool, operation string, path ...string) call {
	return call{
		name: "agents", operation: operation,
		path: append([]string{"_apis", "distributedtask", "pools", strconv.Itoa(pool.ID), "agents"}, path...),
	}
}

func (c *Client) listAgents(ctx context.Context, q call) (agents []Agent, err error) {
	err = c.do(ctx, q, func(body io.Reader) error {
		agents, err = decodeAgents(body)
		return err
	})
	return agents, err
}

// maxAgentText bounds the text that a list of agents holds together.
const maxAgentText = 32 << 20

func decodeAgents(body io.Reader) ([]Agent, error) {
	agents, left := []Agent{}, maxAgentText
	err := decodeList(body, func(w *wireRegistered) error {
		if w.ID == 0 {
			return errors.New("it is not an agent")
		}
		if left -= w.textSize(); left < 0 {
			return fmt.Errorf("the list holds more than %d MiB of text", maxAgentText>>20)
		}
		agents = append(agents, w.agent())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return agents, nil
}

func (c *Client) oneAgent(ctx context.Context, q call) (Agent, error) {
	var agent Agent
	err := c.do(ctx, q, func(body io.Reader) (err error) {
		agent, err = decodeAgent(body)
		return err
	})
	return agent, agentFailure(err)
}

func decodeAgent(body io.Reader) (Agent, error) {
	var wire wireRegistered
	if err := decodeObject(body, &wire); err != nil {
		return Agent{}, err
	}
	if wire.ID == 0 {
		return Agent{}, errors.New("it is not an agent")
	}
	return wire.agent(), nil
}

// change is for calls whose answer says nothing new.
func (c *Client) change(ctx context.Context, q call) error {
	return agentFailure(c.do(ctx, q, nil))
}

// agentFailure classifies the refusals that are about an agent by their names;
// of a busy agent, only the text is certain.
func agentFailure(err error) error {
	failure, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch {
	case failure.TypeKey == "TaskAgentNotFoundException":
		failure.kind, failure.Hint = ErrAgentNotFound, ""
	case strings.Contains(failure.TypeKey, "JobStillRunning"), strings.Contains(failure.Message, "is running a job"):
		failure.kind, failure.Hint = ErrAgentBusy, ""
	case failure.TypeKey == "TaskAgentExistsException", failure.Status == http.StatusConflict:
		failure.kind, failure.Hint = ErrAgentExists, ""
	}
	return failure
}

// wireRegistered is an agent in the lists and answers about agents.
type wireRegistered struct {
	ID              int               `json:"id"`
	Name            string            `json:"name"`
	Version         string            `json:"version"`
	Enabled         bool              `json:"enabled"`
	Status          wireStatus        `json:"status"`
	StatusChangedOn wireTime          `json:"statusChangedOn"`
	System          map[string]string `json:"systemCapabilities"`
	User            map[string]string `json:"userCapabilities"`
	AssignedRequest *struct {
		RequestID int64 `json:"requestId"`
	} `json:"assignedRequest"`
}

// textSize returns how many bytes of text an agent holds.
func (w *wireRegistered) textSize() int {
	size := len(w.Name) + len(w.Version)
	for _, capabilities := range []map[string]string{w.System, w.User} {
		for name, value := range capabilities {
			size += len(name) + len(value)
		}
	}
	return size
}

func (w *wireRegistered) agent() Agent {
	a := Agent{
		ID: w.ID, Name: safetext.Printable(w.Name), Version: safetext.Printable(w.Version), Enabled: w.Enabled, Online: bool(w.Status),
		StatusChanged: time.Time(w.StatusChangedOn), System: w.System, User: w.User,
	}
	if w.AssignedRequest != nil {
		a.Request = w.AssignedRequest.RequestID
	}
	return a
}

// wireStatus is whether an agent is online: "online", or 2 on older servers.
type wireStatus bool

func (s *wireStatus) UnmarshalJSON(data []byte) error {
	number, text, err := decodeEnum(data)
	*s = wireStatus(strings.EqualFold(text, "online") || number != nil && *number == 2)
	return err
}
