package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
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
	Watch    bool          `name:"watch" short:"w" help:"Repeat the report until interrupted. A failed report is retried."`
	Interval time.Duration `name:"interval" default:"2s" min:"100ms" help:"Pause between reports with --watch."`
	Limit    int           `name:"limit" default:"1000" min:"1" max:"10000" help:"Maximum jobs, decisions and ScaledJobs to show."`

	Address   setting.Address `name:"address" placeholder:"HOST:PORT" help:"Address of the scaler's HTTP port. By default, the scaler in this pod or, outside a pod, the one that --selector finds, through the Kubernetes API server."`
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

// errInterrupted is the end of a command that was interrupted before it had a report.
var errInterrupted = errors.New("interrupted before the scaler answered")

// Run shows the report.
func (c *explainCommand) Run(ctx context.Context, o outputs) error {
	var from reportSource
	defer func() { from.close() }()
	if c.Watch {
		return c.watch(ctx, &from, o)
	}
	report, err := c.report(ctx, &from)
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	if err := c.show(o.out, &report, false); err != nil {
		return err
	}
	return verdictOn(&report)
}

// verdictOn returns how the command ends after a report.
func verdictOn(report *explain.Report) error {
	if report.OK() {
		return nil
	}
	return errStopped
}

// watch shows reports until ctx ends. One that fails is tried again: a scaler that is
// being replaced is away for a moment.
func (c *explainCommand) watch(ctx context.Context, from *reportSource, o outputs) error {
	f, isFile := o.out.(*os.File)
	clearing := isFile && isCharacterDevice(f)
	answered, end := false, errInterrupted
	for {
		report, err := c.report(ctx, from)
		switch {
		case ctx.Err() != nil:
			return end
		case err != nil:
			if !answered {
				end = err
			}
			if clearing { // what it shows is not true any more
				fmt.Fprint(o.out, clearScreen)
			}
			fmt.Fprintf(o.log, "%s %s; trying again\n", time.Now().UTC().Format(time.TimeOnly+"Z"), safetext.Error(err))
		default:
			if err := c.show(o.out, &report, clearing); err != nil {
				return err
			}
			answered, end = true, verdictOn(&report)
		}
		if !pause(ctx, c.Interval) {
			return end
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

// report returns one report. The scaler is looked for if it is not known, or if a
// replica did not answer: another pod may have taken its place.
func (c *explainCommand) report(ctx context.Context, from *reportSource) (explain.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if len(from.addresses) == 0 {
		found, err := c.source(ctx)
		if err != nil {
			return explain.Report{}, err
		}
		*from = found
	}
	report, complete, err := from.report(ctx, c.filter())
	if !complete {
		from.close()
	}
	return report, err
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
