package main

import (
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// renderCommand prints what serve would apply. It needs no credential, and says
// nothing of one.
type renderCommand struct {
	Org organizationFlags `embed:""`
	scaledJobFlags
	agentFlags

	Job         bool   `name:"job" help:"Print the bare Jobs that run would create, in place of ScaledJobs."`
	KEDAVersion string `name:"keda-version" env:"KEDA_VERSION" xor:"keda" help:"Version of KEDA, such as 2.15.1: fields that not every installation of it has are omitted."`
	KEDACRD     string `name:"keda-crd" type:"existingfile" xor:"keda" help:"File with the cluster's CustomResourceDefinition scaledjobs.keda.sh (YAML or JSON): fields that it does not have are omitted."`
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
	fields := c.fields(m)
	if err := m.err(); err != nil {
		return err
	}
	if fields != nil && !c.Job {
		var err error
		if objects, err = fitted(objects, fields, o.log); err != nil {
			return err
		}
	}
	return jobtemplate.Write(o.out, objects...)
}

// fields returns those that ScaledJobs may have, nil if all.
func (c *renderCommand) fields(m *mistakes) jobtemplate.Fields {
	switch {
	case c.KEDAVersion != "":
		fields, err := jobtemplate.FieldsOf(c.KEDAVersion)
		if err != nil {
			m.add("KEDA_VERSION (--keda-version)", "%w", err)
		}
		return fields
	case c.KEDACRD != "":
		content, err := os.ReadFile(c.KEDACRD)
		if err != nil {
			m.add("--keda-crd", "%w", err)
			return nil
		}
		fields, err := jobtemplate.FieldsOfCRD(content)
		if err != nil {
			m.add("--keda-crd", "%s: %w", c.KEDACRD, err)
		}
		return fields
	}
	return nil
}

// fitted returns ScaledJobs without the fields that KEDA does not have, which it
// reports, and with what makes up for them.
func fitted(scaledJobs []runtime.Object, fields jobtemplate.Fields, log io.Writer) ([]runtime.Object, error) {
	var objects []runtime.Object
	var unprotected []string
	var namespace string
	for _, scaledJob := range scaledJobs {
		manifest, err := jobtemplate.Manifest(scaledJob)
		if err != nil {
			return nil, err
		}
		omitted := jobtemplate.Fit(manifest, fields)
		for _, omission := range omitted {
			fmt.Fprintf(log, "ScaledJob %s: %s\n", manifest.GetName(), omission)
		}
		if jobtemplate.Unprotected(omitted) {
			namespace, unprotected = manifest.GetNamespace(), append(unprotected, manifest.GetName())
		}
		objects = append(objects, manifest)
	}
	if len(unprotected) == 0 {
		return objects, nil
	}
	budget := jobtemplate.DisruptionBudget(jobtemplate.Manager+"-agents", namespace, unprotected...)
	fmt.Fprintf(log, "PodDisruptionBudget %s protects the agents in place of the annotations\n", budget.Name)
	return append(objects, budget), nil
}
