package main

import (
	"fmt"
	"io"
	"os"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate/migrate"
)

// migrateCommand turns manifests for KEDA's azure-pipelines scaler into ours.
type migrateCommand struct {
	Files          []string        `arg:"" optional:"" type:"existingfile" help:"Manifests (YAML) with azure-pipelines triggers, and what they refer to; by default the standard input."`
	Address        setting.Address `name:"scaler-address" env:"SCALER_ADDRESS" default:"ado-agent-orchestrator.ado.svc:9090" help:"HOST:PORT where KEDA finds the scaler."`
	Authentication string          `name:"scaler-authentication" env:"SCALER_AUTHENTICATION" help:"TriggerAuthentication with the certificates for TLS with the scaler."`
	Image          string          `name:"job-image" env:"JOB_IMAGE" default:"registry.example.com/agent:latest" help:"Image of the agents of a ScaledObject whose Deployment is not among the manifests."`
}

// Run prints the manifests, and on the standard error what has changed and what
// is to be decided.
func (c *migrateCommand) Run(o outputs) error {
	manifests, err := c.read()
	if err != nil {
		return err
	}
	migrated, reports, err := migrate.Migrate(manifests, migrate.Options{
		ScalerAddress: string(c.Address), Authentication: c.Authentication, AgentImage: c.Image,
	})
	if err != nil {
		return err
	}
	for _, report := range reports {
		fmt.Fprintf(o.log, "%s\n", report.Object)
		for _, change := range report.Changes {
			fmt.Fprintf(o.log, "  changed  %s\n", change)
		}
		for _, decision := range report.Decisions {
			fmt.Fprintf(o.log, "  decide   %s\n", decision)
		}
	}
	_, err = o.out.Write(migrated)
	return err
}

// read joins the files.
func (c *migrateCommand) read() ([]byte, error) {
	if len(c.Files) == 0 {
		return io.ReadAll(os.Stdin)
	}
	var all []byte
	for _, file := range c.Files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(append(all, "\n---\n"...), content...)
	}
	return all, nil
}
