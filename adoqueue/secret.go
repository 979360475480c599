package adoqueue

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// Secret returns what a credential proves itself with now: the personal access
// token, or an access token of Entra, which lives about an hour. The agent's
// config takes either for a personal access token.
func Secret(ctx context.Context, credential Credential) (string, error) {
	q := call{operation: "get the credential"}
	// It is taken from a request that goes nowhere, so that a Client and this
	// get it in the same way.
	sent := &lastRequest{}
	pipeline := runtime.NewPipeline("adoqueue", "v1",
		runtime.PipelineOptions{PerRetry: []policy.Policy{credential.authorize()}}, &policy.ClientOptions{Transport: sent})
	request, err := runtime.NewRequest(ctx, http.MethodGet, "https://localhost")
	if err != nil {
		return "", err
	}
	response, err := pipeline.Do(request)
	if err != nil {
		return "", (&exchange{}).failure(q, unanswered(err))
	}
	defer response.Body.Close()
	scheme, token, _ := strings.Cut(sent.header.Get("Authorization"), " ")
	if scheme != "Basic" {
		return token, nil
	}
	plain, err := base64.StdEncoding.DecodeString(token)
	return strings.TrimPrefix(string(plain), ":"), err
}

// lastRequest keeps the header of a request in place of sending it.
type lastRequest struct{ header http.Header }

func (l *lastRequest) Do(request *http.Request) (*http.Response, error) {
	l.header = request.Header
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request}, nil
}
