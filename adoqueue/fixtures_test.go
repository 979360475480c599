package adoqueue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// object is a JSON object that a fixture is made of.
type object = map[string]any

const (
	queueTime   = "2026-01-05T08:00:00.1266667Z"
	assignTime  = "2026-01-05T08:00:01.1266667Z"
	receiveTime = "2026-01-05T08:00:04.1266667Z"
	finishTime  = "2026-01-05T08:02:00.1266667Z"
	planID      = "33333333-3333-4333-8333-333333333333"
	versioned   = "Agent.Version -gtVersion 2.182.1"
)

// base is a queued build job as Azure DevOps Services lists it.
func base(changes object, without ...string) object {
	request := object{
		"requestId": 1001, "queueTime": queueTime,
		"serviceOwner": "00025394-6065-48ca-87d9-7f5672854ef7",
		"hostId":       "11111111-1111-4111-8111-111111111111",
		"scopeId":      "22222222-2222-4222-8222-222222222222",
		"planType":     "Build", "planId": planID,
		"jobId":           "44444444-4444-4444-8444-444444444444",
		"demands":         []string{versioned},
		"definition":      object{"_links": object{"web": object{"href": "https://dev.azure.com/contoso/x"}}, "id": 7, "name": "app - main"},
		"owner":           object{"_links": object{"web": object{"href": "https://dev.azure.com/contoso/y"}}, "id": 501, "name": "20260105.1"},
		"data":            object{"ParallelismTag": "Private", "IsScheduledKey": "False"},
		"poolId":          44,
		"orchestrationId": planID + ".build.__default",
		"priority":        0,
	}
	maps.Copy(request, changes)
	for _, key := range without {
		delete(request, key)
	}
	return request
}

// done is a request that ran to its end.
func done(result any, without ...string) object {
	return base(object{
		"assignTime": assignTime, "receiveTime": receiveTime, "finishTime": finishTime, "result": result,
		"lockedUntil": receiveTime, "reservedAgent": reserved("online"),
	}, without...)
}

func agentObject(id int, name, status string) object {
	return object{
		"_links": object{"self": object{"href": "https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents/1"}},
		"id":     id, "name": name, "version": "4.255.0", "enabled": true, "status": status, "provisioningState": "Provisioned",
	}
}

func reserved(status string) object {
	a := agentObject(9, "agent-1", status)
	a["osDescription"], a["accessPoint"] = "Linux 6.1", "CodexAccessMapping"
	return a
}

// TestJobRequestFixtures runs one request of each known shape through the
// client. An empty want means that the request is finished and left out.
func TestJobRequestFixtures(t *testing.T) {
	matched := []object{
		agentObject(1, "dotnet60-template", "offline"), agentObject(2, "dotnet60-a", "online"),
		agentObject(3, "dotnet60-b", "online"), agentObject(4, "dotnet60-c", "online"),
	}
	running := object{"assignTime": assignTime, "receiveTime": receiveTime, "lockedUntil": "2026-01-05T08:10:04.12Z", "reservedAgent": reserved("online")}
	for _, tt := range []struct {
		name    string
		request object
		want    string // state|agent|demands|matched
	}{
		{"queued, only a version demand", base(nil), "queued||" + versioned + "|"},
		{"queued, without demands", base(nil, "demands"), "queued|||"},
		{"queued, several demands", base(object{"demands": []string{"dotnet60", "java", "cmake", versioned}}), "queued||dotnet60;java;cmake;" + versioned + "|"},
		{"queued, matched agents", base(object{"matchedAgents": matched}), "queued||" + versioned + "|dotnet60-template,dotnet60-a,dotnet60-b,dotnet60-c"},
		{"queued, all agents match", base(object{"matchesAllAgentsInPool": true, "agentDelays": []any{}}), "queued||" + versioned + "|all"},
		{"value with spaces and commas", base(object{"demands": []string{"ImageOverride -equals ubuntu 22.04, large $(x)"}}), "queued||ImageOverride -equals ubuntu 22.04, large $(x)|"},
		{"demand in other case", base(object{"demands": []string{"agent.os -equals linux"}}), "queued||agent.os -equals linux|"},
		{"unknown operator", base(object{"demands": []string{"Foo -bigger 3"}}), "queued||Foo -bigger 3|"},
		{"demands as objects", base(object{"demands": []object{{"name": "gpu"}, {"name": "Agent.OS", "value": "Linux"}}}), "queued||gpu;Agent.OS -equals Linux|"},
		{"multi-stage", base(object{"orchestrationId": planID + ".buildtest.build_and_test.__default"}), "queued||" + versioned + "|"},
		{"designer job", base(object{"orchestrationId": planID + ".job_4.__default"}), "queued||" + versioned + "|"},
		{"assigned", base(object{"assignTime": assignTime, "reservedAgent": reserved("online")}), "assigned|agent-1|" + versioned + "|"},
		{"assigned to an offline agent", base(object{"assignTime": assignTime, "reservedAgent": reserved("offline")}), "assigned|agent-1|" + versioned + "|"},
		{"assigned when queued", base(object{"assignTime": queueTime, "reservedAgent": reserved("online")}), "assigned|agent-1|" + versioned + "|"},
		{"running", base(running), "running|agent-1|" + versioned + "|"},
		{"running, with matched agents", base(object{"receiveTime": receiveTime, "matchedAgents": matched[:1]}), "running||" + versioned + "|dotnet60-template"},
		{"succeeded", done("succeeded"), ""},
		{"result without finishTime", done("succeeded", "finishTime"), ""},
		{"finishTime without result", done(nil, "result"), ""},
		{"received, never assigned", base(object{"receiveTime": receiveTime}), "running||" + versioned + "|"},
		{"failed release", base(object{"planType": "Release", "result": "failed", "finishTime": finishTime}), ""},
		{"canceled before it was assigned", base(object{"result": "canceled", "finishTime": finishTime}), ""},
		{"canceled while running", done("canceled"), ""},
		{"abandoned", done("abandoned"), ""},
		{"succeeded with issues", done("succeededWithIssues"), ""},
		{"skipped", done("skipped"), ""},
		{"unknown result", done("somethingNew"), ""},
		{"Server 2017", base(object{
			"data": object{"IsScheduledKey": "False"}, "assignTime": assignTime,
			"reservedAgent": object{"_links": object{"self": object{"href": "http://srv:8080/tfs/_apis/x"}}, "id": 1, "name": "agent-1", "status": 2},
		},
			"poolId", "orchestrationId", "priority"), "assigned|agent-1|" + versioned + "|"},
		{"deployment group", base(object{"planType": "Deployment", "data": object{}}), "queued||" + versioned + "|"},
		{"hosted", base(object{"agentSpecification": object{"VMImage": "ubuntu-latest"}}), "queued||" + versioned + "|"},
		{"public project", base(object{"data": object{"ParallelismTag": "Public"}}), "queued||" + versioned + "|"},
		{"scheduled", base(object{"data": object{"IsScheduledKey": "True"}}), "queued||" + versioned + "|"},
		{"delayed by the user", base(object{"userDelayed": true, "statusMessage": "waiting"}), "queued||" + versioned + "|"},
		{"tried again", base(object{"requestId": 1002, "queueTime": finishTime}), "queued||" + versioned + "|"},
		{"zombie", base(object{"queueTime": "2026-01-02T08:00:00Z"}), "queued||" + versioned + "|"},
		{"maintenance", base(object{"planType": "PoolMaintenance", "reservedAgent": reserved("online")}, "definition", "owner"), "assigned|agent-1|" + versioned + "|"},
		{"container job", base(object{"demands": []string{"docker"}}), "queued||docker|"},
		{"result as number", done(0), ""},
		{"result as unknown number", done(17), ""},
		{"null fields", base(object{"result": nil, "assignTime": nil, "reservedAgent": nil, "demands": nil, "matchedAgents": nil, "definition": nil}), "queued|||"},
		{"times never set", base(object{"assignTime": "0001-01-01T00:00:00", "receiveTime": "0001-01-01T00:00:00Z"}), "queued||" + versioned + "|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := listed(t, object{"count": 1, "value": []object{tt.request}})
			if err != nil {
				t.Fatal(err)
			}
			if text := describe(got); text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
		})
	}
}

// TestListShapes covers what is true of the list, not of a request in it.
func TestListShapes(t *testing.T) {
	var many []object
	for i := range 250 {
		many = append(many, base(object{"requestId": 3000 - i}))
	}
	var mixed []object
	for i := range 760 {
		mixed = append(mixed, done("succeeded"))
		if i%190 == 7 {
			mixed = append(mixed, base(object{"requestId": 5000 - i}))
		}
	}
	for _, tt := range []struct {
		name    string
		body    any
		want    int
		wantErr string
	}{
		{name: "250 queued", body: object{"count": 250, "value": many}, want: 250},
		{name: "unfinished among 760 finished", body: object{"count": 764, "value": mixed}, want: 4},
		{name: "bare list", body: []object{base(nil)}, want: 1},
		{name: "empty", body: object{"count": 0, "value": []object{}}},
		{name: "without count", body: object{"value": []object{base(nil)}}, want: 1},
		{name: "shorter than its count", body: object{"count": 3, "value": []object{}}, wantErr: "0 of 3 items"},
		{name: "no list", body: object{"count": 0}, wantErr: "holds no list"},
		{name: "null", body: nil, wantErr: "holds no list"},
		{name: "wrapped message", body: object{"count": 1, "value": object{"Message": "no"}}, wantErr: "cannot be read"},
		{name: "null in the list", body: object{"count": 1, "value": []any{nil}}, wantErr: "item 1: it is not a job request"},
		{name: "odd priority", body: []object{base(object{"priority": "High", "planType": 3})}, want: 1},
		{name: "not a time", body: object{"value": []object{base(object{"queueTime": "yesterday"})}}, wantErr: "item 1: a time is not in the form of RFC 3339"},
		{name: "not a number", body: object{"value": []object{base(object{"requestId": "secret"})}}, wantErr: `item 1: field "requestId" is a string`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := listed(t, tt.body)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || len(got) != tt.want {
				t.Fatalf("got %d requests and %v, want %d", len(got), err, tt.want)
			}
		})
	}
}

func TestJobRequestsAreOldestFirst(t *testing.T) {
	got, err := listed(t, []object{
		base(object{"requestId": 3, "queueTime": "2026-01-05T08:00:02Z"}),
		base(object{"requestId": 2, "queueTime": "2026-01-05T08:00:01Z"}),
		base(object{"requestId": 1, "queueTime": "2026-01-05T08:00:01Z"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, r := range got {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-01-05T08:00:00Z":         time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC),
		"2026-01-05T08:00:00.49Z":      time.Date(2026, 1, 5, 8, 0, 0, 490e6, time.UTC),
		"2026-01-05T08:00:00.490Z":     time.Date(2026, 1, 5, 8, 0, 0, 490e6, time.UTC),
		"2026-01-05T08:00:00.463333Z":  time.Date(2026, 1, 5, 8, 0, 0, 463333e3, time.UTC),
		"2026-01-05T08:00:00.4633333Z": time.Date(2026, 1, 5, 8, 0, 0, 4633333e2, time.UTC),
		"2026-01-05T09:00:00+01:00":    time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC),
		"2026-01-05T08:00:00.5":        time.Date(2026, 1, 5, 8, 0, 0, 5e8, time.UTC),
		"0001-01-01T00:00:00":          {},
		"":                             {},
	} {
		got, err := listed(t, []object{base(object{"queueTime": text})})
		if err != nil || len(got) != 1 || !got[0].QueueTime.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
}

// describe returns the parts of a request that decisions are made from.
func describe(requests []*JobRequest) string {
	var lines []string
	for _, r := range requests {
		var demands []string
		for _, d := range r.Demands {
			demands = append(demands, d.String())
		}
		matched := strings.Join(r.MatchedAgents, ",")
		if r.MatchesAllAgents {
			matched = "all"
		}
		lines = append(lines, fmt.Sprintf("%s|%s|%s|%s", r.State, r.Agent, strings.Join(demands, ";"), matched))
	}
	return strings.Join(lines, "\n")
}

// listed serves a body over HTTP and reads it with the client.
func listed(t *testing.T, body any) ([]*JobRequest, error) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8; api-version=7.1")
		_, _ = w.Write(text)
	}))
	defer server.Close()
	client, err := NewClient(parseURL(t, server.URL+"/contoso"), PAT("x"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client.JobRequests(once(t.Context()), Pool{ID: 44, Name: "Linux"})
}

func BenchmarkDecode1000(b *testing.B) {
	var list []object
	for i := range 1000 {
		list = append(list, base(object{"requestId": 1000 + i, "matchedAgents": []object{
			agentObject(1, "template", "offline"), agentObject(2, "agent-2", "online"),
		}}))
	}
	body, err := json.Marshal(object{"count": len(list), "value": list})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if got, err := decodeJobRequests(bytes.NewReader(body), nil); err != nil || len(got.requests) != len(list) {
			b.Fatal(got, err)
		}
	}
}
