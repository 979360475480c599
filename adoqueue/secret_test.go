package adoqueue_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
)

// tokens is an Entra credential with this token, or with an error if it has none.
type tokens string

func (t tokens) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if t == "" {
		return azcore.AccessToken{}, errors.New("AADSTS700016: no such application")
	}
	return azcore.AccessToken{Token: string(t) + " for " + o.Scopes[0], ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file:with-colon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		credential adoqueue.Credential
		want       string
		err        string
		kind       error
	}{
		{"value", adoqueue.PAT(" by-value\n"), "by-value", "", nil},
		{"file", adoqueue.PATFile(file), "from-file:with-colon", "", nil},
		{"no file", adoqueue.PATFile(file + "x"), "", "get the credential: stat ", adoqueue.ErrUnavailable},
		{"empty", adoqueue.PAT(" "), "", "the personal access token is empty", adoqueue.ErrUnavailable},
		{"Entra", adoqueue.Entra(tokens("jwt")), "jwt for 499b84ac-1321-427f-aa17-267ca6975798/.default", "", nil},
		{"refused by Entra", adoqueue.Entra(tokens("")), "", "AADSTS700016", adoqueue.ErrUnauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := adoqueue.Secret(t.Context(), tt.credential)
			if got != tt.want || (err == nil) != (tt.err == "") {
				t.Fatalf("got %q, %v", got, err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.err) || !errors.Is(err, tt.kind)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}
