package main

import (
	"slices"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adoauth"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
)

// ours are the launcher's settings, which jobs have no use for.
var ours = []string{
	"AZP_URL", "AZP_TOKEN", "AZP_TOKEN_FILE", "AZP_AUTH", "AZP_POOL", "AZP_AGENT_NAME", "AZP_WORK", "AZP_AGENT_DIR",
	"AZP_CAPABILITIES", "AZP_AGENT_PACKAGE", "AZP_SHOW_SECRET_VARIABLES", "AZP_JOB_FILE", "AZP_IDLE_TIMEOUT", "AZP_GRACE_PERIOD", "AZP_START_TIMEOUT", "AZP_LEAVE_TIMEOUT",
	"AZP_ROLE", "AZP_SHARED_DIR", "AZP_CA_FILE", "AZP_ALLOW_HTTP", "AZP_LOG_LEVEL", "AZP_LOG_FORMAT",
}

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
