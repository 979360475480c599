package trigger

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

func organizations(t testing.TB, urls ...string) []adoqueue.OrganizationURL {
	t.Helper()
	var list []adoqueue.OrganizationURL
	for _, text := range urls {
		url, err := adoqueue.ParseOrganizationURL(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, url)
	}
	return list
}

// described is the comparable part of a trigger.
type described struct {
	Organization         string
	Pool                 adoqueue.PoolRef
	Count                string
	Capabilities, Parent string
	Demands              []string
	Priority             int
	MinIdle              int
	Target, Activation   int64
	Shard                string
}

func TestParseTrigger(t *testing.T) {
	one := organizations(t, "https://dev.azure.com/contoso")
	two := organizations(t, "https://dev.azure.com/contoso", "https://dev.azure.com/fabrikam")
	plain := described{Organization: "https://dev.azure.com/contoso", Pool: adoqueue.PoolRef{Name: "Linux"}, Count: "owned", Target: 1}
	with := func(change func(*described)) described {
		d := plain
		change(&d)
		return d
	}
	for _, tt := range []struct {
		name   string
		known  []adoqueue.OrganizationURL
		values map[string]string
		want   described
	}{
		{"least", one, map[string]string{"poolName": "Linux"}, plain},
		{"what KEDA adds", one, map[string]string{"poolName": "Linux", "scalerAddress": "x:9090", "enableTLS": "true", "unsafeSsl": "false"}, plain},
		{"empty values count as not given", one, map[string]string{"poolName": " Linux ", "poolID": "", "demands": "", "count": ""}, plain},
		{"by id", one, map[string]string{"poolID": "44"}, with(func(d *described) { d.Pool = adoqueue.PoolRef{ID: 44} })},
		{"name before id", one, map[string]string{"poolName": "Linux", "poolID": "44"}, with(func(d *described) { d.Pool.ID = 44 })},
		{
			"second organization", two,
			map[string]string{"poolName": "Linux", "organizationURL": "https://fabrikam.visualstudio.com/"},
			with(func(d *described) { d.Organization = "https://dev.azure.com/fabrikam" }),
		},
		{
			"from the container's environment", two,
			map[string]string{"poolName": "Linux", "organizationURLFromEnv": "https://dev.azure.com/fabrikam"},
			with(func(d *described) { d.Organization = "https://dev.azure.com/fabrikam" }),
		},
		{
			"ours", one,
			map[string]string{"poolName": "Linux", "capabilities": "docker, java=17", "priority": "-3", "minIdle": "2", "count": "owned"},
			with(func(d *described) { d.Capabilities, d.Priority, d.MinIdle = "docker,java=17", -3, 2 }),
		},
		{"a shard", one, map[string]string{"poolName": "Linux", "shard": " 2/3 "}, with(func(d *described) { d.Shard = "2/3" })},
		{"in flight", one, map[string]string{"poolName": "Linux", "scaleOnInFlight": "true"}, with(func(d *described) { d.Count = "unfinished" })},
		{"not in flight", one, map[string]string{"poolName": "Linux", "scaleOnInFlight": "false", "count": "queued"}, with(func(d *described) { d.Count = "queued" })},
		{
			"targets", one,
			map[string]string{"poolName": "Linux", "count": "queued", "targetPipelinesQueueLength": "5", "activationTargetPipelinesQueueLength": "2"},
			with(func(d *described) { d.Count, d.Target, d.Activation = "queued", 5, 2 }),
		},
		{
			"built-in scaler's demands", one,
			map[string]string{"poolName": "Linux", "demands": "java, Agent.Version -gtVersion 2,maven", "requireAllDemands": "true"},
			with(func(d *described) { d.Demands = []string{"java", "maven"} }),
		},
		{
			"built-in scaler's parent", one,
			map[string]string{"poolName": "Linux", "parent": "template", "fetchUnfinishedJobsOnly": "true"},
			with(func(d *described) { d.Parent = "template" }),
		},
		{"jobsToFetch is without effect", one, map[string]string{"poolName": "Linux", "jobsToFetch": "50"}, plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.values, Context{Organizations: tt.known, DefaultCount: Owned})
			if err != nil {
				t.Fatal(err)
			}
			text := described{
				Organization: got.Organization.String(), Pool: got.Pool, Count: got.Count.Name,
				Capabilities: got.Requests.Capabilities.String(), Parent: got.Requests.Parent, Demands: got.Requests.demands,
				Priority: got.Priority, MinIdle: got.MinIdle, Target: got.Target, Activation: got.Activation,
				Shard: got.Requests.Shard.String(),
			}
			if diff := cmp.Diff(tt.want, text); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseTriggerReportsEveryMistake(t *testing.T) {
	known := organizations(t, "https://dev.azure.com/contoso", "https://dev.azure.com/fabrikam")
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   []string
	}{
		{"nothing given", nil, []string{
			"2 mistakes", "organizationURL \"\": is required", "https://dev.azure.com/contoso, https://dev.azure.com/fabrikam",
			"poolName or poolID is required",
		}},
		{"what decides what is counted", map[string]string{
			"organizationURL": "https://dev.azure.com/evil", "poolID": "x", "count": "some", "requireAllDemands": "yes!",
			"capabilities": "a b", "demands": "java", "pollName": "typo",
		}, []string{
			"7 mistakes",
			`organizationURL "https://dev.azure.com/evil": the scaler has no credential for it; it serves https://dev.azure.com/contoso`,
			`poolID "x": must be a whole number from 1 to`,
			`count "some": must be one of exact, owned, queued, unfinished`,
			`requireAllDemands "yes!": must be true or false`,
			`capabilities "a b": must be a list such as docker,java=17: name "a b" holds a space`,
			`demands "java": and capabilities cannot be combined`,
			`pollName: is not known`, "; known are capabilities,",
		}},
		{"numbers", map[string]string{
			"organizationURL": "https://dev.azure.com/contoso", "poolName": "L", "priority": "high", "minIdle": "-1",
			"targetPipelinesQueueLength": "0", "activationTargetPipelinesQueueLength": "1.5", "jobsToFetch": "many", "fetchUnfinishedJobsOnly": "2",
		}, []string{
			"7 mistakes",
			`priority "high": must be a whole number from -2147483648 to 2147483647`,
			`minIdle "-1": must be a whole number from 0`,
			`targetPipelinesQueueLength "0": must be a whole number from 1`,
			`activationTargetPipelinesQueueLength "1.5": must be`,
			`jobsToFetch "many": must be a whole number`,
			`jobsToFetch "many": and fetchUnfinishedJobsOnly cannot be combined`,
			`fetchUnfinishedJobsOnly "2": must be true or false`,
		}},
		{
			"a shard that there is not, and a count",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "shard": "3/2", "count": "all"},
			[]string{"2 mistakes", `shard "3/2": must be K/N, such as 1/2, with K from 1 to N and N up to 64`, `count "all": must be`},
		},
		{
			"target with count owned",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "targetPipelinesQueueLength": "2"},
			[]string{`targetPipelinesQueueLength "2": must be 1 with count owned`},
		},
		{
			"minIdle with another count",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "minIdle": "1", "count": "queued"},
			[]string{`minIdle "1": requires count exact or owned`},
		},
		{
			"a schedule that there is not",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "count": "scheduled", "warmMaxAge": "1h"},
			[]string{"2 mistakes", `count "scheduled": is what warm and minIdle say; set one of them`, `warmMaxAge "1h": is for agents; leave it out`},
		},
		{
			"warm with another count",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "warm": "8:00-9:00 1", "count": "queued"},
			[]string{`warm "8:00-9:00 1": requires count exact or owned`},
		},
		{
			"mistakes in a schedule",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "warm": "Foo 8:00-9:00 1; 8:00-8:00 1", "warmTimeZone": "Mars", "warmMaxAge": "5"},
			[]string{"4 mistakes", `warmTimeZone: unknown time zone "Mars"`, `"Foo" is not a day`, `"8:00-8:00" is empty`, `warmMaxAge "5": must be a time such as 90m or 12h, at least 1m0s`},
		},
		{
			"a time zone alone",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "warmTimeZone": "Europe/Berlin"},
			[]string{`warmTimeZone "Europe/Berlin": is for warm, which is missing`},
		},
		{
			"two names for two counts",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "scaleOnInFlight": "true", "count": "queued"},
			[]string{`scaleOnInFlight "true": means count unfinished`},
		},
		{
			"jobsToFetch and parent",
			map[string]string{"poolName": "L", "organizationURL": "https://dev.azure.com/contoso", "jobsToFetch": "1", "parent": "p"},
			[]string{`jobsToFetch "1": and parent cannot be combined`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.values, Context{Organizations: known, DefaultCount: Owned})
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\nlacks %s", err, part)
				}
			}
		})
	}
}

func TestParseWarm(t *testing.T) {
	got, err := Parse(map[string]string{
		"poolName": "L", "minIdle": "1", "warm": "mon-fri 8:00-18:00 5 +20%", "warmTimeZone": "Europe/Berlin", "warmMaxAge": "90m",
	}, Context{Organizations: organizations(t, "https://dev.azure.com/contoso"), DefaultCount: Owned})
	if err != nil {
		t.Fatal(err)
	}
	if text := got.Warm.String(); text != "Mon-Fri 08:00-18:00 5 +20%" || got.Warm.Zone() != "Europe/Berlin" || got.WarmMaxAge != 90*time.Minute {
		t.Errorf("got %s in %s and %v", text, got.Warm.Zone(), got.WarmMaxAge)
	}
}

func TestParseTriggerRefusesCredentials(t *testing.T) {
	const secret = "s3cr3t-p4t"
	known := organizations(t, "https://dev.azure.com/contoso")
	for _, key := range []string{
		"personalAccessToken", "personalAccessTokenFromEnv", "PersonalAccessToken", "token", "PAT", "ORG_PAT",
		"clientSecret", "personalAcessToken", "organizationURL",
	} {
		value := secret
		if key == "organizationURL" {
			value = "https://user:" + secret + "@dev.azure.com/contoso"
		}
		_, err := Parse(map[string]string{"poolName": "Linux", key: value}, Context{Organizations: known, DefaultCount: Owned})
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: error %v, want one that names it", key, err)
		}
		if strings.HasPrefix(key, "personalAccessToken") && !strings.Contains(err.Error(), "a trigger must not hold credentials") {
			t.Errorf("%s: error %v, want the reason", key, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the secret: %v", key, err)
		}
	}
}

func FuzzParseTrigger(f *testing.F) {
	f.Add("poolName", "Linux", "capabilities", "docker,java=17")
	f.Add("poolID", "12", "demands", "a, b -equals c")
	f.Add("count", "queued", "scaleOnInFlight", "false")
	known := organizations(f, "https://dev.azure.com/contoso")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		values := map[string]string{key1: value1, key2: value2}
		before := maps.Clone(values)
		var got *Trigger
		var err error
		memtest.Within(t, len(key1)+len(value1)+len(key2)+len(value2), 300, func() {
			got, err = Parse(values, Context{Organizations: known, DefaultCount: Owned})
		})
		if !maps.Equal(values, before) {
			t.Error("the metadata was changed")
		}
		if err == nil && (got.Target < 1 || got.MinIdle < 0 || got.Activation < 0 || got.Pool == (adoqueue.PoolRef{}) || got.Organization.String() == "") {
			t.Errorf("%q gave %+v without an error", values, got)
		}
	})
}

// TestErrorIsBounded has a caller send as much as a message holds.
func TestErrorIsBounded(t *testing.T) {
	values := map[string]string{"poolName": "L", "count": strings.Repeat("x", 1<<20), strings.Repeat("k", 1<<20): "v"}
	for i := range 10_000 {
		values[fmt.Sprintf("unknown%d", i)] = "value"
	}
	_, err := Parse(values, Context{Organizations: organizations(t, "https://dev.azure.com/contoso"), DefaultCount: Owned})
	if err == nil || len(err.Error()) > 2200 || !strings.HasPrefix(err.Error(), "10002 mistakes") || !strings.Contains(err.Error(), "and 9992 more") {
		t.Fatalf("got %d bytes: %.300v", len(err.Error()), err)
	}
	if n := strings.Count(err.Error(), "known are"); n != 1 {
		t.Errorf("lists the known keys %d times, want once", n)
	}
}

func TestAgrees(t *testing.T) {
	manifest := map[string]string{"poolName": "Linux", "organizationURLFromEnv": "AZP_URL"}
	for _, tt := range []struct {
		name string
		sent map[string]string
		want bool
	}{
		{"the value of the variable", map[string]string{"poolName": "Linux", "organizationURLFromEnv": "https://dev.azure.com/contoso"}, true},
		{"a variable that is not set", map[string]string{"poolName": "Linux"}, true},
		{"another pool", map[string]string{"poolName": "Windows", "organizationURLFromEnv": "x"}, false},
		{"a key less", map[string]string{"organizationURLFromEnv": "x"}, false},
		{"a key more", map[string]string{"poolName": "Linux", "organizationURLFromEnv": "x", "minIdle": "1"}, false},
		{"nothing", nil, false},
	} {
		if got := Agrees(manifest, tt.sent); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCheckStrategy(t *testing.T) {
	for _, tt := range []struct {
		count    Count
		strategy string
		want     string
	}{
		{Exact, "", ""},
		{Exact, "default", ""},
		{Exact, "accurate", "default"},
		{Owned, "eager", "default"},
		{Queued, "", "accurate"},
		{Queued, "custom", ""},
		{Unfinished, "accurate", "default"},
	} {
		if got := tt.count.CheckStrategy(tt.strategy); got != tt.want {
			t.Errorf("%s with %q: got %q, want %q", tt.count.Name, tt.strategy, got, tt.want)
		}
	}
}
