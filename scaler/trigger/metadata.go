package trigger

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/warm"
)

// own are the keys of this scaler. Apart from the first two lines they are those of
// KEDA's built-in azure-pipelines scaler.
var own = []string{
	"capabilities", "priority", "count", "shard",
	"minIdle", "warm", "warmTimeZone", "warmMaxAge",
	"organizationURL", "poolName", "poolID",
	"demands", "requireAllDemands", "requireAllDemandsAndIgnoreOthers", "caseInsensitiveDemandsProcessing", "parent",
	"targetPipelinesQueueLength", "activationTargetPipelinesQueueLength", "scaleOnInFlight",
	"jobsToFetch", "fetchUnfinishedJobsOnly",
}

// keda are the keys that KEDA reads itself and passes on.
var keda = []string{ScalerAddress, "enableTLS", "unsafeSsl", "caCert", "tlsClientCert", "tlsClientKey"}

// The bounds of an error: whoever can reach the scaler may send any metadata.
const (
	maxProblems = 10
	maxQuoted   = 80
	maxMistake  = 200
	maxError    = 2 << 10
)

// metadata reads the values of a trigger and collects what is wrong with them.
type metadata struct {
	values   map[string]string
	problems []string // the first maxProblems
	count    int      // of all problems
	unknown  bool     // there are keys that are not known
}

// newMetadata takes the values that KEDA sends. As in the built-in scaler, a
// value from the environment replaces that of the key without this ending.
func newMetadata(values map[string]string) *metadata {
	m := &metadata{values: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := strings.TrimSuffix(key, fromEnv)
		switch {
		case isSecret(name):
			m.add(quoted(key) + ": a trigger must not hold credentials, because KEDA sends them with every call; " +
				"give them to the scaler (ORG_PAT_FILE or ORG_AUTH)")
		case slices.Contains(own, name):
			if value := strings.TrimSpace(values[key]); value != "" || name == "capabilities" {
				m.values[name] = value
			}
		case !slices.Contains(keda, name):
			m.unknown = true
			// Without its value, which is as likely a secret as not.
			m.add(quoted(key) + ": is not known")
		}
	}
	return m
}

// isSecret reports whether a key is likely to hold a credential, so that its
// value must not be repeated.
func isSecret(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "token") || strings.Contains(key, "secret") || strings.Contains(key, "password") ||
		key == "pat" || key == "orgpat"
}

func (m *metadata) has(key string) bool {
	_, ok := m.values[key]
	return ok
}

func (m *metadata) add(problem string) {
	m.count++
	if len(m.problems) < maxProblems {
		m.problems = append(m.problems, problem)
	}
}

// problem reports what is wrong with a key, which it names with its value.
func (m *metadata) problem(key, format string, args ...any) {
	m.add(fmt.Sprintf("%s %q: ", key, quoted(m.values[key])) + fmt.Sprintf(format, args...))
}

// quoted returns a foreign text short enough for an error.
func quoted(text string) string { return cut(safetext.Printable(text), maxQuoted) }

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func (m *metadata) err() error {
	if m.count == 0 {
		return nil
	}
	text := strings.Join(m.problems, "; ")
	if more := m.count - len(m.problems); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	known := ""
	if m.unknown { // last, so that a reader who cuts it still has the mistakes
		known = "; known are " + strings.Join(own, ", ")
	}
	text = cut(text, maxError-len(known)) + known
	if m.count == 1 {
		return fmt.Errorf("mistake in the trigger's metadata: %s", text)
	}
	return fmt.Errorf("%d mistakes in the trigger's metadata: %s", m.count, text)
}

func (m *metadata) integer(key string, unset, least int64) int64 {
	if !m.has(key) {
		return unset
	}
	n, err := strconv.ParseInt(m.values[key], 10, 64)
	if err != nil || n < least || n > math.MaxInt32 {
		m.problem(key, "must be a whole number from %d to %d", least, math.MaxInt32)
		return unset
	}
	return n
}

// duration reads a time such as 90m, of at least so much; 0 means that there is none.
func (m *metadata) duration(key string, least time.Duration) time.Duration {
	if !m.has(key) {
		return 0
	}
	d, err := time.ParseDuration(m.values[key])
	if err != nil || d < least {
		m.problem(key, "must be a time such as 90m or 12h, at least %v", least)
		return 0
	}
	return d
}

// warm reads the schedule of idle agents.
func (m *metadata) warm() *warm.Schedule {
	if !m.has("warm") {
		if m.has("warmTimeZone") {
			m.problem("warmTimeZone", "is for warm, which is missing")
		}
		return nil
	}
	schedule, err := warm.Parse(m.values["warm"], m.values["warmTimeZone"])
	if err != nil {
		for mistake := range strings.SplitSeq(err.Error(), "\n") {
			key := "warm: "
			if strings.HasPrefix(mistake, warm.UnknownZone) {
				key = "warmTimeZone: "
			}
			m.add(key + cut(mistake, maxMistake))
		}
	}
	return schedule
}

func (m *metadata) boolean(key string, unset bool) bool {
	if !m.has(key) {
		return unset
	}
	b, err := strconv.ParseBool(m.values[key])
	if err != nil {
		m.problem(key, "must be true or false")
		return unset
	}
	return b
}

// organization returns the one that the trigger names, as the settings spell it.
func (m *metadata) organization(known []adoqueue.OrganizationURL) adoqueue.OrganizationURL {
	names := func() string {
		list := make([]string, len(known))
		for i, o := range known {
			list[i] = o.String()
		}
		return strings.Join(list, ", ")
	}
	if !m.has("organizationURL") {
		if len(known) == 1 {
			return known[0]
		}
		m.problem("organizationURL", "is required, since the scaler serves several: %s", names())
		return adoqueue.OrganizationURL{}
	}
	url, err := adoqueue.ParseOrganizationURL(m.values["organizationURL"])
	if err != nil {
		// The value is not shown: it may hold a password.
		m.add("organizationURL: " + err.Error())
		return adoqueue.OrganizationURL{}
	}
	for _, o := range known {
		if o.Same(url) {
			return o
		}
	}
	m.problem("organizationURL", "the scaler has no credential for it; it serves %s", names())
	return adoqueue.OrganizationURL{}
}

func (m *metadata) pool() adoqueue.PoolRef {
	ref := adoqueue.PoolRef{Name: m.values["poolName"]}
	if !m.has("poolName") && !m.has("poolID") {
		m.problem("poolName", "poolName or poolID is required")
	}
	ref.ID = int(m.integer("poolID", 0, 1))
	return ref
}

func (m *metadata) shard() adoqueue.Shard {
	if !m.has("shard") {
		return adoqueue.Shard{}
	}
	shard, err := adoqueue.ParseShard(m.values["shard"])
	if err != nil {
		m.problem("shard", "%s", err)
	}
	return shard
}

// readCount reads what to count: by our name for it, or by that of the built-in
// scaler.
func (m *metadata) readCount(unset Count) Count {
	count := unset
	if name := cmp.Or(m.values["count"], unset.Name); name != unset.Name {
		i := slices.IndexFunc(counts, func(c Count) bool { return c.Name == name })
		if i < 0 {
			m.problem("count", "must be one of %s", strings.Join(countNames(), ", "))
			return unset
		}
		count = counts[i]
	}
	if !m.has("scaleOnInFlight") {
		return count
	}
	same := Queued
	if m.boolean("scaleOnInFlight", true) {
		same = Unfinished
	}
	if m.has("count") && count.Name != same.Name {
		m.problem("scaleOnInFlight", "means count %s; remove it or count %s", same.Name, count.Name)
	}
	return same
}

func countNames() []string {
	names := make([]string, len(counts))
	for i := range counts {
		names[i] = counts[i].Name
	}
	return names
}

func (m *metadata) selector() Selector {
	s := Selector{
		Parent:     m.values["parent"],
		Shard:      m.shard(),
		demands:    splitDemands(m.values["demands"], m.has("demands")),
		exact:      m.boolean("requireAllDemands", false),
		superset:   m.boolean("requireAllDemandsAndIgnoreOthers", false),
		ignoreCase: m.boolean("caseInsensitiveDemandsProcessing", false),
	}
	if !m.has("capabilities") {
		return s
	}
	if m.has("demands") {
		m.problem("demands", "and capabilities cannot be combined; prefer capabilities")
	}
	capabilities, err := adoqueue.ParseCapabilities(m.values["capabilities"])
	if err != nil {
		m.problem("capabilities", "must be a list such as docker,java=17: %s", strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	s.Capabilities = capabilities
	return s
}

// checkIgnored checks the keys that the built-in scaler needs to read all
// unfinished jobs, which this one always does. Values that it refuses are refused here.
func (m *metadata) checkIgnored() {
	m.integer("jobsToFetch", 0, 1)
	m.boolean("fetchUnfinishedJobsOnly", false)
	for _, other := range []string{"fetchUnfinishedJobsOnly", "parent"} {
		if m.has("jobsToFetch") && m.has(other) {
			m.problem("jobsToFetch", "and %s cannot be combined; neither jobsToFetch nor fetchUnfinishedJobsOnly is needed", other)
		}
	}
}
