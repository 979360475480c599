package main

import (
	"context"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// renderCommand prints the objects that serve would apply. It needs no credential,
// so the agents' Secret has to exist already.
type renderCommand struct {
	Org        organizationFlags `embed:"" group:"azure-devops"`
	ScaledJobs scaledJobFlags    `embed:"" group:"keda"`
	Agents     agentFlags        `embed:"" group:"agents"`

	Job         bool        `name:"job" help:"Print the Jobs that run would create, in place of ScaledJobs."`
	KEDAVersion kedaVersion `name:"keda-version" env:"KEDA_VERSION" placeholder:"VERSION" help:"Version of KEDA, such as 2.15.1: fields that some of its CRDs lack are omitted."`
	KEDACRD     kedaCRD     `name:"keda-crd" placeholder:"FILE" help:"File with the cluster's CustomResourceDefinition scaledjobs.keda.sh (YAML or JSON): fields that it does not have are omitted."`
}

// kedaVersion is the fields that a version of KEDA has, nil if it is not given.
type kedaVersion struct{ fields jobtemplate.Fields }

// UnmarshalText reads a version.
func (v *kedaVersion) UnmarshalText(version []byte) (err error) {
	v.fields, err = jobtemplate.FieldsOf(string(version))
	return err
}

// kedaCRD is the fields that a CustomResourceDefinition has, nil if none is given.
type kedaCRD struct{ fields jobtemplate.Fields }

// UnmarshalText reads the file at a path.
func (c *kedaCRD) UnmarshalText(path []byte) error {
	content, err := secrets.Read(context.Background(), string(path))
	if err != nil {
		return err
	}
	if c.fields, err = jobtemplate.FieldsOfCRD(content); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Check reports what is wrong with the settings of render.
func (c *renderCommand) Check(p *setting.Problems) {
	c.Org.checkNames(p)
	if c.KEDAVersion.fields != nil && c.KEDACRD.fields != nil {
		p.AddAll([]any{&c.KEDAVersion, &c.KEDACRD}, "cannot be combined")
	}
	if _, missing := c.Agents.template(&c.Org, &c.ScaledJobs); missing != nil {
		p.Add(&c.Agents.TokenSecret, "is missing; render creates no Secret. Name the one with the agents' token as NAME/KEY, such as azure-devops/token")
	}
	if c.Job {
		c.Agents.checkJobs(p, &c.Org)
	} else {
		c.Agents.checkScaledJobs(p, &c.Org, &c.ScaledJobs)
	}
}

// Run prints the objects.
func (c *renderCommand) Run(o outputs) error {
	o.warn()
	pools := c.Agents.agents(&c.Org, &c.ScaledJobs).pools
	for _, warning := range pools[0].Warnings() { // the definition is the same for all
		fmt.Fprintln(o.log, "JOB_DEFINITION_FILE:", warning)
	}
	if c.Job {
		jobs, err := objectsOf(pools, jobtemplate.Job)
		if err != nil {
			return err
		}
		return jobtemplate.Write(o.out, jobs...)
	}
	objects, err := objectsOf(pools, jobtemplate.ScaledJob)
	if err != nil {
		return err
	}
	for _, fields := range []jobtemplate.Fields{c.KEDAVersion.fields, c.KEDACRD.fields} {
		if fields == nil {
			continue
		}
		if objects, err = c.fitted(objects, fields, o.log); err != nil {
			return err
		}
	}
	return jobtemplate.Write(o.out, objects...)
}

func objectsOf[T runtime.Object](pools []jobtemplate.Settings, of func(jobtemplate.Settings) (T, error)) ([]runtime.Object, error) {
	list, err := each(pools, of)
	objects := make([]runtime.Object, len(list))
	for i := range list {
		objects[i] = list[i]
	}
	return objects, err
}

// fitted returns ScaledJobs without the fields that KEDA does not have, which it
// reports, and with what makes up for them.
func (c *renderCommand) fitted(scaledJobs []runtime.Object, fields jobtemplate.Fields, log io.Writer) ([]runtime.Object, error) {
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
	if len(unprotected) == 0 || c.ScaledJobs.EvictableIdle { // the scaler keeps the budgets
		return objects, nil
	}
	budget := jobtemplate.DisruptionBudget(jobtemplate.Manager+"-agents", namespace, unprotected...)
	fmt.Fprintf(log, "PodDisruptionBudget %s protects the agents in place of the annotations\n", budget.Name)
	return append(objects, budget), nil
}
