package main

import (
	"errors"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
)

// The exit codes, as in linux/README.md. 0 is for an agent that had its
// job, whatever the job's result, and for one that left because no job came or
// because it was asked to.
const (
	exitOK            = 0
	exitOther         = 1
	exitSettings      = 10 // settings are missing or wrong
	exitCredential    = 11 // the credential cannot be obtained, is refused or lacks a right
	exitPool          = 12 // the pool does not exist, or has no self-hosted agents
	exitName          = 13 // an agent of this name is online
	exitUnavailable   = 14 // Azure DevOps or Entra does not answer
	exitPackage       = 15 // there is no agent, and none can be fetched
	exitConfiguration = 16 // the agent's config failed, or took too long
	exitAgent         = 17 // the agent ended before it had a job
	exitCrash         = 18 // the agent failed in the middle of its job
)

// failure is an error with the exit code of its kind.
type failure struct {
	code int
	error
}

// Unwrap serves errors.Is.
func (f failure) Unwrap() error { return f.error }

// at sets the exit code of an error to that of the step in which it occurred, unless it is
// of a kind that has another.
func at(code int, err error) error {
	if f, ok := errors.AsType[failure](err); ok {
		return f
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, adoqueue.ErrUnauthorized), errors.Is(err, adoqueue.ErrForbidden):
		code = exitCredential
	case errors.Is(err, agent.ErrConfiguration):
		code = exitConfiguration
	}
	return failure{code, err}
}

// codeOfPool distinguishes a missing pool from a missing answer.
func codeOfPool(err error) int {
	if errors.Is(err, adoqueue.ErrPoolNotFound) || errors.Is(err, adoqueue.ErrPoolNotSelfHosted) {
		return exitPool
	}
	return exitUnavailable
}

// codeOf is the exit code for an error.
func codeOf(err error) int {
	if f, ok := errors.AsType[failure](err); ok {
		return f.code
	}
	return exitOther
}
