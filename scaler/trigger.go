package scaler

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// A count is what of a pool's requests makes up the metric.
const (
	countExact      = "exact"      // joined with the Jobs in Kubernetes
	countOwned      = "owned"      // queued for it, and running on agents that carry its name
	countQueued     = "queued"     // not yet received by an agent
	countUnfinished = "unfinished" // without a result
)

var counts = []string{countExact, countOwned, countQueued, countUnfinished}

// trigger is what the metadata of one trigger asks for.
type trigger struct {
	organization Organization
	pool         adoqueue.PoolRef
	count        string
	requests     selector
	priority     int
	minIdle      int64
	target       int64
	activation   int64
}

// own are the keys that mean something here. Apart from the first line they are
// those of KEDA's built-in azure-pipelines scaler.
var own = []string{
	"capabilities", "priority", "minIdle", "count",
	"organizationURL", "poolName", "poolID",
	"demands", "requireAllDemands", "requireAllDemandsAndIgnoreOthers", "caseInsensitiveDemandsProcessing", "parent",
	"targetPipelinesQueueLength", "activationTargetPipelinesQueueLength", "scaleOnInFlight",
	"jobsToFetch", "fetchUnfinishedJobsOnly",
}

// scalerAddress is the key by which a trigger names this scaler.
const scalerAddress = "scalerAddress"

// keda are the keys that KEDA reads itself and passes on.
var keda = []string{scalerAddress, "enableTLS", "unsafeSsl", "caCert", "tlsClientCert", "tlsClientKey"}

// parseTrigger reads a trigger's metadata; it counts as told if that does not
// name a count. The error holds every mistake.
func parseTrigger(values map[string]string, organizations []Organization, count string) (*trigger, error) {
	m := newMetadata(values)
	t := &trigger{
		organization: m.organization(organizations),
		pool:         m.pool(),
		count:        m.count(count),
		requests:     m.selector(),
		priority:     int(m.integer("priority", 0, math.MinInt32)),
		minIdle:      m.integer("minIdle", 0, 0),
		target:       m.integer("targetPipelinesQueueLength", 1, 1),
		activation:   m.integer("activationTargetPipelinesQueueLength", 0, 0),
	}
	oneToOne := t.count == countExact || t.count == countOwned
	if oneToOne && t.target != 1 {
		m.mistake("targetPipelinesQueueLength", "must be 1 with count %s, which counts one agent for each job", t.count)
	}
	if !oneToOne && t.minIdle != 0 {
		m.mistake("minIdle", "needs count exact or owned, since the other counts cannot tell idle agents from busy ones")
	}
	m.withoutEffect()
	return t, m.err()
}

// metadata reads the values of a trigger and gathers what is wrong with them.
type metadata struct {
	values   map[string]string
	mistakes []string
}

// newMetadata takes the values that KEDA sends. KEDA gives a key that ends in
// FromEnv the value of that variable in the ScaledJob's container; as in the
// built-in scaler it counts before the key without this ending.
func newMetadata(values map[string]string) *metadata {
	m := &metadata{values: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := strings.TrimSuffix(key, "FromEnv")
		switch {
		case isSecret(name):
			m.mistakes = append(m.mistakes, key+": credentials do not belong into a trigger, which sends them with every call; "+
				"give them to the scaler (ORG_PAT_FILE or ORG_AUTH)")
		case slices.Contains(own, name):
			if value := strings.TrimSpace(values[key]); value != "" || name == "capabilities" {
				m.values[name] = value
			}
		case !slices.Contains(keda, name):
			// Without its value, which is as likely a secret as not.
			m.mistakes = append(m.mistakes, key+": is not known; known are "+strings.Join(own, ", "))
		}
	}
	return m
}

// isSecret tells whether a key is likely to hold a credential, so that its
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

// mistake reports what is wrong with a key, which it names with its value.
func (m *metadata) mistake(key, format string, args ...any) {
	value := m.values[key]
	if len(value) > 80 {
		value = strings.ToValidUTF8(value[:80], "") + "…"
	}
	m.mistakes = append(m.mistakes, fmt.Sprintf("%s %q: ", key, value)+fmt.Sprintf(format, args...))
}

func (m *metadata) err() error {
	switch len(m.mistakes) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("mistake in the trigger's metadata: %s", m.mistakes[0])
	default:
		return fmt.Errorf("%d mistakes in the trigger's metadata: %s", len(m.mistakes), strings.Join(m.mistakes, "; "))
	}
}

func (m *metadata) integer(key string, unset, least int64) int64 {
	if !m.has(key) {
		return unset
	}
	n, err := strconv.ParseInt(m.values[key], 10, 64)
	if err != nil || n < least || n > math.MaxInt32 {
		m.mistake(key, "must be a whole number from %d to %d", least, math.MaxInt32)
		return unset
	}
	return n
}

func (m *metadata) boolean(key string, unset bool) bool {
	if !m.has(key) {
		return unset
	}
	b, err := strconv.ParseBool(m.values[key])
	if err != nil {
		m.mistake(key, "must be true or false")
		return unset
	}
	return b
}

func (m *metadata) organization(known []Organization) Organization {
	names := make([]string, len(known))
	for i, o := range known {
		names[i] = o.URL.String()
	}
	if !m.has("organizationURL") {
		if len(known) == 1 {
			return known[0]
		}
		m.mistake("organizationURL", "is needed, since the scaler serves several: %s", strings.Join(names, ", "))
		return Organization{}
	}
	url, err := adoqueue.ParseOrganizationURL(m.values["organizationURL"])
	if err != nil {
		// The value is not shown: it may hold a password.
		m.mistakes = append(m.mistakes, "organizationURL: "+err.Error())
		return Organization{}
	}
	for _, o := range known {
		if o.URL.Same(url) {
			return o
		}
	}
	m.mistake("organizationURL", "the scaler has no credential for it; it serves %s", strings.Join(names, ", "))
	return Organization{}
}

func (m *metadata) pool() adoqueue.PoolRef {
	ref := adoqueue.PoolRef{Name: m.values["poolName"]}
	if !m.has("poolName") && !m.has("poolID") {
		m.mistake("poolName", "poolName or poolID is needed")
	}
	ref.ID = int(m.integer("poolID", 0, 1))
	return ref
}

// count reads what to count: by our name for it, or by that of the built-in
// scaler.
func (m *metadata) count(unset string) string {
	count := cmp.Or(m.values["count"], unset)
	if !slices.Contains(counts, count) {
		m.mistake("count", "must be one of %s", strings.Join(counts, ", "))
	}
	if !m.has("scaleOnInFlight") {
		return count
	}
	same := countQueued
	if m.boolean("scaleOnInFlight", true) {
		same = countUnfinished
	}
	if m.has("count") && count != same {
		m.mistake("scaleOnInFlight", "means count %s; leave it out, or count %s", same, count)
	}
	return same
}

func (m *metadata) selector() selector {
	s := selector{
		parent:     m.values["parent"],
		demands:    splitDemands(m.values["demands"], m.has("demands")),
		exact:      m.boolean("requireAllDemands", false),
		superset:   m.boolean("requireAllDemandsAndIgnoreOthers", false),
		ignoreCase: m.boolean("caseInsensitiveDemandsProcessing", false),
	}
	if !m.has("capabilities") {
		return s
	}
	if m.has("demands") {
		m.mistake("demands", "and capabilities exclude each other; capabilities is the better one of the two")
	}
	capabilities, err := adoqueue.ParseCapabilities(m.values["capabilities"])
	if err != nil {
		m.mistake("capabilities", "must be a list such as docker,java=17: %s", strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	s.capabilities = capabilities
	return s
}

// withoutEffect checks the keys that the built-in scaler needs to get at all
// unfinished jobs, which this one always has. What it refuses is refused here.
func (m *metadata) withoutEffect() {
	m.integer("jobsToFetch", 0, 1)
	m.boolean("fetchUnfinishedJobsOnly", false)
	for _, other := range []string{"fetchUnfinishedJobsOnly", "parent"} {
		if m.has("jobsToFetch") && m.has(other) {
			m.mistake("jobsToFetch", "and %s exclude each other; neither jobsToFetch nor fetchUnfinishedJobsOnly is needed", other)
		}
	}
}
