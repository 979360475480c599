package jobtemplate

import (
	"maps"
	"math"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
)

// check finds what is wrong with the settings, but for those of Scaling, and
// gives the name of the pool's objects.
func (s Settings) check(m *mistakes) (name string) {
	if u, err := url.Parse(s.OrganizationURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		// Not with its value, which may hold a token.
		m.setting("organizationURL", "must be an address such as https://dev.azure.com/contoso, without a user or token")
	}
	name, err := Name(s.Prefix, s.Pool)
	if err != nil {
		*m = append(*m, err)
	}
	m.valid("namespace", s.Namespace, validation.IsDNS1123Label)
	if strings.ContainsFunc(s.Image, unicode.IsSpace) {
		m.setting("image", "%q must not hold spaces", s.Image)
	}
	if s.Token != (SecretKey{}) {
		m.valid("token.name", s.Token.Name, validation.IsDNS1123Subdomain)
		m.valid("token.key", s.Token.Key, validation.IsConfigMapKey)
	}
	if s.ServiceAccount != "" {
		m.valid("serviceAccount", s.ServiceAccount, validation.IsDNS1123Subdomain)
	}
	if p := s.DockerSocketPath; p != "" && (!path.IsAbs(p) || path.Clean(p) != p || strings.Contains(p, ":")) {
		m.setting("dockerSocketPath", "%q must be an absolute path such as /var/run/docker.sock", p)
	}
	for _, key := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		m.valid("nodeSelector", key, validation.IsQualifiedName)
		m.valid("nodeSelector["+key+"]", s.NodeSelector[key], validation.IsValidLabelValue)
	}
	s.checkCapabilities(m)
	s.checkResources(m)
	m.seconds("ttl", s.TTL, 0)
	m.seconds("gracePeriod", s.GracePeriod, 0)
	if s.IdleTimeout > 0 && s.IdleTimeout < time.Second {
		m.setting("idleTimeout", "%s must be at least 1s, or negative for never", s.IdleTimeout)
	}
	return name
}

// valid applies one of Kubernetes' own rules.
func (m *mistakes) valid(name, value string, rule func(string) []string) {
	if problems := rule(value); len(problems) > 0 {
		m.setting(name, "%q: %s", value, strings.Join(problems, "; "))
	}
}

// seconds checks a time that Kubernetes keeps in whole seconds.
func (m *mistakes) seconds(name string, d, least time.Duration) {
	if d < least || d%time.Second != 0 || d > math.MaxInt32*time.Second {
		m.setting(name, "%s must be in whole seconds, from %s", d, least)
	}
}

func (m *mistakes) atLeast(name string, n, least int) {
	if n < least || n > math.MaxInt32 {
		m.setting(name, "%d must be from %d to %d", n, least, math.MaxInt32)
	}
}

func (s Settings) checkCapabilities(m *mistakes) {
	for _, name := range slices.Sorted(maps.Keys(s.Capabilities)) {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) || strings.ContainsAny(name, ",=") {
			m.setting("capabilities", "name %q must not be empty or hold spaces, commas or equals signs", name)
		}
		if value := s.Capabilities[name]; strings.ContainsAny(value, ",\n") {
			m.setting("capabilities["+name+"]", "%q must not hold commas or line breaks", value)
		}
	}
}

func (s Settings) checkResources(m *mistakes) {
	for _, name := range slices.Sorted(maps.Keys(s.Resources.Requests)) {
		request := s.Resources.Requests[name]
		if limit, ok := s.Resources.Limits[name]; ok && request.Cmp(limit) > 0 {
			m.setting("resources.requests["+string(name)+"]", "%s must not be more than the limit, %s", &request, &limit)
		}
	}
}

func (s Scaling) check(m *mistakes) {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(s.ScalerAddress, "dns:///"))
	if err != nil || host == "" || strings.Contains(host, "/") {
		m.setting("scalerAddress", "%q must be HOST:PORT", s.ScalerAddress)
	}
	if s.Authentication != "" {
		m.valid("authentication", s.Authentication, validation.IsDNS1123Subdomain)
	}
	m.atLeast("maxReplicas", s.MaxReplicas, 1)
	m.atLeast("minReplicas", s.MinReplicas, 0)
	m.atLeast("minIdle", s.MinIdle, 0)
	if s.MinReplicas > s.MaxReplicas {
		m.setting("minReplicas", "%d must not be more than maxReplicas, %d", s.MinReplicas, s.MaxReplicas)
	}
	if s.MinIdle > s.MaxReplicas {
		m.setting("minIdle", "%d must not be more than maxReplicas, %d", s.MinIdle, s.MaxReplicas)
	}
	m.atLeast("priority", s.Priority, math.MinInt32)
	m.seconds("pollingInterval", s.PollingInterval, time.Second)
}
