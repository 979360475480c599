package adoqueue

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

// The fuzz targets of what others write. Each holds its reader to a bound on
// memory: a fixed part, and so much for each byte that is read. A demand of three
// bytes becomes a struct, a string and an entry of a map.
const memoryPerByte = 300

// withinMemory fails if do allocates more than its input is worth.
func withinMemory(t *testing.T, input int, do func()) {
	t.Helper()
	memtest.Within(t, input, memoryPerByte, do)
}

func isPrintable(texts ...string) bool {
	for _, text := range texts {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return false
		}
	}
	return true
}

// addJSON adds seeds to a target: these values, as Azure DevOps might write
// them, and what is common to all readers.
func addJSON(f *testing.F, seeds ...any) {
	f.Helper()
	for _, seed := range seeds {
		text, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(append([]byte("\xef\xbb\xbf"), text...))
	}
	for _, seed := range []string{
		`{"value":[{}]}`, `{"count":3,"value":[null]}`, `{"count":1,"value":{"Message":"x"}}`, `null`, `[`, `{"value":[],"value":[]}`,
		`{"value":[]} {"value":[]}`, `{"x":[[[]]],"value":[]}`, `{"VALUE":[],"count":"1"}`,
	} {
		f.Add([]byte(seed))
	}
}

func FuzzJobRequests(f *testing.F) {
	addJSON(f, object{"count": 1, "value": []object{base(nil)}}, []object{done("failed")},
		[]object{base(object{"matchedAgents": []object{agentObject(1, "a\u202e", "online")}}), base(object{"receiveTime": receiveTime})})
	f.Add([]byte(`{"value":[{"requestId":1,"demands":[{"name":"a"},"b -equals c"],"result":3,"priority":"x"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var list *requestList
		var err error
		withinMemory(t, len(body), func() { list, err = decodeJobRequests(bytes.NewReader(body), nil) })
		if err != nil {
			if list != nil {
				t.Errorf("both a list and the error %v", err)
			}
			return
		}
		again, err := decodeJobRequests(bytes.NewReader(body), list)
		if err != nil || !slices.Equal(again.requests, list.requests) || again.size() != list.size() {
			t.Errorf("read again, the list has changed: %v", err)
		}
		seen := map[int64]bool{}
		for i, r := range list.requests {
			if r.State == Finished || r.ID == 0 || seen[r.ID] {
				t.Errorf("request %d is finished, none, or there already", r.ID)
			}
			seen[r.ID] = true
			if i > 0 && list.requests[i-1].QueueTime.After(r.QueueTime) {
				t.Errorf("request %d comes after a younger one", r.ID)
			}
			if !isPrintable(append(r.MatchedAgents, r.JobID, r.Agent, r.Definition, r.Run)...) {
				t.Errorf("request %d has texts that cannot be shown: %+v", r.ID, r)
			}
		}
	})
}

func FuzzPools(f *testing.F) {
	addJSON(f, object{"value": []object{{"id": 1, "name": "Linux", "options": "elasticPool, singleUseAgents"}, {"id": 2, "name": "linux", "options": 3}}})
	f.Fuzz(func(t *testing.T, body []byte) {
		var pools []Pool
		withinMemory(t, len(body), func() { pools, _ = decodePools(bytes.NewReader(body)) })
		index := newPoolIndex(pools)
		for _, p := range pools {
			if p.ID == 0 || !isPrintable(p.Name) {
				t.Errorf("%+v is no pool", p)
			}
			if found, err := index.find(PoolRef{Name: strings.ToUpper(p.Name), ID: p.ID}); err == nil && (found.Hosted || found.Elastic) {
				t.Errorf("%+v has no self-hosted agents", found)
			}
		}
	})
}

func FuzzAgents(f *testing.F) {
	agent := agentObject(1, "agent-1", "online")
	agent["systemCapabilities"], agent["userCapabilities"] = object{"Agent.OS": "Linux"}, nil
	agent["assignedRequest"], agent["statusChangedOn"] = object{"requestId": 7}, queueTime
	addJSON(f, object{"count": 1, "value": []object{agent}}, agent)
	f.Fuzz(func(t *testing.T, body []byte) {
		var agents []Agent
		withinMemory(t, 2*len(body), func() {
			agents, _ = decodeAgents(bytes.NewReader(body))
			if one, err := decodeAgent(bytes.NewReader(body)); err == nil {
				agents = append(agents, one)
			}
		})
		for _, a := range agents {
			if a.ID == 0 || !isPrintable(a.Name, a.Version) {
				t.Errorf("%+v is no agent", a)
			}
		}
	})
}

func FuzzPackage(f *testing.F) {
	addJSON(f, object{"value": []object{{
		"type": "agent", "platform": "linux-x64", "filename": "a.tar.gz", "downloadUrl": "https://x/a.tar.gz",
		"hashValue": "00", "version": object{"major": 4, "minor": 255, "patch": 0},
	}}})
	f.Fuzz(func(t *testing.T, body []byte) {
		withinMemory(t, len(body), func() {
			if found, err := decodePackage(bytes.NewReader(body)); err != nil && found != nil {
				t.Errorf("both %+v and the error %v", found, err)
			}
		})
	})
}

func FuzzParallelJobs(f *testing.F) {
	addJSON(f, object{"resourceLimit": object{"totalCount": 3}, "usedCount": 1}, object{"resourceLimit": object{"totalCount": nil}})
	f.Fuzz(func(t *testing.T, body []byte) {
		withinMemory(t, len(body), func() {
			if jobs, err := decodeParallelJobs(bytes.NewReader(body)); err != nil && jobs != (ParallelJobs{}) {
				t.Errorf("both %+v and the error %v", jobs, err)
			}
		})
	})
}

// FuzzFailure reads what is no success.
func FuzzFailure(f *testing.F) {
	addJSON(f, object{"typeKey": "X", "message": "TF400813: no"}, object{"count": 1, "value": object{"Message": "m\x1b[2J"}})
	exchange := &exchange{authorization: "Basic OnM0ZmUtdDBrM24="}
	f.Fuzz(func(t *testing.T, body []byte) {
		withinMemory(t, 20*len(body), func() {
			typeKey, message := decodeFailure(body)
			err := exchange.failure(call{operation: "x"}, &Error{TypeKey: typeKey, Message: message, cause: http.ErrAbortHandler})
			if text := err.Error(); !isPrintable(text) || len(text) > 2048 || strings.Contains(asciiLower(text), "s4fe-t0k3n") {
				t.Errorf("%q", text)
			}
		})
	})
}

func FuzzDemand(f *testing.F) {
	for _, seed := range []string{
		"docker", "java -gtVersion 11", "a -equals b, c", "-equals x", "x -", "\xff -equals \xff",
		"Agent.OS -equals linux", "Agent.Name -equals a", "Agent.Version -gtVersion 4.1", "a\x1b[2J\u202e -equals b",
	} {
		f.Add(seed, "docker,java=17")
	}
	f.Fuzz(func(t *testing.T, text, list string) {
		withinMemory(t, len(text)+len(list), func() {
			d := ParseDemand(text)
			if again := ParseDemand(d.String()); again != d || !isPrintable(d.String()) {
				t.Errorf("%q parses as %+v, its text as %+v", text, d, again)
			}
			capabilities, err := ParseCapabilities(list)
			if err == nil && d.Operator == Unknown && d.MetBy(capabilities.WithSystem(SystemDefaults{OS: text})) {
				t.Errorf("%q is met although its operator is unknown", text)
			}
		})
	})
}

func FuzzCapabilities(f *testing.F) {
	for _, seed := range []string{"", "docker", " Docker , java = 17 ,args=a=b", "a b,=x,c,C", "Agent.OS", "a=\xff\x1b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		withinMemory(t, len(list), func() {
			capabilities, err := ParseCapabilities(list)
			if err != nil {
				return
			}
			again, err := ParseCapabilities(capabilities.String())
			if err != nil || !cmp.Equal(again, capabilities) {
				t.Errorf("%q parses as %v, its text as %v (%v)", list, capabilities, again, err)
			}
		})
	})
}

func FuzzOrganizationURL(f *testing.F) {
	for _, seed := range []string{
		"https://dev.azure.com/contoso", "https://contoso.visualstudio.com/", "http://127.0.0.1:8081/tfs/A%20B", "https://u:p@dev.azure.com/x", "https://[::1/x",
	} {
		f.Add(seed)
	}
	var messages []string
	for _, invalid := range []string{":", "https://u:p@x", "ftp:", "https://x?q", "https://dev.azure.com", "https://x.visualstudio.com/p"} {
		_, err := ParseOrganizationURL(invalid)
		messages = append(messages, err.Error())
	}
	f.Fuzz(func(t *testing.T, text string) {
		withinMemory(t, len(text), func() {
			o, err := ParseOrganizationURL(text)
			if err != nil {
				if !slices.Contains(messages, err.Error()) {
					t.Errorf("the error depends on the address, which may hold a password: %v", err)
				}
				return
			}
			again, err := ParseOrganizationURL(o.String())
			if err != nil || !again.Same(o) || !isPrintable(o.String()) {
				t.Errorf("%q parses as %q, that as %v, %v", text, o, again, err)
			}
			host := o.base.Hostname()
			address, _ := netip.ParseAddr(host)
			if own := host == "localhost" || address.Zone() == "" && address.Unmap().IsLoopback(); o.base.Scheme == "http" && o.safe() != own {
				t.Errorf("a credential may travel to %q: %v, but that is this machine: %v", o, o.safe(), own)
			}
		})
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"17", "-1", "1e300", "NaN", "Inf", "Mon, 05 Jan 2026 08:00:42 GMT", "0x1p9", " 3 "} {
		f.Add(seed, seed)
	}
	now := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, after, delay string) {
		withinMemory(t, len(after)+len(delay), func() {
			header := http.Header{"Retry-After": {after}, http.CanonicalHeaderKey(rateLimitDelay): {delay}}
			if wait := retryAfter(header, now); wait < 0 || wait > maxHold {
				t.Errorf("%q, %q: wait %v", after, delay, wait)
			}
		})
	})
}
