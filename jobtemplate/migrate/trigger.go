package migrate

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// kept are the keys of a trigger that mean the same to our scaler.
var kept = []string{
	"poolName", "poolID", "organizationURL", "parent", "demands", "requireAllDemands", "requireAllDemandsAndIgnoreOthers",
	"caseInsensitiveDemandsProcessing", "activationTargetPipelinesQueueLength",
}

// triggers migrates those of type azure-pipelines.
func (c *change) triggers() {
	for i, trigger := range items(find(c.root, "spec", "triggers")) {
		path := fmt.Sprintf("spec.triggers[%d]", i)
		if kind := text(find(trigger, "type")); kind != "azure-pipelines" {
			c.decide("%s of type %s stays beside ours: does it count the same jobs?", path, kind)
			continue
		}
		c.trigger(trigger, path)
	}
	ours := 0
	for _, trigger := range items(find(c.root, "spec", "triggers")) {
		if text(find(trigger, "type")) == "external" {
			ours++
		}
	}
	if ours > 1 {
		c.decide("spec.triggers: %d triggers are for the scaler, which counts exactly for one; make a ScaledJob for each pool", ours)
	}
}

func (c *change) trigger(trigger *yamlv3.Node, path string) {
	set(trigger, "type", scalar("external"))
	c.changed("%s.type: external, in place of azure-pipelines", path)
	metadata := ensure(trigger, "metadata")
	c.organization(metadata, path+".metadata")
	c.credential(trigger, metadata, path)
	c.keys(metadata, path+".metadata")
	metadata.Content = slices.Insert(metadata.Content, 0, scalar("scalerAddress"), scalar(c.ScalerAddress))
	c.changed("%s.metadata.scalerAddress: %s", path, c.ScalerAddress)
	if remove(trigger, "metricType") {
		c.changed("%s.metricType: removed, ScaledJobs have none", path)
	}
	if c.Authentication != "" {
		set(trigger, "authenticationRef", mapping("name", c.Authentication))
		c.changed("%s.authenticationRef: %s, with the certificates towards the scaler", path, c.Authentication)
	}
}

// organization puts the value of a variable in the place of its name: only so
// does the scaler know, before KEDA asks, which pool a ScaledJob is for.
func (c *change) organization(metadata *yamlv3.Node, path string) {
	from := find(metadata, "organizationURLFromEnv")
	if from != nil {
		value, ok := c.variable(text(from))
		if ok && isURL(value) {
			rename(metadata, "organizationURLFromEnv", "organizationURL", scalar(value))
			c.changed("%s.organizationURLFromEnv: organizationURL with the value of %s", path, text(from))
		} else {
			remove(metadata, "organizationURLFromEnv")
			c.changed("%s.organizationURLFromEnv: removed", path)
			c.decide("%s.organizationURL: set it if the scaler serves several organizations; the value of %s is not in the manifest", path, text(from))
		}
	}
	if value := text(find(metadata, "organizationURL")); value != "" && !isURL(value) {
		remove(metadata, "organizationURL")
		c.decide("%s.organizationURL: removed, since it is not a URL; set it if the scaler serves several organizations", path)
	}
}

func isURL(value string) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// credential removes what KEDA's scaler needed: ours has its own.
func (c *change) credential(trigger, metadata *yamlv3.Node, path string) {
	if from := find(metadata, "personalAccessTokenFromEnv"); from != nil {
		remove(metadata, "personalAccessTokenFromEnv")
		c.changed("%s.metadata.personalAccessTokenFromEnv: removed, the scaler has its own credential", path)
		c.tokenOf(text(from))
	}
	name := text(find(trigger, "authenticationRef", "name"))
	if name == "" {
		return
	}
	remove(trigger, "authenticationRef")
	c.changed("%s.authenticationRef: removed, the scaler has its own credential", path)
	authentication := c.other(name, "TriggerAuthentication", "ClusterTriggerAuthentication")
	if authentication == nil {
		c.decide("TriggerAuthentication %s is not among the manifests: configure its credential for the scaler, and delete it", name)
		return
	}
	authentication.needless = "no trigger needs it any more"
	c.tokenIn(authentication)
}

// tokenIn says how the scaler gets what a TriggerAuthentication had for KEDA.
func (c *change) tokenIn(authentication *document) {
	const token, organization = "personalAccessToken", "organizationURL"
	found := false
	for _, ref := range items(find(authentication.root, "spec", "secretTargetRef")) {
		switch name, key := text(find(ref, "name")), text(find(ref, "key")); text(find(ref, "parameter")) {
		case token:
			c.secret(name, key)
			found = true
		case organization:
			c.decide("the organization's URL is in Secret %s, key %s: set organizationURL if the scaler serves several organizations", name, key)
		}
	}
	if provider := text(find(authentication.root, "spec", "podIdentity", "provider")); strings.HasPrefix(provider, "azure") {
		c.decide("the scaler's credential: the identity that KEDA used, with the chart organization.auth.kind=workload-identity")
		found = true
	}
	for _, ref := range items(find(authentication.root, "spec", "env")) {
		if text(find(ref, "parameter")) == token {
			c.tokenOf(text(find(ref, "name")))
			found = true
		}
	}
	if !found {
		c.decide("the scaler's credential: %s names no Secret with it; create one, and name it with the chart organization.existingSecret", authentication)
	}
}

// tokenOf says how the scaler gets the token in a variable.
func (c *change) tokenOf(variable string) {
	for _, entry := range items(find(c.source(), "env")) {
		if text(find(entry, "name")) != variable {
			continue
		}
		if ref := find(entry, "valueFrom", "secretKeyRef"); ref != nil {
			c.secret(text(find(ref, "name")), text(find(ref, "key")))
			return
		}
	}
	c.decide("the scaler's credential: the token that is in variable %s, in a Secret; with the chart organization.existingSecret", variable)
}

func (c *change) secret(name, key string) {
	c.decide("the scaler's credential: Secret %s, key %s; with the chart organization.existingSecret=%s and organization.existingSecretKey=%s",
		name, key, name, key)
}

// keys removes those that our scaler does not need, and quotes values, as all
// must be strings.
func (c *change) keys(metadata *yamlv3.Node, path string) {
	c.spelling(metadata, path)
	for i := 0; i < len(metadata.Content); {
		key, value := metadata.Content[i].Value, metadata.Content[i+1]
		if why, keep := c.key(key, text(value)); !keep {
			remove(metadata, key)
			c.changed("%s.%s: removed, %s", path, key, why)
			continue
		}
		if value.Kind == yamlv3.ScalarNode && value.Tag != "!!str" {
			value.Tag, value.Style = "!!str", yamlv3.DoubleQuotedStyle
			c.changed("%s.%s: quoted, values must be strings", path, key)
		}
		i += 2
	}
	if parent := text(find(metadata, "parent")); parent != "" {
		c.decide("%s.parent: agent %s has to stay registered; or state capabilities, remove parent, and let the scaler keep placeholders", path, parent)
	}
	if find(metadata, "parent") == nil && find(metadata, "demands") != nil {
		c.decide("%s.demands: means what it meant; capabilities understand demands as Azure DevOps does", path)
	}
}

// spelling corrects keys that are known with other capitals: KEDA ignores them.
func (c *change) spelling(metadata *yamlv3.Node, path string) {
	for i := 0; i < len(metadata.Content); i += 2 {
		key := metadata.Content[i]
		for _, known := range kept {
			if strings.EqualFold(key.Value, known) && index(metadata, known) < 0 {
				c.changed("%s.%s: %s, as it is spelt", path, key.Value, known)
				key.Value = known
			}
		}
	}
	if find(metadata, "poolName") == nil && find(metadata, "poolID") == nil {
		c.decide("%s.poolName: set it, since the trigger names no pool", path)
	}
}

// key says why a key is not kept.
func (c *change) key(key, value string) (why string, keep bool) {
	switch {
	case slices.Contains(kept, key):
		return "", true
	case key == "targetPipelinesQueueLength" && (value == "1" || value == ""):
		return "", true
	case key == "targetPipelinesQueueLength":
		c.decide("targetPipelinesQueueLength was %s: each agent takes one job now", value)
		return "each Job's agent takes one job", false
	case key == "jobsToFetch", key == "fetchUnfinishedJobsOnly":
		return "the scaler always reads all unfinished jobs", false
	case key == "scaleOnInFlight":
		return "the scaler counts what is missing", false
	default:
		c.decide("%s is unknown to KEDA's scaler and to this one; what was it for?", key)
		return "unknown", false
	}
}
