package adotest

import (
	"net/http"
	"strings"
	"testing"
)

func TestPrefixes(t *testing.T) {
	ado := Serve(t, Options{Organization: "fabrikam"})
	ado.AddPool(Pool{Name: "linux"})
	tests := []struct {
		url    string
		status int
	}{
		{ado.URL() + tasks + "pools", 200},
		{ado.CollectionURL() + tasks + "pools", 200},
		{strings.Replace(ado.URL(), "fabrikam", "FABRIKAM", 1) + "/_APIs/DistributedTask/Pools", 200},
		{strings.TrimSuffix(ado.URL(), "/fabrikam") + "/elsewhere" + tasks + "pools", 404},
		{ado.URL() + "x" + tasks + "pools", 404},
		{ado.URL() + "/" + tasks + "pools", 400}, // two slashes
		{ado.URL() + "/_apis/git/repositories", 404},
		{ado.URL() + tasks + "pools/one", 404},
	}
	for _, tt := range tests {
		if r := send(t, ado, exchange{path: tt.url}); r.status != tt.status {
			t.Errorf("%s: got %d, want %d: %s", tt.url, r.status, tt.status, r.body)
		}
	}
	r := get(t, ado, "/_apis/git/Repositories")
	want := "The controller for path '/fabrikam/_apis/git/Repositories' was not found or does not implement IController."
	if r.body != want || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Errorf("got %s %q", r.header.Get("Content-Type"), r.body)
	}
	r = send(t, ado, exchange{method: http.MethodPost, path: tasks + "pools?api-version=7.1", body: "{}"})
	r.wantError(t, 405, "VssServiceException", "does not support http method 'POST'")
}

func TestHeaders(t *testing.T) {
	ado := Serve(t, Options{})
	r := send(t, ado, exchange{path: tasks + "pools", header: map[string]string{"X-TFS-Session": "my-session"}})
	for name, want := range map[string]string{
		"Cache-Control": "no-cache",
		"Pragma":        "no-cache",
		"Expires":       "-1",
		"X-TFS-Session": "my-session",
		"ETag":          "",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	again := get(t, ado, tasks+"pools")
	for _, name := range []string{"ActivityId", "X-VSS-E2EID", "X-TFS-Session"} {
		if first, second := r.header.Get(name), again.header.Get(name); first == "" || first == second {
			t.Errorf("%s: got %q and %q", name, first, second)
		}
	}
}

func TestCalls(t *testing.T) {
	ado := Serve(t, Options{})
	one, two := ado.AddPool(Pool{Name: "one"}), ado.AddPool(Pool{Name: "two"})
	get(t, ado, tasks+"pools?poolName=one")
	get(t, ado, tasks+"pools/1/jobrequests?completedRequestCount=0")
	get(t, ado, tasks+"pools/2/jobrequests")
	get(t, ado, tasks+"pools/2/jobrequests/9")
	for _, tt := range []struct {
		operation string
		pool      int
		want      int
	}{{OpPools, 0, 1}, {OpJobRequests, one, 1}, {OpJobRequests, two, 1}, {OpJobRequests, 0, 2}, {OpJobRequest, two, 1}, {"", 0, 4}, {"", two, 2}} {
		if got := ado.Count(tt.operation, tt.pool); got != tt.want {
			t.Errorf("Count(%q, %d): got %d, want %d", tt.operation, tt.pool, got, tt.want)
		}
	}
	calls := ado.Calls()
	c := calls[1]
	if c.Method != "GET" || c.Path != "/contoso/_apis/distributedtask/pools/1/jobrequests" || c.Query.Get("completedRequestCount") != "0" ||
		c.Operation != OpJobRequests || c.PoolID != one || c.Status != 200 || c.Header.Get("Authorization") == "" || c.Time.IsZero() {
		t.Errorf("got %+v", c)
	}
	if calls[3].Status != 404 {
		t.Errorf("got %+v", calls[3])
	}
}

func TestOtherResources(t *testing.T) {
	ado := Serve(t, Options{})
	data := get(t, ado, "/_apis/connectionData?api-version=7.1-preview").object(t)
	if data["deploymentType"] != "hosted" || data["authenticatedUser"] == nil {
		t.Errorf("got %v", data)
	}
	if r := send(t, ado, exchange{method: http.MethodHead, path: "/_apis/connectiondata", header: suppress(nil), noAuth: true}); r.status != 401 {
		t.Errorf("got %d", r.status)
	}
	found := false
	for _, l := range send(t, ado, exchange{method: http.MethodOptions, path: "/_apis"}).list(t) {
		found = found || l["id"] == "fc825784-c92a-4299-9221-998a02d1b54f" && l["resourceName"] == "jobrequests"
	}
	if !found {
		t.Error("jobrequests are not among the resources")
	}
}
