package adotest

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

const agentsPath = tasks + "pools/1/agents"

// change sends a change with an api-version, as all changes need one.
func change(t *testing.T, ado *Server, method, path, body string) reply {
	t.Helper()
	return send(t, ado, exchange{method: method, path: path + "?api-version=7.1", body: body})
}

// placeholderBody is what a public operator for such agents posts.
const placeholderBody = `{"name":"dummy","version":"99.999.9","osDescription":"Linux 5.15","enabled":true,
	"status":"online","provisioningState":"Provisioned","systemCapabilities":{"ExtraCap":"1"}}`

func TestPlaceholder(t *testing.T) {
	ado := Serve(t, Options{AutoAssign: true})
	ado.AddPool(Pool{Name: "linux"})
	created := change(t, ado, http.MethodPost, agentsPath, placeholderBody).object(t)
	if created["id"] != 1.0 || created["status"] != "offline" || created["version"] != "99.999.9" || created["enabled"] != true {
		t.Errorf("got %v", created)
	}
	change(t, ado, http.MethodPost, agentsPath, placeholderBody).
		wantError(t, 409, "TaskAgentExistsException", "Pool 1 already contains an agent with name dummy.")
	change(t, ado, http.MethodPost, agentsPath, `{"version":"1"}`).wantError(t, 400, "ArgumentNullException", "agent.Name")
	change(t, ado, http.MethodPost, agentsPath, `[`).wantError(t, 400, "VssServiceException", "not valid")

	id := must1(ado.Queue("linux", Job{Demands: []string{"extracap", "Agent.Name -equals dummy", "Agent.Version -gtVersion 99.0"}}))(t)
	wantState(t, ado, id, Queued, "", "")
}

func TestListAgents(t *testing.T) {
	ado := withPool(t, Options{},
		Agent{Name: "one", Capabilities: map[string]string{"gpu": "1"}},
		Agent{Name: "two", Offline: true},
		Agent{Name: "three", Disabled: true})
	done, held := must1(ado.Queue("linux", Job{}))(t), must1(ado.Queue("linux", Job{}))(t)
	check(t, ado.Assign(done, "one"))
	check(t, ado.Finish(done, ""))
	check(t, ado.Assign(held, "one"))
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"", []string{"one", "two", "three"}},
		{"?agentName=TWO", []string{"two"}},
		{"?agentName=t", nil},
		{"?demands=gpu", []string{"one"}},
		{"?demands=gpu,docker", nil},
		{"?unknown=1", []string{"one", "two", "three"}},
	} {
		var names []string
		for _, a := range get(t, ado, agentsPath+tt.query).list(t) {
			names = append(names, a["name"].(string))
		}
		if !slices.Equal(names, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.query, names, tt.want)
		}
	}

	plain := get(t, ado, agentsPath+"/1").object(t)
	for _, name := range []string{"systemCapabilities", "userCapabilities", "assignedRequest", "lastCompletedRequest"} {
		if plain[name] != nil {
			t.Errorf("%s came unasked: %v", name, plain[name])
		}
	}
	full := get(t, ado, agentsPath+"/1?includeCapabilities=true&includeAssignedRequest=true&includeLastCompletedRequest=true").object(t)
	request := func(name string) any { return full[name].(map[string]any)["requestId"] }
	if request("assignedRequest") != 2.0 || request("lastCompletedRequest") != 1.0 {
		t.Errorf("got %v", full)
	}
	if got := fmt.Sprint(full["userCapabilities"], full["systemCapabilities"].(map[string]any)["Agent.Name"]); got != "map[gpu:1]one" {
		t.Errorf("got %s", got)
	}
	if a := get(t, ado, agentsPath+"/2").object(t); a["status"] != "offline" || a["enabled"] != true {
		t.Errorf("got %v", a)
	}
	if a := get(t, ado, agentsPath+"/3").object(t); a["status"] != "online" || a["enabled"] != false {
		t.Errorf("got %v", a)
	}
	get(t, ado, agentsPath+"/9").wantError(t, 404, "TaskAgentNotFoundException", "9")
}

func TestChangeAgent(t *testing.T) {
	ado := withPool(t, Options{}, Agent{Name: "one", Capabilities: map[string]string{"gpu": "1"}}, Agent{Name: "two"})
	path := agentsPath + "/1"

	patched := change(t, ado, http.MethodPatch, path, `{"id":1,"name":"one","enabled":false}`).object(t)
	if patched["enabled"] != false || patched["version"] != "4.255.0" || fmt.Sprint(patched["userCapabilities"]) != "map[gpu:1]" {
		t.Errorf("got %v", patched)
	}
	users := change(t, ado, http.MethodPut, path+"/usercapabilities", `{"java":"17"}`).object(t)
	if fmt.Sprint(users["userCapabilities"]) != "map[java:17]" {
		t.Errorf("got %v", users)
	}
	replaced := change(t, ado, http.MethodPut, path, `{"id":1,"name":"uno","version":"9.0.0","systemCapabilities":{"x":"y"}}`).object(t)
	if replaced["name"] != "uno" || fmt.Sprint(replaced["userCapabilities"]) != "map[java:17]" || fmt.Sprint(replaced["systemCapabilities"]) != "map[x:y]" {
		t.Errorf("got %v", replaced)
	}
	change(t, ado, http.MethodPatch, path, `{"name":"TWO"}`).wantError(t, 409, "TaskAgentExistsException", "TWO")
	change(t, ado, http.MethodPatch, agentsPath+"/9", `{}`).wantError(t, 404, "TaskAgentNotFoundException", "9")
}

func TestDeleteAgent(t *testing.T) {
	ado := withPool(t, Options{}, Agent{Name: "one"})
	id := must1(ado.Queue("linux", Job{}))(t)
	check(t, ado.Assign(id, "one"))
	change(t, ado, http.MethodDelete, agentsPath+"/1", "").
		wantError(t, 409, "TaskAgentJobStillRunningException", `Agent "one" is running a job for pool "linux"`)
	check(t, ado.Finish(id, ""))
	if r := change(t, ado, http.MethodDelete, agentsPath+"/1", ""); r.status != 200 || r.body != "" {
		t.Errorf("got %d %s", r.status, r.body)
	}
	change(t, ado, http.MethodDelete, agentsPath+"/1", "").wantError(t, 404, "TaskAgentNotFoundException", "1")
	if agents := ado.Agents("linux"); len(agents) != 0 {
		t.Errorf("got %v", agents)
	}
}
