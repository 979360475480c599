package jobtemplate

import (
	"errors"
	"maps"
	"math"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// check finds what is wrong with the settings, but for those of Scaling, and
// returns the name of the pool's objects.
func (s Settings) check(found *problems) (name string) {
	if u, err := url.Parse(s.OrganizationURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		// Not with its value, which may hold a token.
		found.setting("organizationURL", "must be an address such as https://dev.azure.com/contoso, without a user or token")
	}
	name, err := Name(s.Prefix, s.Pool)
	if invalid, ok := errors.AsType[FieldError](err); ok {
		*found = append(*found, invalid)
	}
	found.valid("namespace", s.Namespace, validation.IsDNS1123Label)
	if strings.ContainsFunc(s.Image, unicode.IsSpace) {
		found.setting("image", "%q must not hold spaces", s.Image)
	}
	if s.Token != (SecretKey{}) {
		found.valid("token.name", s.Token.Name, validation.IsDNS1123Subdomain)
		found.valid("token.key", s.Token.Key, validation.IsConfigMapKey)
	}
	if s.ServiceAccount != "" {
		found.valid("serviceAccount", s.ServiceAccount, validation.IsDNS1123Subdomain)
	}
	if p := s.DockerSocketPath; p != "" && (!path.IsAbs(p) || path.Clean(p) != p || strings.Contains(p, ":")) {
		found.setting("dockerSocketPath", "%q must be an absolute path such as /var/run/docker.sock", p)
	}
	for _, key := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		found.valid("nodeSelector", key, validation.IsQualifiedName)
		found.valid("nodeSelector["+key+"]", s.NodeSelector[key], validation.IsValidLabelValue)
	}
	s.checkCapabilities(found)
	s.checkResources(found)
	found.seconds("ttl", s.TTL, 0)
	found.seconds("gracePeriod", s.GracePeriod, 0)
	if s.IdleTimeout > 0 && s.IdleTimeout < time.Second {
		found.setting("idleTimeout", "%s must be at least 1s, or negative for never", s.IdleTimeout)
	}
	return name
}

// valid applies one of Kubernetes' own rules.
func (p *problems) valid(name, value string, rule func(string) []string) {
	if problems := rule(value); len(problems) > 0 {
		p.setting(name, "%q: %s", value, strings.Join(problems, "; "))
	}
}

// seconds checks a time that Kubernetes keeps in whole seconds.
func (p *problems) seconds(name string, d, least time.Duration) {
	if d < least || d%time.Second != 0 || d > math.MaxInt32*time.Second {
		p.setting(name, "%s must be in whole seconds, from %s", d, least)
	}
}

func (p *problems) atLeast(name string, n, least int) {
	if n < least || n > math.MaxInt32 {
		p.setting(name, "%d must be from %d to %d", n, least, math.MaxInt32)
	}
}

func (s Settings) checkCapabilities(found *problems) {
	for _, name := range slices.Sorted(maps.Keys(s.Capabilities)) {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) || strings.ContainsAny(name, ",=") {
			found.setting("capabilities", "name %q must not be empty or hold spaces, commas or equals signs", name)
		}
		if value := s.Capabilities[name]; strings.ContainsAny(value, ",\n") {
			found.setting("capabilities["+name+"]", "%q must not hold commas or line breaks", value)
		}
	}
}

func (s Settings) checkResources(found *problems) {
	found.resources("resources.requests", s.Resources.Requests)
	found.resources("resources.limits", s.Resources.Limits)
	for _, name := range slices.Sorted(maps.Keys(s.Resources.Requests)) {
		request := s.Resources.Requests[name]
		if limit, ok := s.Resources.Limits[name]; ok && request.Cmp(limit) > 0 {
			found.related("resources.requests["+string(name)+"]", "resources.limits", "%s must not be more than %s", &request, &limit)
		}
	}
}

// resources checks the names in a list: Kubernetes would refuse the Jobs, which
// nobody sees in a ScaledJob.
func (p *problems) resources(setting string, list corev1.ResourceList) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if !isResource(string(name)) {
			p.setting(setting, "%q must be cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain such as nvidia.com/gpu", name)
		}
	}
}

// isResource reports whether containers can request a resource.
func isResource(name string) bool {
	if slices.Contains([]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}, corev1.ResourceName(name)) {
		return true
	}
	if size, ok := strings.CutPrefix(name, corev1.ResourceHugePagesPrefix); ok {
		_, err := resource.ParseQuantity(size)
		return err == nil
	}
	return strings.Contains(name, "/") && len(validation.IsQualifiedName(name)) == 0
}

func (s Scaling) check(found *problems) {
	host, _, err := net.SplitHostPort(strings.TrimPrefix(s.ScalerAddress, "dns:///"))
	if err != nil || host == "" || strings.Contains(host, "/") {
		found.setting("scalerAddress", "%q must be HOST:PORT", s.ScalerAddress)
	}
	if s.Authentication != "" {
		found.valid("authentication", s.Authentication, validation.IsDNS1123Subdomain)
	}
	found.atLeast("maxReplicas", s.MaxReplicas, 1)
	found.atLeast("minReplicas", s.MinReplicas, 0)
	found.atLeast("minIdle", s.MinIdle, 0)
	if s.MinReplicas > s.MaxReplicas {
		found.related("minReplicas", "maxReplicas", "%d must not be more than %d", s.MinReplicas, s.MaxReplicas)
	}
	if s.MinIdle > s.MaxReplicas {
		found.related("minIdle", "maxReplicas", "%d must not be more than %d", s.MinIdle, s.MaxReplicas)
	}
	found.atLeast("priority", s.Priority, math.MinInt32)
	found.seconds("pollingInterval", s.PollingInterval, time.Second)
}
