package adoqueue

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// entraScope is Azure DevOps as Entra knows it, the same in every tenant.
const entraScope = "499b84ac-1321-427f-aa17-267ca6975798/.default"

// Credential is how a Client proves who it is.
type Credential interface {
	authorize() policy.Policy
}

// PAT is a personal access token. White space around it is ignored.
func PAT(token string) Credential {
	return pat(func(context.Context) (string, error) {
		token, err := secrets.Token(token)
		if err != nil {
			err = fmt.Errorf("the personal access token %w", err)
		}
		return token, err
	})
}

// PATFile is a personal access token in a file, which is read for every
// request, so that a new token takes effect at once.
func PATFile(path string) Credential {
	return pat(func(ctx context.Context) (string, error) { return secrets.ReadToken(ctx, path) })
}

// Entra is an identity of Microsoft Entra ID. The credential caches its tokens.
// Its errors that are ErrUnavailable are temporary; all others count as refusals.
func Entra(credential azcore.TokenCredential) Credential { return entra{credential} }

// expiryOf returns when a credential expires, zero if that is unknown.
func expiryOf(credential Credential) time.Time {
	if e, ok := credential.(entra); ok {
		if known, ok := e.credential.(interface{ Expires() time.Time }); ok {
			return known.Expires()
		}
	}
	return time.Time{}
}

type pat func(ctx context.Context) (string, error)

func (p pat) authorize() policy.Policy { return p }

func (p pat) Do(request *policy.Request) (*http.Response, error) {
	token, err := p(request.Raw().Context())
	if err != nil {
		return nil, unreadable(err)
	}
	request.Raw().Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(":"+token)))
	return request.Next()
}

func unreadable(err error) error {
	// It may be about to be replaced.
	return &Error{Hint: "check the setting of the personal access token", kind: ErrUnavailable, cause: err}
}

type entra struct{ credential azcore.TokenCredential }

func (e entra) authorize() policy.Policy {
	// NewClient has decided already where plain http is allowed.
	bearer := runtime.NewBearerTokenPolicy(e.credential, []string{entraScope},
		&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: true})
	return entraPolicy{bearer}
}

type entraPolicy struct{ bearer policy.Policy }

func (e entraPolicy) Do(request *policy.Request) (*http.Response, error) {
	response, err := e.bearer.Do(request)
	if err != nil && request.Raw().Header.Get("Authorization") == "" {
		kind, hint := ErrUnauthorized, "check the identity's settings and that it is a user of the organization"
		if errors.Is(err, ErrUnavailable) {
			kind, hint = ErrUnavailable, hintRetry
		}
		err = &Error{Message: "getting a token of Microsoft Entra ID", cause: err, Hint: hint, kind: kind}
	}
	return response, err
}
