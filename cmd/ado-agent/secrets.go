package main

import (
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
)

// identity are the variables by which an identity of Entra is had.
var identity = []string{
	"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_SECRET_FILE", "AZURE_CLIENT_CERTIFICATE_PATH",
	"AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST",
	"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET",
}

// private are variables that jobs may need and that nobody else is to read: the
// agent would show them to all who see the pool.
var private = append([]string{"VSTS_HTTP_PROXY_USERNAME", "VSTS_HTTP_PROXY_PASSWORD"}, identity...)

// secretVariables are the launcher's own secrets.
var secretVariables = []string{
	"AZP_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "IDENTITY_HEADER", "MSI_SECRET", "VSTS_HTTP_PROXY_PASSWORD",
}

// secretsOf returns what must not be printed of an environment.
func secretsOf(environ []string) agent.Redactor {
	secrets := agent.Redactor(agent.Passwords(environ))
	for _, variable := range environ {
		if name, value, _ := strings.Cut(variable, "="); slices.Contains(secretVariables, name) && value != "" {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// hidden are the variables that jobs do not get. An identity is theirs if it is
// not what the launcher proves itself with.
func hidden(kind string) []string {
	if kind == adoauth.PAT {
		return ours
	}
	return append(slices.Clip(ours), identity...)
}
