package migrate

import (
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// fromScaledObject makes a ScaledJob: a ScaledObject would have its Deployment
// shrink by ending any of its pods, be its agent busy or not.
func (c *change) fromScaledObject() {
	set(c.root, "kind", scalar("ScaledJob"))
	c.changed("kind: ScaledJob, since a ScaledObject ends busy agents when it scales down")
	spec := ensure(c.root, "spec")
	target := find(spec, "scaleTargetRef")
	name, kind := text(find(target, "name")), text(find(target, "kind"))
	if name == "" { // as in KEDA 1
		name = text(find(target, "deploymentName"))
	}
	if kind == "" {
		kind = "Deployment"
	}
	template := c.ofWorkload(name, kind)
	if template == nil {
		template = c.ofNobody(name, kind)
	}
	if source := find(target, "envSourceContainerName"); source != nil {
		set(spec, "envSourceContainerName", source)
	}
	rename(spec, "scaleTargetRef", "jobTargetRef", mapping("template", template))
	for _, field := range []string{"cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount", "fallback", "advanced"} {
		if remove(spec, field) {
			c.changed("spec.%s: removed, ScaledJobs have none", field)
		}
	}
	annotations := find(c.root, "metadata", "annotations")
	for _, annotation := range []string{"autoscaling.keda.sh/paused-replicas", "scaledobject.keda.sh/transfer-hpa-ownership"} {
		if remove(annotations, annotation) {
			c.changed("metadata.annotations[%s]: removed, ScaledJobs have none", annotation)
		}
	}
}

// ofWorkload returns the pod template of the workload that was scaled, nil if it
// is not among the manifests.
func (c *change) ofWorkload(name, kind string) *yamlv3.Node {
	workload := c.other(name, kind)
	if workload == nil {
		return nil
	}
	template := find(workload.root, "spec", "template")
	if len(items(find(template, "spec", "containers"))) == 0 {
		return nil
	}
	workload.needless = "its pods are those of ScaledJob " + c.name() + " now; delete it when its agents have finished"
	c.changed("spec.jobTargetRef: the pods of %s %s, in place of scaleTargetRef", kind, name)
	if find(template, "metadata") != nil {
		c.decide("spec.jobTargetRef.template.metadata: remove it if kubectl rejects it; KEDA before 2.16 may not have it (docs/compatibility.md)")
	}
	return clone(template)
}

// ofNobody returns a pod template that says what is still to be said.
func (c *change) ofNobody(name, kind string) *yamlv3.Node {
	c.changed("spec.jobTargetRef: a template, in place of scaleTargetRef")
	c.decide("%s %s is not among the manifests: migrate it together with the ScaledObject, or complete the template's image and variables", kind, name)
	secret := mapping("secretKeyRef", mapping("name", "azure-devops", "key", "token"))
	container := mapping("name", "agent", "image", c.AgentImage, "env", list(
		mapping("name", "AZP_URL", "value", "CHANGE to the organization's URL"),
		mapping("name", "AZP_POOL", "value", c.poolName()),
		mapping("name", "AZP_TOKEN", "valueFrom", secret),
	))
	container.HeadComment = "# Complete this: " + strings.ToLower(kind) + " " + name + " was not among the manifests."
	return mapping("spec", mapping("containers", list(container)))
}

func (c *change) poolName() string {
	for _, trigger := range azureTriggers(c.root) {
		if name := text(find(trigger, "metadata", "poolName")); name != "" {
			return name
		}
	}
	return "CHANGE to the pool's name"
}

// clone copies a node and all below, with aliases resolved: their anchors may be
// in what is left out.
func clone(node *yamlv3.Node) *yamlv3.Node {
	node = resolve(node)
	copied := *node
	copied.Anchor = ""
	copied.Content = nil
	for _, child := range node.Content {
		copied.Content = append(copied.Content, clone(child))
	}
	return &copied
}
