package adotest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// process is an agent's process as the stand-in sees it.
type process struct {
	ado   *Server
	id    int
	token string
	sess  string
	last  int64
}

// register makes an agent "pod" with a separate token.
func register(t *testing.T, ado *Server) *process {
	t.Helper()
	r := change(t, ado, http.MethodPost, agentsPath,
		`{"name":"pod","version":"4.255.0","authorization":{"publicKey":{"exponent":"AQAB","modulus":"x"}}}`)
	return &process{ado: ado, id: int(r.object(t)["id"].(float64)), token: r.header.Get(tokenHeader)}
}

func (p *process) send(t *testing.T, method, path, body string) reply {
	t.Helper()
	if method != http.MethodGet {
		path += map[bool]string{true: "&", false: "?"}[hasQuery(path)] + "api-version=7.1-preview"
	}
	return send(t, p.ado, exchange{method: method, path: tasks + "pools/1/" + path, body: body, noAuth: true, header: bearer(p.token)})
}

func hasQuery(path string) bool {
	for _, c := range path {
		if c == '?' {
			return true
		}
	}
	return false
}

func (p *process) open(t *testing.T) reply {
	t.Helper()
	r := p.send(t, http.MethodPost, "sessions", fmt.Sprintf(`{"ownerName":"pod","agent":{"id":%d}}`, p.id))
	if r.status == http.StatusOK {
		p.sess = r.object(t)["sessionId"].(string)
	}
	return r
}

// poll returns the next message, nil if none came.
func (p *process) poll(t *testing.T) (kind string, body jobBody) {
	t.Helper()
	r := p.send(t, http.MethodGet, fmt.Sprintf("messages?sessionId=%s&lastMessageId=%d", p.sess, p.last), "")
	if r.status == http.StatusAccepted {
		return "", body
	}
	var m wireMessage
	check(t, json.Unmarshal([]byte(r.body), &m))
	check(t, json.Unmarshal([]byte(m.Body), &body))
	p.last = m.ID
	return m.Type, body
}

func (p *process) acknowledge(t *testing.T) reply {
	t.Helper()
	return p.send(t, http.MethodDelete, fmt.Sprintf("messages/%d?sessionId=%s", p.last, p.sess), "")
}

func (p *process) request(t *testing.T, method string, job jobBody, query string) reply {
	t.Helper()
	return p.send(t, method, fmt.Sprintf("jobrequests/%d?lockToken=%s%s", job.RequestID, job.LockToken, query), `{}`)
}

func TestAgentProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ado := withPool(t, Options{AutoAssign: true})
		p := register(t, ado)
		id := must1(ado.Queue("linux", Job{Name: "Build", Duration: time.Minute}))(t)
		next := must1(ado.Queue("linux", Job{}))(t)
		if a := ado.Agents("linux")[0]; !a.Offline || a.Session {
			t.Errorf("before the session: %+v", a)
		}
		if r := p.open(t); r.status != http.StatusOK {
			t.Fatalf("got %d %s", r.status, r.body)
		}
		if a := ado.Agents("linux")[0]; a.Offline || !a.Session || a.Request != id {
			t.Errorf("in the session: %+v", a)
		}
		p.open(t).wantError(t, 409, "TaskAgentSessionConflictException", "The task agent pod already has an active session for owner pod.")

		kind, job := p.poll(t)
		if kind != jobMessage || job.RequestID != id || job.JobName != "Build" || job.DurationMsec != 60_000 {
			t.Errorf("got %s %+v", kind, job)
		}
		wantState(t, ado, id, Assigned, "", "pod")
		p.acknowledge(t)
		wantState(t, ado, id, Running, "", "pod")
		if r := p.acknowledge(t); r.status != http.StatusOK {
			t.Errorf("acknowledging again: %d", r.status)
		}
		p.send(t, http.MethodDelete, "messages/99?sessionId="+p.sess, "").wantError(t, 404, "TaskAgentMessageNotFoundException", "99")

		start := time.Now()
		if kind, _ := p.poll(t); kind != "" || time.Since(start) != 10*time.Second {
			t.Errorf("got %q after %v", kind, time.Since(start))
		}
		renewed := p.request(t, http.MethodPatch, job, "").object(t)
		if renewed["lockedUntil"] != time.Now().UTC().Add(10*time.Minute).Format(time.RFC3339) {
			t.Errorf("locked until %v", renewed["lockedUntil"])
		}
		wrong := job
		wrong.LockToken = "stolen"
		p.request(t, http.MethodDelete, wrong, "&result=succeeded").wantError(t, 409, "TaskAgentJobTokenExpiredException", "")
		if r := p.request(t, http.MethodDelete, job, "&result=succeeded&agentShuttingDown=true"); r.status != http.StatusNoContent {
			t.Errorf("got %d %s", r.status, r.body)
		}
		wantState(t, ado, id, Finished, "succeeded", "pod")
		wantState(t, ado, next, Queued, "", "") // the agent is on its way out

		if r := p.send(t, http.MethodDelete, "sessions/"+p.sess, ""); r.status != http.StatusOK {
			t.Errorf("got %d %s", r.status, r.body)
		}
		if a := ado.Agents("linux")[0]; !a.Offline || a.Session {
			t.Errorf("after the session: %+v", a)
		}
	})
}

func TestPollWakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ado := withPool(t, Options{AutoAssign: true})
		p := register(t, ado)
		p.open(t)
		time.AfterFunc(3*time.Second, func() { _, _ = ado.Queue("linux", Job{}) })
		start := time.Now()
		kind, job := p.poll(t)
		if kind != jobMessage || time.Since(start) != 3*time.Second {
			t.Errorf("got %q after %v", kind, time.Since(start))
		}
		p.acknowledge(t)
		time.AfterFunc(time.Second, func() { _ = ado.Cancel(job.RequestID) })
		if kind, _ := p.poll(t); kind != cancelMessage {
			t.Errorf("got %q", kind)
		}
		wantState(t, ado, job.RequestID, Running, "", "pod") // until its agent says so
		p.request(t, http.MethodDelete, job, "&result=canceled")
		wantState(t, ado, job.RequestID, Finished, "canceled", "pod")
	})
}

// A killed agent goes offline when it no longer polls, and loses its request
// when the lock lapses.
func TestKilledAgent(t *testing.T) {
	for _, tt := range []struct {
		name      string
		received  bool
		cancelled bool
		state     State
		result    string
	}{
		{"running", true, false, Finished, "abandoned"},
		{"running and cancelled", true, true, Finished, "canceled"},
		{"assigned", false, false, Queued, ""},
		{"assigned and cancelled", false, true, Finished, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ado := withPool(t, Options{AutoAssign: true, LockDuration: time.Minute, SessionTimeout: 3 * time.Second})
				p := register(t, ado)
				id := must1(ado.Queue("linux", Job{}))(t)
				p.open(t)
				p.poll(t)
				agent := "pod"
				if tt.received {
					p.acknowledge(t)
				}
				if tt.cancelled {
					check(t, ado.Cancel(id))
				}
				time.Sleep(2900 * time.Millisecond)
				if a := ado.Agents("linux")[0]; a.Offline {
					t.Error("offline too early")
				}
				time.Sleep(200 * time.Millisecond)
				if a := ado.Agents("linux")[0]; !a.Offline || a.Request != id {
					t.Errorf("got %+v", a)
				}
				if err := ado.RemoveAgent("linux", "pod"); err == nil {
					t.Error("removed an agent that holds a request")
				}
				time.Sleep(time.Minute)
				if tt.state == Queued {
					agent = ""
				}
				wantState(t, ado, id, tt.state, tt.result, agent)
				check(t, ado.RemoveAgent("linux", "pod"))
			})
		})
	}
}

// An agent that comes back gets the request that was reserved for it again.
func TestReturningAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ado := withPool(t, Options{AutoAssign: true})
		p := register(t, ado)
		id := must1(ado.Queue("linux", Job{}))(t)
		p.open(t)
		time.Sleep(time.Minute)
		p.send(t, http.MethodGet, "messages?sessionId="+p.sess, "").wantError(t, 404, "TaskAgentSessionExpiredException", p.sess)
		p.open(t)
		if kind, job := p.poll(t); kind != jobMessage || job.RequestID != id {
			t.Errorf("got %s %+v", kind, job)
		}
	})
}

func TestAgentToken(t *testing.T) {
	ado := withPool(t, Options{})
	p := register(t, ado)
	if r := p.send(t, http.MethodDelete, "agents/1", ""); r.status != http.StatusUnauthorized {
		t.Errorf("an agent may delete agents: %d", r.status)
	}
	if r := p.send(t, http.MethodGet, "jobrequests", ""); r.status != http.StatusUnauthorized {
		t.Errorf("an agent may read the queue: %d", r.status)
	}
	(&process{ado: ado, id: 99, token: p.token}).open(t).wantError(t, 404, "TaskAgentNotFoundException", "99")
	p.open(t)
	check(t, ado.RemoveAgent("linux", "pod"))
	if r := p.send(t, http.MethodGet, "messages?sessionId="+p.sess, ""); r.status != http.StatusNonAuthoritativeInfo {
		t.Errorf("a deleted agent may poll: %d", r.status)
	}
}

func TestBumpRequest(t *testing.T) {
	ado := withPool(t, Options{AllowUnmatched: true, AutoAssign: true})
	first, second := must1(ado.Queue("linux", Job{}))(t), must1(ado.Queue("linux", Job{}))(t)
	r := send(t, ado, exchange{method: http.MethodPatch, path: fmt.Sprintf("%spools/1/jobrequests/%d?updateOptions=bumpRequestToTop&api-version=7.1", tasks, second), body: "{}"})
	if r.object(t)["priority"] != 1.0 {
		t.Errorf("got %s", r.body)
	}
	must1(ado.AddAgent("linux", Agent{Name: "a"}))(t)
	wantState(t, ado, second, Assigned, "", "a")
	wantState(t, ado, first, Queued, "", "")
}
