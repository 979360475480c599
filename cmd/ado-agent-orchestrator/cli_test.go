package main

import (
	"strings"
	"testing"
)

func TestFlagOverEnvironmentOverDefault(t *testing.T) {
	for _, tt := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, nil, `POLLING_DELAY (--polling-delay): "50"`},
		{[]string{"POLLING_DELAY=60"}, []string{"--polling-delay=70"}, `POLLING_DELAY (--polling-delay): "70"`},
		{[]string{"POLLING_DELAY=60"}, nil, `POLLING_DELAY (--polling-delay): "60"`},
	} {
		if tt.env == nil { // the default itself is no mistake: what is reported is only the rest
			_, stderr, _ := output(t, nil, "serve")
			if strings.Contains(stderr, "POLLING_DELAY") {
				t.Errorf("the default is refused: %s", stderr)
			}
			continue
		}
		if _, stderr, exit := output(t, tt.env, append([]string{"serve"}, tt.args...)...); exit != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v %v: exit %d, %s", tt.env, tt.args, exit, stderr)
		}
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	_, stderr, exit := output(t, []string{
		"ORG_URL=https://user:s3cr3t@dev.azure.com/contoso", "POLLING_DELAY=99", "STALE_FOR=-1s", "REQUEST_TIMEOUT=soon",
		"KUBE=maybe", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "TLS_CERT_FILE=process_test.go", "TLS_CLIENT_CA_FILE=y", "ORG_PAT=s3cr3t", "ORG_PAT_FILE=z",
	}, "serve")
	for _, want := range []string{
		"ORG_URL (--org-url): holds a user or password", "ORG_AUTH (--org-auth), ORG_PAT, ORG_PAT_FILE (--org-pat-file): the personal access token is given in several ways",
		`POLLING_DELAY (--polling-delay): "99" is too small; the minimum is 100ms`, "ORG_PAT_FILE (--org-pat-file): stat z: ",
		`STALE_FOR (--stale-for): "-1s" is too small; the minimum is 1s`, `REQUEST_TIMEOUT (--request-timeout): "soon"`,
		`KUBE (--kube): "maybe" is not one of auto, on, off`, `LOG_LEVEL (--log-level): "loud"`, `LOG_FORMAT (--log-format): "xml"`,
		"TLS_CERT_FILE (--tls-cert-file), TLS_KEY_FILE (--tls-key-file): go together", "TLS_CLIENT_CA_FILE (--tls-client-ca-file): stat y: ",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if exit != 1 || strings.Contains(stderr, "s3cr3t") || t.Failed() {
		t.Errorf("exit %d:\n%s", exit, stderr)
	}
}

// TestMistakesInCredentials wants them with the other mistakes.
func TestMistakesInCredentials(t *testing.T) {
	for _, tt := range []struct{ env, want []string }{
		{
			[]string{"ORG_URL=http://ado.example.com/contoso", "ORG_AUTH=service-principal", "AZURE_CLIENT_ID=c", "AZURE_CLIENT_CERTIFICATE_PATH=cli_test.go"},
			[]string{
				"ORG_URL (--org-url), ALLOW_HTTP (--allow-http): organization http://ado.example.com/contoso: a credential is not sent over plain http",
				"a service principal needs a tenant id",
				"AZURE_CLIENT_CERTIFICATE_PATH (--azure-client-certificate-path): cli_test.go must hold a certificate and its RSA private key: PEM, or PKCS#12 without a password\n",
			},
		},
		{
			[]string{"ORG_URL=https://dev.azure.com/contoso", "ORG_AUTH=workload-identity", "AZURE_FEDERATED_TOKEN_FILE=nowhere"},
			[]string{
				"ORG_AUTH (--org-auth), AZURE_TENANT_ID (--azure-tenant-id), AZURE_CLIENT_ID (--azure-client-id), AZURE_FEDERATED_TOKEN_FILE (--azure-federated-token-file): " +
					"a workload identity needs a tenant id (AZURE_TENANT_ID), a workload identity needs a client id (AZURE_CLIENT_ID); the webhook",
				"AZURE_FEDERATED_TOKEN_FILE (--azure-federated-token-file): stat nowhere",
			},
		},
		{
			[]string{"ORG_URL=https://dev.azure.com/contoso", "ORG_AUTH=service-principal", "AZURE_CLIENT_ID=c", "AZURE_TENANT_ID=a b", "AZURE_CLIENT_SECRET=s3cr3t"},
			[]string{"credential service-principal: invalid tenantID"},
		},
	} {
		_, stderr, exit := output(t, append(tt.env, "POLLING_DELAY=99"), "serve")
		for _, want := range append(tt.want, "POLLING_DELAY (--polling-delay): ") {
			if exit != 1 || !strings.Contains(stderr, want) || strings.Contains(stderr, "s3cr3t") {
				t.Errorf("exit %d, lacks %s: %s", exit, want, stderr)
			}
		}
	}
}

// TestSettingsWithoutPools reports mistakes in settings of agents, and not that they
// have no effect.
func TestSettingsWithoutPools(t *testing.T) {
	base := []string{"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=s3cr3t", "LEASE_NAME=A_b"} // which is refused as well
	for _, tt := range []struct {
		env  []string
		want []string
	}{
		{
			[]string{"WARM_AGENTS=zzz", "WARM_TIME_ZONE=Nowhere", "WARM_MAX_AGE=1s", "POLLING_INTERVAL=1.5", "JOB_NAMESPACE=Ado_1", "MINIMUM_AGENT_COUNT=101"},
			[]string{
				"WARM_AGENTS (--warm-agents), WARM_TIME_ZONE (--warm-time-zone): unknown time zone \"Nowhere\"", `WARM_TIME_ZONE (--warm-time-zone): period "zzz"`,
				"WARM_MAX_AGE (--warm-max-age): 1s must be", "POLLING_INTERVAL (--polling-interval): 1.5s must be in whole seconds",
				`JOB_NAMESPACE (--job-namespace): "Ado_1"`, "MINIMUM_AGENT_COUNT (--minimum-agent-count), MAXIMUM_AGENT_COUNT (--maximum-agent-count): 101",
			},
		},
		{[]string{"WARM_TIME_ZONE=Nowhere"}, []string{`unknown time zone "Nowhere"`}},
		{[]string{"WARM_TIME_ZONE=Europe/Berlin", "WARM_MAX_AGE=12h", "POLLING_INTERVAL=10s", "SCALER_ADDRESS=scaler"}, nil},
	} {
		_, stderr, exit := output(t, append(tt.env, base...), "serve")
		for _, want := range append(tt.want, "LEASE_NAME (--lease-name): ") {
			if exit != 1 || !strings.Contains(stderr, want) {
				t.Errorf("%v: exit %d, lacks %s: %s", tt.env, exit, want, stderr)
			}
		}
		if tt.want == nil && strings.Count(stderr, "\n") != 3 {
			t.Errorf("%v: more is refused: %s", tt.env, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	environment := []string{"ORG_PAT=s3cr3t", "AZURE_CLIENT_SECRET=s3cr3t", "AZURE_CLIENT_CERTIFICATE_PASSWORD=s3cr3t"}
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"demo", "--help"}, {"help"}, {"help", "serve"}} {
		stdout, stderr, exit := output(t, environment, args...)
		if exit != 0 || stderr != "" || !strings.Contains(stdout, "Usage: ado-agent-orchestrator") || strings.Contains(stdout, "s3cr3t") {
			t.Errorf("%v: exit %d, %s%s", args, exit, stdout, stderr)
		}
	}
	stdout, _, _ := output(t, nil, "serve", "--help")
	for _, want := range []string{"$ORG_URL", "$ORG_PAT", "$ORG_PAT_FILE", "$GRPC_ADDR", "$HTTP_ADDR", "$POLLING_DELAY", "$KUBE", `--grpc-addr=":9090"`, `--http-addr=":8080"`, "--polling-delay=1000"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("serve --help lacks %s", want)
		}
	}
	for _, group := range settingGroups {
		if _, rest, found := strings.Cut(stdout, "\n"+group.Title+"\n"); !found || !strings.HasPrefix(rest, "  ") {
			t.Errorf("serve --help has no flags in the group %s", group.Title)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, command := range []string{"version", "--version"} {
		stdout, stderr, exit := output(t, nil, command)
		if exit != 0 || !strings.HasPrefix(stdout, "ado-agent-orchestrator ") {
			t.Errorf("%s: exit %d, %q, %s", command, exit, stdout, stderr)
		}
	}
}

func TestUnknownCommandAndFlag(t *testing.T) {
	for _, args := range [][]string{{"destroy"}, {"serve", "--pat=s3cr3t"}} {
		_, stderr, exit := output(t, nil, args...)
		if exit != 2 || !strings.HasPrefix(stderr, "ado-agent-orchestrator: ") || strings.Contains(stderr, "s3cr3t") {
			t.Errorf("%v: exit %d, %s", args, exit, stderr)
		}
	}
}
