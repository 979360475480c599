package adoauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
)

// newWorkloadIdentity returns a credential that shows the token of a service account
// to Entra. The file is read for each access token, with bounds that azidentity's own
// credential does not have.
func newWorkloadIdentity(s Settings, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	s, err := s.workloadIdentity()
	if err != nil {
		return nil, err
	}
	token := func(ctx context.Context) (string, error) { return secrets.ReadToken(ctx, s.FederatedTokenFile) }
	return azidentity.NewClientAssertionCredential(s.TenantID, s.ClientID, token, &azidentity.ClientAssertionCredentialOptions{ClientOptions: options})
}

// workloadIdentity returns the settings completed with the webhook's variables, or what
// neither has.
func (s Settings) workloadIdentity() (Settings, error) {
	s.TenantID = cmp.Or(s.TenantID, os.Getenv("AZURE_TENANT_ID"))
	s.ClientID = cmp.Or(s.ClientID, os.Getenv("AZURE_CLIENT_ID"))
	s.FederatedTokenFile = cmp.Or(s.FederatedTokenFile, os.Getenv("AZURE_FEDERATED_TOKEN_FILE"))
	missing := errors.Join(
		required("a workload identity", "a tenant id (AZURE_TENANT_ID)", s.TenantID),
		required("a workload identity", "a client id (AZURE_CLIENT_ID)", s.ClientID),
		required("a workload identity", "a token (AZURE_FEDERATED_TOKEN_FILE)", s.FederatedTokenFile))
	if missing != nil {
		return s, fmt.Errorf("%w; the webhook of Azure Workload Identity sets them in pods with the label azure.workload.identity/use: \"true\"", missing)
	}
	return s, nil
}
