package scaler

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// statusOf returns an error with the gRPC code that says who can act: the author
// of the ScaledJob, the owner of the credential, or nobody.
func statusOf(err error) error {
	code := codes.Unavailable
	switch {
	case isConfigError(err):
		code = codes.InvalidArgument
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, adoqueue.ErrPoolNotFound):
		code = codes.NotFound
	case errors.Is(err, adoqueue.ErrPoolNotSelfHosted):
		code = codes.FailedPrecondition
	case errors.Is(err, adoqueue.ErrUnauthorized):
		code = codes.Unauthenticated
	case errors.Is(err, adoqueue.ErrForbidden):
		code = codes.PermissionDenied
	}
	return status.Error(code, message(err))
}

// maxMessageBytes is the longest message of a status. gRPC sends it as a header.
const maxMessageBytes = 3 << 10

// message returns the text of an error as callers may show it. Names in it come
// from Azure DevOps and from other callers.
func message(err error) string {
	text := safetext.Printable(err.Error())
	if len(text) > maxMessageBytes {
		text = strings.ToValidUTF8(text[:maxMessageBytes], "") + "…"
	}
	return text
}

func isConfigError(err error) bool {
	_, ok := errors.AsType[*engine.ConfigError](err)
	return ok
}
