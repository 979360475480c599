package scaler

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// metadataError is a mistake in a trigger.
type metadataError struct{ error }

// statusOf gives an error the gRPC code that says whose turn it is: the
// author's of the ScaledJob, the owner's of the credential, or nobody's.
func statusOf(err error) error {
	code := codes.Unavailable
	switch {
	case errors.As(err, &metadataError{}):
		code = codes.InvalidArgument
	case errors.Is(err, adoqueue.ErrPoolNotFound):
		code = codes.NotFound
	case errors.Is(err, adoqueue.ErrPoolUnfit):
		code = codes.FailedPrecondition
	case errors.Is(err, adoqueue.ErrUnauthorized):
		code = codes.Unauthenticated
	case errors.Is(err, adoqueue.ErrForbidden):
		code = codes.PermissionDenied
	}
	return status.Error(code, err.Error())
}
