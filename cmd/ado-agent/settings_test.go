//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
)

// outcome runs the launcher with just this environment, without an agent.
func outcome(t *testing.T, env []string, args ...string) (output string, code int) {
	t.Helper()
	p := prepare(t, t.TempDir())
	p.command.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}, env...)
	p.command.Args = append(p.command.Args, args...)
	p.start()
	<-p.done
	return p.output(), p.command.ProcessState.ExitCode()
}

func TestEveryMistakeIsReported(t *testing.T) {
	output, code := outcome(t, []string{
		"AZP_URL=https://user:s3cr3t@dev.azure.com/contoso", "AZP_AUTH=magic", "AZP_CAPABILITIES=a b,,c=1,C", "AZP_IDLE_TIMEOUT=soon",
		"AZP_GRACE_PERIOD=0", "AZP_START_TIMEOUT=-5", "AZP_LEAVE_TIMEOUT=1ms", "AZP_ALLOW_HTTP=perhaps", "AZP_AGENT_PACKAGE=best", "AZP_SHOW_SECRET_VARIABLES=some", "AZP_LOG_LEVEL=loud", "AZP_LOG_FORMAT=xml",
	})
	for _, want := range []string{
		"AZP_URL (--url): holds a user or password", `the kind of credential "magic" is not known`,
		`AZP_CAPABILITIES (--capabilities): name "a b" holds a space, item "" has no name, duplicate name "c"`,
		`AZP_IDLE_TIMEOUT (--idle-timeout): "soon" is not a duration such as 90s or 10m, from 0s`,
		`AZP_GRACE_PERIOD (--grace-period): "0" is not a duration such as 90s or 10m, from 1s`,
		`AZP_START_TIMEOUT (--start-timeout): "-5"`, `AZP_LEAVE_TIMEOUT (--leave-timeout): "1ms"`,
		`AZP_ALLOW_HTTP (--allow-http): "perhaps" is neither true nor false`,
		`AZP_AGENT_PACKAGE (--agent-package): "best" is not one of agent, pipelines-agent`,
		`AZP_SHOW_SECRET_VARIABLES (--show-secret-variables): "some" is neither true nor false`,
		`AZP_LOG_LEVEL (--log-level): "loud"`, `AZP_LOG_FORMAT (--log-format): "xml" is not one of json, console`,
	} {
		if !strings.Contains(output, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if code != exitSettings || strings.Contains(output, "s3cr3t") || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, output)
	}
}

func TestMissingSettings(t *testing.T) {
	output, code := outcome(t, nil)
	if code != exitSettings || !strings.Contains(output, "AZP_URL (--url): is missing") || !strings.Contains(output, "the personal access token is missing") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
}

func TestFlagOverEnvironment(t *testing.T) {
	output, code := outcome(t, []string{"AZP_IDLE_TIMEOUT=from-environment"}, "--idle-timeout=from-flag")
	if code != exitSettings || !strings.Contains(output, `"from-flag"`) || strings.Contains(output, "from-environment") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	if output, code := outcome(t, nil, "--token=s3cr3t"); code != exitSettings || !strings.Contains(output, "unknown flag --token") || strings.Contains(output, "s3cr3t") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
}

func TestHelpAndVersion(t *testing.T) {
	secrets := []string{"AZP_TOKEN=s3cr3t", "AZURE_CLIENT_SECRET=s3cr3t", "AZURE_CLIENT_CERTIFICATE_PASSWORD=s3cr3t"}
	output, code := outcome(t, secrets, "--help")
	if code != 0 || strings.Contains(output, "s3cr3t") {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	for _, name := range ours {
		if !strings.Contains(output, "$"+name) {
			t.Errorf("--help lacks %s", name)
		}
	}
	if output, code := outcome(t, nil, "--version"); code != 0 || !strings.HasPrefix(output, "ado-agent ") {
		t.Errorf("exit code %d: %s", code, output)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]string{"10m": "10m0s", "3600": "1h0m0s", "0": "0s", "1.5": "1.5s", "1h": "1h0m0s"} {
		m := &mistakes{}
		if got := m.duration("X", text, 0); got.String() != want || m.err() != nil {
			t.Errorf("%s is %s, %v", text, got, m.err())
		}
	}
}
