package adotest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestControl(t *testing.T) {
	ado := Serve(t, Options{})
	ctl, ctx := NewControl(ado.URL()), t.Context()

	pool := must1(ctl.AddPool(ctx, Pool{Name: "big pool", Options: "elasticPool"}))(t)
	must1(ctl.AddAgent(ctx, "big pool", Agent{Name: "a/b", Version: "5.0.0", Capabilities: map[string]string{"gpu": "1"}}))(t)
	must1(ctl.AddAgent(ctx, "big pool", Agent{Name: "c", Offline: true}))(t)
	job := Job{Name: "Build", Demands: []string{"gpu"}, Duration: 90 * time.Second, Priority: 2}
	ids := must1(ctl.Queue(ctx, "big pool", job, 4))(t)
	if !slices.Equal(ids, []int64{1, 2, 3, 4}) {
		t.Fatalf("got %v", ids)
	}
	check(t, ctl.Assign(ctx, 1, "a/b"))
	check(t, ctl.Receive(ctx, 1))
	check(t, ctl.Finish(ctx, 1, "failed"))
	check(t, ctl.Cancel(ctx, 2))
	check(t, ctl.Assign(ctx, 3, "a/b"))
	check(t, ctl.Redispatch(ctx, 3))
	check(t, ctl.Assign(ctx, 3, "c"))
	check(t, ctl.Abandon(ctx, 3))
	if again := must1(ctl.Retry(ctx, 3))(t); again != 5 {
		t.Errorf("got %d", again)
	}
	check(t, ctl.Assign(ctx, 4, "a/b"))
	check(t, ctl.SetAgentEnabled(ctx, "big pool", "a/b", false))
	check(t, ctl.SetAgentOnline(ctx, "big pool", "c", true))

	snapshot := must1(ctl.Snapshot(ctx))(t)
	p := snapshot.Pools[0]
	if p.ID != pool || p.Name != "big pool" || p.Queued != 1 || p.Assigned != 1 || p.Running != 0 || p.Finished != 3 {
		t.Errorf("got %+v", p)
	}
	if r := p.Requests[0]; r.Result != "failed" || r.Agent != "a/b" || r.Job.Duration != 90*time.Second || r.Job.Name != "Build" || r.QueueTime.IsZero() {
		t.Errorf("got %+v", r)
	}
	if a := p.Agents[0]; !a.Disabled || a.Request != 4 || a.Capabilities["gpu"] != "1" || p.Agents[1].Offline {
		t.Errorf("got %+v", p.Agents)
	}
	check(t, ctl.RemoveAgent(ctx, "big pool", "c"))

	var refused *Error
	if err := ctl.Receive(ctx, 1); !errors.As(err, &refused) || refused.Status != http.StatusConflict || !strings.Contains(err.Error(), "finished") {
		t.Errorf("got %v", err)
	}
	if _, err := ctl.Queue(ctx, "big pool", Job{Demands: []string{"docker"}}, 1); err == nil || !strings.Contains(err.Error(), "No agent found in pool big pool") {
		t.Errorf("got %v", err)
	}
}

func TestControlTokensAndFaults(t *testing.T) {
	ado := Serve(t, Options{})
	ctl, ctx := NewControl(ado.URL()), t.Context()
	status := func(header map[string]string) int {
		return send(t, ado, exchange{path: tasks + "pools", noAuth: true, header: header}).status
	}
	check(t, ctl.AllowPAT(ctx, "second", ScopeRead))
	check(t, ctl.AllowBearer(ctx, "entra", ScopeManage))
	if status(basic("second")) != 200 || status(bearer("entra")) != 200 {
		t.Error("new tokens are refused")
	}
	check(t, ctl.AllowPAT(ctx, "second", ScopeNone))
	check(t, ctl.RevokePAT(ctx, "entra"))
	check(t, ctl.ExpirePAT(ctx, "adotest-pat"))
	if status(basic("second")) != 401 || status(bearer("entra")) != 203 || status(basic("adotest-pat")) != 203 {
		t.Error("old tokens work")
	}

	check(t, ctl.Inject(ctx, Fault{Operation: OpPools, Times: 5, Status: 503, Header: http.Header{"Retry-After": {"1"}}, Body: []byte("x"), Delay: time.Millisecond}))
	if status(nil) != 503 {
		t.Error("no fault")
	}
	check(t, ctl.ClearFaults(ctx))
	if status(nil) != 203 {
		t.Error("the fault stays")
	}
	calls := must1(ctl.Calls(ctx))(t)
	if n := len(calls); n != 7 || calls[5].Status != 503 || must1(ctl.Snapshot(ctx))(t).Calls[OpPools] != n {
		t.Errorf("got %+v", calls)
	}
}

func TestControlRefusals(t *testing.T) {
	ado := New(Options{})
	ask := func(remote, method, path, body string) int {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		ado.ServeHTTP(w, r)
		return w.Code
	}
	const local = "127.0.0.1:5"
	for _, tt := range []struct {
		remote, method, path, body string
		want                       int
	}{
		{local, "GET", "/_control/state", "", 200},
		{"[::1]:5", "GET", "/_control/state", "", 200},
		{"[::ffff:127.0.0.1]:5", "GET", "/_control/state", "", 200},
		{"10.0.0.7:5", "GET", "/_control/state", "", 403},
		{"elsewhere", "GET", "/_control/state", "", 403},
		{local, "POST", "/_control/pools", `{"name":"linux"}`, 200},
		{local, "POST", "/_control/jobs", `{"pool":"linux","count":2,"duration":"1s","skipMatch":true}`, 200},
		{local, "POST", "/_control/jobs", `{"pool":"linux","number":2}`, 400},
		{local, "POST", "/_control/jobs", `{"pool":"linux","duration":"soon"}`, 400},
		{local, "POST", "/_control/jobs", `{"pool":"nowhere"}`, 404},
		{local, "POST", "/_control/requests/x/cancel", ``, 400},
		{local, "POST", "/_control/requests/1/explode", ``, 404},
		{local, "POST", "/_control/requests/1/cancel", ``, 200},
		{local, "POST", "/_control/tokens", `{"token":"x","scope":"all"}`, 400},
		{local, "DELETE", "/_control/state", ``, 405},
	} {
		if got := ask(tt.remote, tt.method, tt.path, tt.body); got != tt.want {
			t.Errorf("%s %s %s from %s: got %d, want %d", tt.method, tt.path, tt.body, tt.remote, got, tt.want)
		}
	}
}
