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
// credential does not have. The webhook's variables are
// the defaults of the settings.
func newWorkloadIdentity(s Settings, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	tenant := cmp.Or(s.TenantID, os.Getenv("AZURE_TENANT_ID"))
	client := cmp.Or(s.ClientID, os.Getenv("AZURE_CLIENT_ID"))
	path := cmp.Or(s.FederatedTokenFile, os.Getenv("AZURE_FEDERATED_TOKEN_FILE"))
	missing := errors.Join(
		required("a workload identity", "a tenant id (AZURE_TENANT_ID)", tenant),
		required("a workload identity", "a client id (AZURE_CLIENT_ID)", client),
		required("a workload identity", "a token (AZURE_FEDERATED_TOKEN_FILE)", path))
	if missing != nil {
		return nil, fmt.Errorf("%w; the webhook of Azure Workload Identity sets them in pods with the label azure.workload.identity/use: \"true\"", missing)
	}
	token := func(ctx context.Context) (string, error) { return secrets.ReadToken(ctx, path) }
	return azidentity.NewClientAssertionCredential(tenant, client, token, &azidentity.ClientAssertionCredentialOptions{ClientOptions: options})
}
