package jobtemplate

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

func TestName(t *testing.T) {
	long := strings.Repeat("pool", 50)
	for _, test := range []struct{ prefix, pool, want string }{
		{"agent-job-", "linux", "agent-job-linux"},
		{"agent-job-", "LINUX", "agent-job-linux"},
		{"agent-job", "linux", "agent-job-linux"},
		{"Agent Job", "linux", "agent-job-linux"},
		{"", "Linux", "linux"},
		{"a-", "linux-gpu", "a-linux-gpu"},
		{"a-", "Linux GPU", "a-linux-gpu-560bd8db"},
		{"a-", "linux/gpu", "a-linux-gpu-04ff8291"},
		{"a-", "größe", "a-gr-e-690ddd72"},
		{"a-", "日本", "a-cf2abf0c"},
		{"a-", "-x-", "a-x-c6cf95e5"},
		{"a-", "build-deadbeef", "a-build-deadbeef-b2b3858d"},
		{"a-", "deadbeef", "a-deadbeef-2baf1f40"},
		{"agent-job-", long, "agent-job-poolpoolpoolpoolpoolpoolpoolpool-2f096954"},
	} {
		if got, err := Name(test.prefix, test.pool); err != nil || got != test.want {
			t.Errorf("Name(%q, %q) = %q, %v; want %q", test.prefix, test.pool, got, err, test.want)
		}
	}
}

func TestNameRefuses(t *testing.T) {
	for _, test := range []struct{ prefix, pool, want string }{
		{"-x", "linux", "prefix"},
		{"--", "linux", "prefix"},
		{"a_b", "linux", "prefix"},
		{"größe", "linux", "prefix"},
		{"a.b", "linux", "prefix"},
		{strings.Repeat("a", maxPrefix), "linux", "prefix"},
		{"a-", "", "pool"},
		{"a-", "\xff", "pool"},
	} {
		if got, err := Name(test.prefix, test.pool); err == nil || !strings.HasPrefix(err.Error(), test.want+": ") {
			t.Errorf("Name(%q, %q) = %q, %v; want a word on %s", test.prefix, test.pool, got, err, test.want)
		}
	}
}

// TestNameDistinct tries names that are alike once they are made a label.
func TestNameDistinct(t *testing.T) {
	var pools []string
	for _, start := range []string{"", "a", "-", " ", "a ", "a/", "ä", "i", "İ", "build", strings.Repeat("p", 60), strings.Repeat("p", 199)} {
		for _, end := range []string{"", "b", "-", "--", " ", "_", ".", "/", "\\", "é", "1", "-1"} {
			if start+end != "" {
				pools = append(pools, start+end)
			}
		}
	}
	for i := range 1000 {
		pools = append(pools, fmt.Sprintf("pool %d", i), fmt.Sprintf("pool-%d", i), fmt.Sprintf("%0200d", i))
	}
	seen := map[string]string{}
	// The names that come out are names of pools as well.
	for range 2 {
		for _, pool := range pools {
			name, err := Name("", pool)
			if err != nil {
				t.Fatal(err)
			}
			if other, ok := seen[name]; ok && !strings.EqualFold(other, pool) {
				t.Errorf("%q and %q are both %s", pool, other, name)
			}
			seen[name] = pool
		}
		for name := range seen {
			pools = append(pools, name)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, pool := range []string{"linux", "Linux GPU", "-", "日本", strings.Repeat("x", 200), "K\u212a", "ǅ"} {
		f.Add("agent-job-", pool)
		f.Add("", pool)
	}
	f.Fuzz(func(t *testing.T, prefix, pool string) {
		var name string
		var err error
		memtest.Within(t, len(prefix)+len(pool), 100, func() { name, err = Name(prefix, pool) })
		if err != nil {
			return
		}
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 || len(name) > 51 {
			t.Errorf("Name(%q, %q) = %q, %d long: %v", prefix, pool, name, len(name), problems)
		}
		for _, spelling := range []string{strings.ToLower(pool), strings.ToUpper(pool)} {
			if !strings.EqualFold(spelling, pool) {
				continue // not merely another case, as with ß and SS
			}
			if other, err := Name(prefix, spelling); err != nil || other != name {
				t.Errorf("%q is %q, but %q is %q, %v", pool, name, spelling, other, err)
			}
		}
	})
}
