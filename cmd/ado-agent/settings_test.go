//go:build linux

package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting/settingtest"
)

var update = flag.Bool("update", false, "write the table of settings")

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
		"AZP_URL (--url): holds a user or password", `AZP_AUTH (--auth): "magic" is not one of pat, workload-identity, managed-identity, service-principal, azure-cli`,
		`AZP_CAPABILITIES (--capabilities): name "a b" holds a space, item "" has no name, duplicate name "c"`,
		`AZP_IDLE_TIMEOUT (--idle-timeout): "soon" is not a duration such as 90s or 10m`,
		`AZP_GRACE_PERIOD (--grace-period): "0" is too small; the minimum is 1s`,
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
	if output, code := outcome(t, nil, "--token=s3cr3t"); code != exitSettings || !strings.Contains(output, "AZP_TOKEN: is not accepted as a flag") || strings.Contains(output, "s3cr3t") {
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

// TestLineBreaksAreTrimmed has them at the end of each variable, as values from a
// Secret often have.
func TestLineBreaksAreTrimmed(t *testing.T) {
	line := commandLine{}
	parser, err := newParser(&line)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AZP_URL": "https://dev.azure.com/contoso/\n", "AZP_TOKEN": "\ufeffabc\r\n", "AZP_POOL": "Büro 1\n", "AZP_AGENT_NAME": "pod-1 \n",
		"AZP_WORK": "work\n", "AZP_IDLE_TIMEOUT": "3600\n", "AZP_ALLOW_HTTP": "true\n", "AZP_CAPABILITIES": "docker,\njava=17\n", "AZP_LOG_LEVEL": "warn\n",
	} {
		t.Setenv(name, value)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if line.URL.String() != "https://dev.azure.com/contoso" || line.credential().PAT != "abc" || line.Pool != "Büro 1" || line.Name != "pod-1" ||
		line.Work != "work" || line.IdleTimeout != time.Hour || !line.AllowHTTP || line.Capabilities.String() != "docker,java=17" {
		t.Errorf("got %+v", line.flags)
	}
}

// TestTheFileWins is as with Microsoft's script.
func TestTheFileWins(t *testing.T) {
	line := commandLine{}
	parser, err := newParser(&line)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZP_TOKEN", "by-variable")
	if _, err := parser.Parse([]string{"--url=https://dev.azure.com/contoso", "--token-file=token"}); err != nil {
		t.Fatal(err)
	}
	if auth := line.credential(); auth.PAT != "" || auth.PATFile != "token" {
		t.Errorf("got %+v", auth)
	}
}

func TestGarbage(t *testing.T) {
	settingtest.Program{
		Valid: map[string]string{"AZP_URL": "https://dev.azure.com/contoso", "AZP_TOKEN": "s3cr3t"},
		New:   func() (*setting.Parser, error) { return newParser(&commandLine{}) },
		Run: func(args []string) (int, string) {
			var log bytes.Buffer
			exit := run(args, &log, &log)
			return exit, log.String()
		},
		Exit: exitSettings,
	}.Garbage(t)
}

//go:generate go test -run ^TestDocumentedSettings$ -update .

// TestDocumentedSettings keeps the table of the image's README.
func TestDocumentedSettings(t *testing.T) {
	parser, err := newParser(&commandLine{})
	check(t, err)
	const path = "../../linux/README.md"
	content, err := os.ReadFile(path)
	check(t, err)
	want, err := setting.Document(string(content), parser.Model())
	check(t, err)
	if *update {
		check(t, os.WriteFile(path, []byte(want), 0o600))
		return
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("%s is not up to date; run go generate: %s", path, diff)
	}
}
