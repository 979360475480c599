package lifecycle_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// agent does over the stand-in's API what Microsoft's run --once does: it opens
// a session, takes one job and ends.
type agent struct {
	w       *world
	working chan struct{}
	exited  chan struct{}

	interrupted, killed context.Context
	interrupt, kill     context.CancelFunc
	code                int
	crash               time.Duration // into the job, 0: never
	deaf                bool          // does not heed Interrupt
	silent              bool          // never gets to hear of its job
	quits               bool          // ends at once, with code
}

func newAgent(w *world) *agent {
	a := &agent{w: w, working: make(chan struct{}), exited: make(chan struct{})}
	a.killed, a.kill = context.WithCancel(context.Background())
	a.interrupted, a.interrupt = context.WithCancel(a.killed)
	return a
}

func (a *agent) Working() <-chan struct{} { return a.working }
func (a *agent) Exited() <-chan struct{}  { return a.exited }
func (a *agent) ExitCode() int            { return a.code }

func (a *agent) Interrupt() error {
	if !a.deaf {
		a.interrupt()
	}
	return nil
}

func (a *agent) Kill() error {
	a.kill()
	return nil
}

// run is the agent's process.
func (a *agent) run() {
	defer close(a.exited)
	switch {
	case a.quits:
		return
	case a.silent:
		if err := a.w.ado.SetAgentOnline("linux", podName, true); err != nil {
			panic(err)
		}
		<-a.interrupted.Done()
		return
	}
	var session struct{ SessionID string }
	a.ask(a.killed, "POST", "sessions", fmt.Sprintf(`{"ownerName":"test","agent":{"id":%d}}`, a.w.id), &session)
	last := int64(0)
	for a.interrupted.Err() == nil {
		var message struct {
			MessageID         int64
			MessageType, Body string
		}
		status := a.ask(a.interrupted, "GET", fmt.Sprintf("messages?sessionId=%s&lastMessageId=%d", session.SessionID, last), "", &message)
		if status == http.StatusNotFound { // it was removed
			a.code = 1
			return
		}
		if status != http.StatusOK {
			continue
		}
		last = message.MessageID
		a.ask(a.killed, "DELETE", fmt.Sprintf("messages/%d?sessionId=%s", last, session.SessionID), "", nil)
		if strings.Contains(message.MessageType, "JobRequest") {
			a.job(session.SessionID, message.Body)
			break
		}
	}
	if a.killed.Err() == nil && a.code == 0 {
		a.ask(a.killed, "DELETE", "sessions/"+session.SessionID, "", nil)
	}
}

func (a *agent) job(session, body string) {
	close(a.working)
	var job struct {
		RequestID, DurationMilliseconds int64
		LockToken, Result               string
	}
	if err := json.Unmarshal([]byte(body), &job); err != nil {
		panic(err)
	}
	cancelled, cancel := context.WithCancel(a.interrupted)
	defer cancel()
	go func() { // a cancellation is the only message that can come
		if a.ask(cancelled, "GET", "messages?lastMessageId=0&sessionId="+session, "", nil) == http.StatusOK {
			cancel()
		}
	}()
	var crash <-chan time.Time
	if a.crash > 0 {
		crash = time.After(a.crash)
	}
	select {
	case <-time.After(time.Duration(job.DurationMilliseconds) * time.Millisecond):
	case <-cancelled.Done():
		job.Result = "canceled"
	case <-crash:
		a.code = 134
		return
	}
	if a.killed.Err() == nil {
		a.ask(a.killed, "DELETE", fmt.Sprintf("jobrequests/%d?lockToken=%s&result=%s&agentShuttingDown=true", job.RequestID, job.LockToken, job.Result), "", nil)
	}
}

// ask sends a request of the agent; its connection is good.
func (a *agent) ask(ctx context.Context, method, path, body string, into any) int {
	url := fmt.Sprintf("%s/_apis/distributedtask/pools/%d/%s", a.w.ado.URL(), a.w.pool.ID, path)
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.SetBasicAuth("", "adotest-pat")
	r.Header.Set("Accept", "application/json;api-version=7.1-preview")
	answer, err := a.w.ado.Transport().RoundTrip(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if into != nil && answer.StatusCode == http.StatusOK {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			panic(err)
		}
	}
	return answer.StatusCode
}
