package main

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// renderCommand prints what serve would apply. It needs no credential, and says
// nothing of one.
type renderCommand struct {
	Org organizationFlags `embed:""`
	scaledJobFlags
	agentFlags

	Job bool `name:"job" help:"Print the bare Jobs that run would create, in place of ScaledJobs."`
}

func (c *renderCommand) Run(o outputs) error {
	m := &mistakes{}
	if c.Org.PAT == "" && c.Org.PATFile == "" {
		c.Org.PAT = "is not needed here"
	}
	organizations := m.organizations(c.Org)
	var objects []runtime.Object
	if c.Job {
		list, err := each(m.agents(c.agentFlags, scaledJobFlags{}, organizations).pools, jobtemplate.Job)
		if err != nil {
			m.add("the agents' Job", "%w", err)
		}
		for _, job := range list {
			objects = append(objects, job)
		}
	} else {
		_, list := m.scaledJobs(c.agentFlags, c.scaledJobFlags, organizations)
		for _, scaledJob := range list {
			objects = append(objects, scaledJob)
		}
	}
	if err := m.err(); err != nil {
		return err
	}
	return jobtemplate.Write(o.out, objects...)
}
