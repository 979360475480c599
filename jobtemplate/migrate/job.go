package migrate

import (
	"fmt"
	"slices"

	yamlv3 "go.yaml.in/yaml/v3"
)

// podSpec is that of the agents.
func (c *change) podSpec() *yamlv3.Node {
	return find(c.root, "spec", "jobTargetRef", "template", "spec")
}

// source is the container whose variables KEDA looks up, nil if there is none.
func (c *change) source() *yamlv3.Node {
	containers := items(find(c.podSpec(), "containers"))
	name := text(find(c.root, "spec", "envSourceContainerName"))
	for _, container := range containers {
		if name == "" || text(find(container, "name")) == name {
			return container
		}
	}
	return nil
}

// variable returns the value of a variable that stands in the manifest.
func (c *change) variable(name string) (value string, ok bool) {
	for _, entry := range items(find(c.source(), "env")) {
		if node := find(entry, "value"); text(find(entry, "name")) == name && node != nil {
			return node.Value, true
		}
	}
	return "", false
}

// scaling sets what the exact count needs of the ScaledJob.
func (c *change) scaling() {
	spec := ensure(c.root, "spec")
	strategy := find(spec, "scalingStrategy")
	if calculation := text(find(strategy, "multipleScalersCalculation")); calculation != "" && len(items(find(spec, "triggers"))) > 1 {
		set(spec, "scalingStrategy", mapping("multipleScalersCalculation", "max"))
		c.changed("spec.scalingStrategy: multipleScalersCalculation max, with which the exact count holds beside other triggers; it was %s", calculation)
	} else if remove(spec, "scalingStrategy") {
		c.changed("spec.scalingStrategy: removed, the count is made for KEDA's default strategy")
	}
	remove(spec, "rolloutStrategy")
	if text(find(spec, "rollout", "strategy")) != "gradual" {
		set(spec, "rollout", mapping("strategy", "gradual"))
		c.changed("spec.rollout.strategy: gradual, any other kills running builds when the ScaledJob changes")
	}
	interval := find(spec, "pollingInterval")
	if interval == nil {
		set(spec, "pollingInterval", number("5"))
		c.changed("spec.pollingInterval: 5, with which agents start sooner; it was KEDA's default of 30")
	} else if interval.Value != "5" {
		c.decide("spec.pollingInterval is %s: with 5, agents start sooner; a pool is read at most once per POLLING_DELAY however many ask", interval.Value)
	}
	if least := text(find(spec, "minReplicaCount")); least != "" && least != "0" {
		c.decide("spec.minReplicaCount is %s: if it was there to have an agent registered, set it to 0 and let the scaler keep placeholders", least)
	}
}

// job sets what the exact count needs of each Job: one pod with one agent, named
// after it.
func (c *change) job() {
	target := ensure(ensure(c.root, "spec"), "jobTargetRef")
	for _, field := range []string{"parallelism", "completions"} {
		if value := find(target, field); value != nil && value.Value != "1" {
			remove(target, field)
			c.changed("spec.jobTargetRef.%s: removed, there is one Job for each agent", field)
		}
	}
	if value := find(target, "backoffLimit"); value == nil || value.Value != "0" {
		set(target, "backoffLimit", number("0"))
		c.changed("spec.jobTargetRef.backoffLimit: 0, an agent that failed is replaced by a new Job if there is work for one")
	}
	if find(target, "activeDeadlineSeconds") != nil {
		c.decide("spec.jobTargetRef.activeDeadlineSeconds counts the time without a job as well, and kills builds")
	}
	pod := ensure(ensure(target, "template"), "spec")
	if policy := text(find(pod, "restartPolicy")); policy != "Never" {
		set(pod, "restartPolicy", scalar("Never"))
		c.changed("spec.jobTargetRef.template.spec.restartPolicy: Never, an agent takes one job")
	}
	c.containers(pod)
}

func (c *change) containers(pod *yamlv3.Node) {
	const path = "spec.jobTargetRef.template.spec."
	containers := items(find(pod, "containers"))
	for _, name := range []string{"initContainers", "containers"} {
		for i, container := range items(find(pod, name)) {
			for j, port := range items(find(container, "ports")) {
				if find(port, "protocol") == nil {
					set(port, "protocol", scalar("TCP"))
					c.changed("%s%s[%d].ports[%d].protocol: TCP, KEDA requires it", path, name, i, j)
				}
			}
			c.plainTokens(container, fmt.Sprintf("%s%s[%d]", path, name, i))
		}
	}
	if len(containers) > 0 {
		agent := max(0, slices.IndexFunc(containers, isAgent))
		c.agentName(containers[agent], fmt.Sprintf("%scontainers[%d]", path, agent))
		if len(containers) > 1 && text(find(pod, "shareProcessNamespace")) != "true" {
			c.sidecars(pod, agent)
		}
	}
	c.decide("the image has to start its agent with --once and to name it as AZP_AGENT_NAME says, as Microsoft's start script and our launcher do")
}

// sidecars makes all containers but the agent's sidecars, since a Job ends only
// when all of its containers have.
func (c *change) sidecars(pod *yamlv3.Node, agent int) {
	const path = "spec.jobTargetRef.template.spec."
	containers, init := find(pod, "containers"), find(pod, "initContainers")
	if init == nil || init.Kind != yamlv3.SequenceNode {
		init = list()
		set(pod, "initContainers", init)
	}
	for i, container := range items(containers) {
		if i == agent {
			continue
		}
		set(container, "restartPolicy", scalar("Always"))
		init.Content = append(init.Content, container)
		c.changed("%scontainers[%d]: a sidecar, an init container with restartPolicy Always, so that the Job ends with its agent", path, i)
		c.decide("container %s starts before the agent now, and a startupProbe of it makes the agent wait for it", text(find(container, "name")))
	}
	containers.Content = []*yamlv3.Node{containers.Content[agent]}
	source := text(find(c.root, "spec", "envSourceContainerName"))
	if source != "" && source != text(find(containers.Content[0], "name")) {
		remove(find(c.root, "spec"), "envSourceContainerName")
		c.changed("spec.envSourceContainerName: removed, it named a container that is a sidecar now")
	}
}

// isAgent reports whether a container has the variables of an agent.
func isAgent(container *yamlv3.Node) bool {
	return slices.ContainsFunc(items(find(container, "env")), func(entry *yamlv3.Node) bool {
		name := text(find(entry, "name"))
		return name == "AZP_URL" || name == "AZP_POOL" || name == "AZP_TOKEN"
	})
}

// plainTokens finds a token that everybody can read who may read ScaledJobs.
func (c *change) plainTokens(container *yamlv3.Node, path string) {
	for i, entry := range items(find(container, "env")) {
		if name := text(find(entry, "name")); name == "AZP_TOKEN" && text(find(entry, "value")) != "" {
			c.decide("%s.env[%d]: %s is in plain text; put it into a Secret, and name that by valueFrom.secretKeyRef", path, i, name)
		}
	}
}

// agentName names the agent after its pod, which is how the scaler knows it.
func (c *change) agentName(container *yamlv3.Node, path string) {
	const name = "AZP_AGENT_NAME"
	wanted := func() *yamlv3.Node {
		return mapping("name", name, "valueFrom", mapping("fieldRef", mapping("fieldPath", "metadata.name")))
	}
	env := find(container, "env")
	for i, entry := range items(env) {
		if text(find(entry, "name")) != name {
			continue
		}
		if !c.isPodName(entry, env) {
			env.Content[i] = wanted()
			c.changed("%s.env[%d]: %s is the pod's name, by which the scaler knows its agents", path, i, name)
		}
		return
	}
	if env == nil || env.Kind != yamlv3.SequenceNode {
		env = list()
		set(container, "env", env)
	}
	env.Content = append(env.Content, wanted())
	c.changed("%s.env: %s added, the pod's name, by which the scaler knows its agents", path, name)
}

// isPodName reports whether a variable has the pod's name, also by another
// variable.
func (c *change) isPodName(entry, env *yamlv3.Node) bool {
	if text(find(entry, "valueFrom", "fieldRef", "fieldPath")) == "metadata.name" {
		return true
	}
	for _, other := range items(env) {
		if text(find(entry, "value")) == "$("+text(find(other, "name"))+")" {
			return text(find(other, "valueFrom", "fieldRef", "fieldPath")) == "metadata.name"
		}
	}
	return false
}
