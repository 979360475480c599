package jobtemplate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The variables by which Microsoft's documented start script and our launcher
// get what to do.
const (
	envURL          = "AZP_URL"
	envPool         = "AZP_POOL"
	envToken        = "AZP_TOKEN"
	envTokenFile    = "AZP_TOKEN_FILE" //nolint:gosec // the name of a variable
	envAgentName    = "AZP_AGENT_NAME"
	envCapabilities = "AZP_CAPABILITIES"
	envIdleTimeout  = "AZP_IDLE_TIMEOUT"
	envGracePeriod  = "AZP_GRACE_PERIOD"
)

// podName is the field that agents are named after: so a request of Azure
// DevOps is known to belong to a Job.
const podName = "metadata.name"

// environment adds the variables that the agent's container needs. They
// come first, so that those of a Definition can refer to them.
func (d *draft) environment() {
	var added []corev1.EnvVar
	for _, wanted := range d.variables() {
		given := slices.IndexFunc(d.agent.Env, func(v corev1.EnvVar) bool { return v.Name == wanted.Name })
		switch {
		case given < 0:
			added = append(added, wanted)
		case wanted.Name == envIdleTimeout, wanted.Name == envGracePeriod, wanted.Name == envToken && d.agent.Env[given].ValueFrom != nil:
			// The Definition's stays.
		default:
			d.agent.Env[given] = wanted
		}
	}
	d.agent.Env = append(added, d.agent.Env...)
}

func (d *draft) variables() []corev1.EnvVar {
	vars := []corev1.EnvVar{
		{Name: envURL, Value: literal(d.OrganizationURL)},
		{Name: envPool, Value: literal(d.Pool)},
		{Name: envAgentName, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: podName}}},
	}
	hasFile := slices.ContainsFunc(d.agent.Env, func(v corev1.EnvVar) bool { return v.Name == envTokenFile })
	if d.Token != (SecretKey{}) && !hasFile {
		ref := &corev1.SecretKeySelector{Key: d.Token.Key}
		ref.Name = d.Token.Name
		vars = append(vars, corev1.EnvVar{Name: envToken, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: ref}})
	}
	if len(d.Capabilities) > 0 {
		vars = append(vars, corev1.EnvVar{Name: envCapabilities, Value: literal(capabilityList(d.Capabilities))})
	}
	if d.IdleTimeout > 0 {
		vars = append(vars, corev1.EnvVar{Name: envIdleTimeout, Value: shortDuration(d.IdleTimeout)})
	}
	// The launcher cannot find out for itself how long it will be let live.
	return append(vars, corev1.EnvVar{Name: envGracePeriod, Value: fmt.Sprintf("%ds", *d.spec.TerminationGracePeriodSeconds)})
}

// checkVariables finds what a Definition's variables must not say.
func (d *draft) checkVariables() {
	seen := map[string]bool{}
	for i, v := range d.agent.Env {
		path := d.agentPath.Child("env").Index(i)
		if seen[v.Name] && strings.HasPrefix(v.Name, "AZP_") {
			d.field(path.Child("name"), "%s appears twice", v.Name)
		}
		seen[v.Name] = true
		d.checkVariable(v, path)
	}
}

func (d *draft) checkVariable(v corev1.EnvVar, path *field.Path) {
	from := v.ValueFrom
	if from == nil {
		from = &corev1.EnvVarSource{}
	}
	switch v.Name {
	case envURL:
		if v.ValueFrom != nil || !strings.EqualFold(strings.TrimRight(v.Value, "/"), strings.TrimRight(d.OrganizationURL, "/")) {
			d.field(path, "%s must be %q; omit it: it is set for you", v.Name, d.OrganizationURL)
		}
	case envPool:
		if v.ValueFrom != nil || !strings.EqualFold(v.Value, d.Pool) {
			d.field(path, "%s must be %q, the pool that this Job is for; omit it: it is set for you", v.Name, d.Pool)
		}
	case envAgentName:
		if from.FieldRef == nil || from.FieldRef.FieldPath != podName {
			d.field(path, "%s must be the pod's name, by which agents are recognized; omit it: it is set for you", v.Name)
		}
	case envCapabilities:
		if list := capabilityList(d.Capabilities); v.ValueFrom != nil || v.Value != list {
			d.field(path, "%s must be %q, the capabilities by which jobs are matched; leave it out and set them in the settings", v.Name, list)
		}
	case envToken:
		// The message does not repeat the value.
		if v.ValueFrom == nil && v.Value != "" && d.Token == (SecretKey{}) || v.ValueFrom != nil && from.SecretKeyRef == nil {
			d.field(path, "%s must come from a Secret, by valueFrom.secretKeyRef; omit it: it is set for you", v.Name)
		}
	}
}

// literal quotes a value for Kubernetes, which replaces $(NAME) in it.
func literal(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// capabilityList is in the form that the scaler and the launcher read.
func capabilityList(capabilities map[string]string) string {
	items := make([]string, 0, len(capabilities))
	for _, name := range slices.Sorted(maps.Keys(capabilities)) {
		if value := capabilities[name]; value != "" {
			name += "=" + value
		}
		items = append(items, name)
	}
	return strings.Join(items, ",")
}

// shortDuration leaves the zeros out of a text such as 1h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
