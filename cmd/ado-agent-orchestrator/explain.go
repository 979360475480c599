package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// explainCommand says what a running scaler knows of pipeline jobs.
type explainCommand struct {
	Pool      string `name:"pool" placeholder:"NAME" help:"Show this agent pool only, by name or id."`
	RunNumber string `name:"run" placeholder:"NUMBER" help:"Show the jobs of this pipeline run only, by its number or id."`
	Request   int    `name:"request" placeholder:"ID" min:"0" help:"Show this job request only."`
	ScaledJob string `name:"scaledjob" placeholder:"NAME" help:"Show this ScaledJob and its jobs only, as NAME or NAMESPACE/NAME."`

	Output   string        `name:"output" short:"o" enum:"table,wide,json" default:"table" help:"Format: table; wide, with the way of each job and the last decisions; or json, as docs/status-json.md describes it."`
	Watch    bool          `name:"watch" short:"w" help:"Show it again and again until interrupted."`
	Interval time.Duration `name:"interval" default:"2s" min:"100ms" help:"Pause between two times with --watch."`
	Limit    int           `name:"limit" default:"1000" min:"1" max:"10000" help:"Maximum jobs, decisions and ScaledJobs to show."`

	Address   setting.Address `name:"address" placeholder:"HOST:PORT" help:"Address of the scaler's HTTP port. Without it, the scaler of this pod is asked, and outside of a pod the one that --selector finds, through the API server of Kubernetes."`
	HTTPAddr  setting.Address `name:"http-addr" env:"HTTP_ADDR" default:":8080" help:"HTTP_ADDR of the scaler in this pod."`
	Namespace string          `name:"namespace" short:"n" placeholder:"NAME" help:"Namespace of the scaler's pods. Without it all are searched."`
	Selector  string          `name:"selector" short:"l" default:"app.kubernetes.io/name=ado-agent-orchestrator" help:"Labels of the scaler's pods."`
	Timeout   time.Duration   `name:"timeout" default:"30s" min:"1ms" help:"Timeout of one report."`
}

// errStopped is the end of a command that has found jobs which nobody serves.
var errStopped = exitError{code: 3}

// exitError ends the program with a code, and without a message.
type exitError struct{ code int }

func (exitError) Error() string { return "some jobs cannot be served" }

// Run shows the report.
func (c *explainCommand) Run(ctx context.Context, o outputs) error {
	source, err := c.source(ctx)
	if err != nil {
		return err
	}
	defer source.close()
	terminal := false
	if f, ok := o.out.(*os.File); ok {
		terminal = isCharacterDevice(f)
	}
	for {
		report, err := c.report(ctx, source)
		if err == nil {
			err = c.show(o.out, &report, terminal && c.Watch)
		}
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if !c.Watch || !pause(ctx, c.Interval) {
			if report.OK() {
				return nil
			}
			return errStopped
		}
	}
}

func isCharacterDevice(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// pause waits, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *explainCommand) filter() explain.Filter {
	return explain.Filter{
		Pool: c.Pool, Run: c.RunNumber, Request: int64(c.Request), ScaledJob: c.ScaledJob,
		MaxRequests: c.Limit, MaxDecisions: c.Limit, MaxScaledJobs: c.Limit,
	}
}

func (c *explainCommand) report(ctx context.Context, from reportSource) (explain.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return from.report(ctx, c.filter())
}

// clearScreen moves the cursor of a terminal to its upper left and clears the rest.
const clearScreen = "\x1b[H\x1b[2J"

func (c *explainCommand) show(w io.Writer, report *explain.Report, clearing bool) error {
	if c.Output == "json" {
		encoder := json.NewEncoder(w)
		if !c.Watch { // else one report a line
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(report)
	}
	t := reportTable{wide: c.Output == "wide" || c.RunNumber != "" || c.Request != 0, decisions: c.Output == "wide"}
	text := t.text(report)
	if clearing {
		text = clearScreen + text
	}
	_, err := io.WriteString(w, text)
	return err
}
