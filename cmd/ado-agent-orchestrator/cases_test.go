package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inProcess runs the program with only this environment.
func inProcess(t *testing.T, env []string, args ...string) (stdout, log string, exit int) {
	t.Helper()
	unsetSettings(t)
	for _, variable := range append([]string{"KUBECONFIG=" + filepath.Join(t.TempDir(), "none")}, env...) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	// It ends by itself, unless a mistake is not found.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	exit = runUntil(ctx, args, outputs{out: &out, log: &errs})
	return out.String(), errs.String(), exit
}

// unsetSettings removes the variables of all settings for the time of a test, whatever
// the machine has.
func unsetSettings(t *testing.T) {
	t.Helper()
	parser, err := newParser(&commandLine{})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model().Children {
		for _, flag := range command.Flags {
			for _, name := range flag.Envs {
				if _, ok := os.LookupEnv(name); ok {
					t.Setenv(name, "") // restored after the test
					_ = os.Unsetenv(name)
				}
			}
		}
	}
}

// TestFieldCases are settings as they were seen in the field, each with what the
// program must say.
func TestFieldCases(t *testing.T) {
	const project = "ORG_URL (--org-url): must be https://dev.azure.com/ORGANIZATION, without a project"
	agents := []string{"ORG_PAT=s3cr3t", "AGENT_POOLS=linux", "JOB_IMAGE=i"}
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	writeFile(t, broken, "clusters: [")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"a project's URL":        {agents, []string{"render", "--org-url=https://dev.azure.com/contoso/project", "--scaler-address=s:9090"}, project},
		"a URL without a scheme": {agents, []string{"render", "--org-url=dev.azure.com/contoso", "--scaler-address=s:9090"}, "ORG_URL (--org-url): does not begin with https://HOST"},
		"mistakes in a schedule": {
			append([]string{"WARM_AGENTS=Foo 8:00-9:00 1", "WARM_TIME_ZONE=Mars", "WARM_MAX_AGE=1s"}, agents...),
			[]string{"run", "--org-url=https://dev.azure.com/contoso"},
			`period "Foo 8:00-9:00 1": "Foo" is not a day such as Mon, Mon-Fri or Mon,Wed`,
		},
		"an age without KEDA": {
			append([]string{"WARM_MAX_AGE=12h"}, agents...),
			[]string{"run", "--org-url=https://dev.azure.com/contoso"},
			"WARM_MAX_AGE (--warm-max-age): has no effect in run",
		},
		"idle agents without KEDA": {
			append([]string{"END_IDLE=true"}, agents...),
			[]string{"--org-url=https://dev.azure.com/contoso"},
			"END_IDLE (--end-idle): has no effect in run",
		},
		"evictable agents without KEDA": {
			append([]string{"EVICTABLE_IDLE=true"}, agents...),
			[]string{"--org-url=https://dev.azure.com/contoso"},
			"EVICTABLE_IDLE (--evictable-idle): has no effect in run",
		},
		"placeholders with Kubernetes switched off": {
			[]string{"ORG_PAT=s3cr3t", "PLACEHOLDERS=true", "KUBE=off"},
			[]string{"serve", "--org-url=https://dev.azure.com/contoso", "--scaler-address=s:9090"},
			"PLACEHOLDERS (--placeholders), KUBE (--kube): requires a view of Kubernetes, which off switches off",
		},
		"placeholders without a cluster": {
			[]string{"ORG_PAT=s3cr3t", "PLACEHOLDERS=true", "GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0"},
			[]string{"serve", "--org-url=https://dev.azure.com/contoso", "--scaler-address=s:9090"},
			"PLACEHOLDERS (--placeholders) and OFFLINE_AGENTS (--offline-agents) require Kubernetes: KUBECONFIG names ",
		},
		"a time zone alone": {
			append([]string{"WARM_TIME_ZONE=Europe/Berlin"}, agents...),
			[]string{"run", "--org-url=https://dev.azure.com/contoso"},
			"WARM_TIME_ZONE (--warm-time-zone), WARM_AGENTS (--warm-agents): a time zone requires a schedule",
		},
		"run":                     {agents, []string{"run", "--org-url=https://dev.azure.com/contoso/project"}, project},
		"serve with pools":        {agents, []string{"serve", "--org-url=https://dev.azure.com/contoso/project", "--scaler-address=s:9090"}, project},
		"serve without pools":     {[]string{"ORG_PAT=s3cr3t"}, []string{"serve", "--org-url=https://dev.azure.com/contoso/project"}, project},
		"without an organization": {agents, []string{"run", "--org-url=https://dev.azure.com"}, project},
		"a project of the older URL": {
			agents,
			[]string{"run", "--org-url=https://contoso.visualstudio.com/project"},
			"ORG_URL (--org-url): must be https://ORGANIZATION.visualstudio.com, without a project",
		},
		"a long life of the last list":     {agents, []string{"run", "--org-url=https://dev.azure.com/contoso", "--stale-for=2h"}, `STALE_FOR (--stale-for): "2h" is too large; the maximum is 1h0m0s`},
		"a pipe in place of a token file":  {[]string{"ORG_PAT_FILE=" + pipe}, []string{"serve", "--org-url=https://dev.azure.com/contoso"}, "ORG_PAT_FILE (--org-pat-file): read " + pipe + ": it is not a regular file"},
		"a token with a line break in it":  {[]string{"ORG_PAT=s3cr3t\nx"}, []string{"serve", "--org-url=https://dev.azure.com/contoso"}, "ORG_PAT: contains a control character"},
		"a token as a flag":                {nil, []string{"serve", "--org-url=https://dev.azure.com/contoso", "--org-pat", "s3cr3t"}, "ORG_PAT: is not accepted as a flag"},
		"a client secret as a flag":        {nil, []string{"serve", "--azure-client-secret=s3cr3t"}, "AZURE_CLIENT_SECRET: is not accepted as a flag"},
		"a password as a flag":             {nil, []string{"serve", "--azure-client-certificate-password=s3cr3t"}, "AZURE_CLIENT_CERTIFICATE_PASSWORD: is not accepted as a flag"},
		"a proxy that is none":             {[]string{"ORG_PAT=x", "HTTPS_PROXY=http://user:s3cr3t@[::1"}, []string{"serve", "--org-url=https://dev.azure.com/contoso"}, "HTTPS_PROXY: is not a URL such as http://proxy.example.com:3128"},
		"a proxy of an unknown kind":       {[]string{"ORG_PAT=x", "http_proxy=ftp://s3cr3t"}, []string{"serve", "--org-url=https://dev.azure.com/contoso"}, "http_proxy: is not a URL"},
		"a definition for another pool":    {append(agents, "JOB_DEFINITION_FILE="+definitionFor(t, "windows")), []string{"run", "--org-url=https://dev.azure.com/contoso"}, `JOB_DEFINITION_FILE (--job-definition-file): definition.spec.template.spec.containers[0].env[0]: AZP_POOL must be "linux"`},
		"a namespace that is none":         {append(agents, "JOB_NAMESPACE=Ado_1"), []string{"run", "--org-url=https://dev.azure.com/contoso"}, `JOB_NAMESPACE (--job-namespace): "Ado_1": a lowercase RFC 1123 label`},
		"more requested than the limit":    {append(agents, "JOB_REQUESTS=cpu=2", "JOB_LIMITS=cpu=1"), []string{"run", "--org-url=https://dev.azure.com/contoso"}, "JOB_REQUESTS (--job-requests), JOB_LIMITS (--job-limits): 2 must not be more than 1"},
		"an unknown resource":              {append(agents, "JOB_REQUESTS=gpu=1"), []string{"run", "--org-url=https://dev.azure.com/contoso"}, `JOB_REQUESTS (--job-requests): "gpu" must be cpu, memory, ephemeral-storage`},
		"a misspelt resource":              {append(agents, "JOB_REQUESTS=memroy=2Gi"), []string{"run", "--org-url=https://dev.azure.com/contoso"}, `JOB_REQUESTS (--job-requests): "memroy" is not a resource; did you mean "memory"?`},
		"a resource in the plural":         {append(agents, "JOB_LIMITS=cpus=1"), []string{"run", "--org-url=https://dev.azure.com/contoso"}, `JOB_LIMITS (--job-limits): "cpus" is not a resource; did you mean "cpu"?`},
		"a cluster file that is broken":    {append(agents, "KUBECONFIG="+broken), []string{"run", "--org-url=https://dev.azure.com/contoso"}, "agents require Kubernetes: KUBECONFIG " + broken + ": "},
		"a cluster file that is not there": {agents, []string{"run", "--org-url=https://dev.azure.com/contoso"}, "agents require Kubernetes: KUBECONFIG names "},
	} {
		t.Run(name, func(t *testing.T) {
			_, log, exit := inProcess(t, tt.env, tt.args...)
			if exit != 1 || !strings.Contains(log, tt.want) || strings.Contains(log, "s3cr3t") {
				t.Errorf("exit %d: %s\nwant %s", exit, log, tt.want)
			}
		})
	}
}

func definitionFor(t *testing.T, pool string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "job.yaml")
	writeFile(t, path, `
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      containers:
      - name: agent
        env: [{name: AZP_POOL, value: `+pool+`}]
`)
	return path
}

// TestRenderReadsTheDefinition has a deadline, of which render warns, and a second
// container, which it refuses.
func TestRenderReadsTheDefinition(t *testing.T) {
	for name, tt := range map[string]struct {
		spec, containers string
		exit             int
		want             string
	}{
		"plain": {},
		"a deadline": {
			spec: "  activeDeadlineSeconds: 1800\n",
			want: "JOB_DEFINITION_FILE: definition.spec.activeDeadlineSeconds is 1800: the time that an agent waits for a job counts too",
		},
		"a second container": {
			containers: "      - {name: dind, image: dind}\n", exit: 1,
			want: "JOB_DEFINITION_FILE (--job-definition-file): definition.spec.template.spec.containers[1]: must be a sidecar",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "job.yaml")
			writeFile(t, path, "apiVersion: batch/v1\nkind: Job\nspec:\n"+tt.spec+"  template:\n    spec:\n      containers:\n      - {name: agent, image: i}\n"+tt.containers)
			_, log, exit := inProcess(t, []string{
				"ORG_URL=https://dev.azure.com/contoso", "AGENT_POOLS=linux", "SCALER_ADDRESS=s:9090", "JOB_DEFINITION_FILE=" + path,
				"JOB_TOKEN_SECRET=ado/pat",
			}, "render")
			if exit != tt.exit || !strings.Contains(log, tt.want) || tt.want == "" && log != "" {
				t.Errorf("exit %d: %s\nwant %d: %s", exit, log, tt.exit, tt.want)
			}
		})
	}
}

// TestPoolWithComma lists two pools, one of them with a comma in its name.
func TestPoolWithComma(t *testing.T) {
	out, log, exit := inProcess(t, []string{
		"ORG_URL=https://dev.azure.com/contoso", `AGENT_POOLS=a\,b, c`, "JOB_IMAGE=i", "SCALER_ADDRESS=s:9090", namedSecret,
	}, "render")
	var pools []string
	for _, match := range regexp.MustCompile(`poolName: (.*)`).FindAllStringSubmatch(out, -1) {
		pools = append(pools, match[1])
	}
	if got := strings.Join(pools, ";"); exit != 0 || got != "a,b;c" {
		t.Errorf("exit %d, %s: %s", exit, got, log)
	}
}

// TestZero is 0 in any spelling where 0 disables.
func TestZero(t *testing.T) {
	for _, zero := range []string{"0", "0s", "0m", "0h0m", "00"} {
		line := &commandLine{}
		parser, err := newParser(line)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("ORG_PAT", "x")
		t.Setenv("STUCK_AFTER", zero)
		if _, err := parser.Parse([]string{
			"serve", "--org-url=https://dev.azure.com/contoso", "--agent-pools=a", "--job-image=i", "--scaler-address=s:1", "--job-idle-timeout=" + zero,
		}); err != nil {
			t.Fatal(err)
		}
		s, err := line.Serve.Flags.settings()
		if err != nil {
			t.Fatal(err)
		}
		if s.housekeeper.StuckAfter != 0 || s.agents.pools[0].IdleTimeout >= 0 {
			t.Errorf("%s: stuck after %s, idle timeout %s", zero, s.housekeeper.StuckAfter, s.agents.pools[0].IdleTimeout)
		}
	}
}

func TestRememberedLongerThanStale(t *testing.T) {
	s := commonSettings{commonFlags: commonFlags{StaleFor: time.Hour, Timeout: time.Minute}}
	if s.rememberFor() <= s.StaleFor+s.Timeout {
		t.Errorf("deleted Jobs are remembered for %s", s.rememberFor())
	}
}

func TestUnknownCommandIsCorrected(t *testing.T) {
	for typed, want := range map[string]string{
		"serv": `unexpected argument serv, did you mean "serve"?`, "qery": `did you mean "query"?`, "--gprc-addr=:1": `did you mean "--grpc-addr"?`, "ask": "unexpected argument ask; the commands are serve, run, render, query, explain, doctor, migrate, version",
	} {
		_, log, exit := inProcess(t, nil, typed)
		if exit != exitUsage || !strings.Contains(log, want) {
			t.Errorf("%s: exit %d, %s", typed, exit, log)
		}
	}
}

// TestNearMissIsWarnedOf lets run fail after it has opened its log.
func TestNearMissIsWarnedOf(t *testing.T) {
	_, log, exit := inProcess(t, []string{
		"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=x", "AGENT_POOL=linux", "JOB_IMAGE=i", "LOG_FORMAT=console",
	}, "run", "--agent-pools=linux")
	if want := "the variable AGENT_POOL is not a setting; did you mean AGENT_POOLS?"; exit != 1 || !strings.Contains(log, want) {
		t.Errorf("exit %d, the log lacks %q: %s", exit, want, log)
	}
}

// TestNearMissIsNamedWithTheMistake has a misspelt variable be why another is missing.
func TestNearMissIsNamedWithTheMistake(t *testing.T) {
	_, log, exit := inProcess(t, []string{
		"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=x", "AGENT_POOL=linux", "JOB_IMAGE=i",
	}, "run")
	for _, want := range []string{"AGENT_POOLS (--agent-pools): ", "the variable AGENT_POOL is not a setting; did you mean AGENT_POOLS?\nsee --help"} {
		if exit != exitFailure || !strings.Contains(log, want) {
			t.Errorf("exit %d, the log lacks %q: %s", exit, want, log)
		}
	}
}

// TestNearMissIsPrinted is for the commands that have no log.
func TestNearMissIsPrinted(t *testing.T) {
	ado := azureDevOps(t, "adotest-pat")
	for command, environ := range map[string][]string{
		"doctor": {"ORG_URL=" + ado.URL(), "ORG_PAT=adotest-pat", "KUBE=off"},
		"render": append([]string{"SCALER_ADDRESS=s:9090", namedSecret}, older...),
	} {
		out, log, exit := inProcess(t, append([]string{"MAX_AGENT_COUNT=5"}, environ...), command)
		if want := "warning: the variable MAX_AGENT_COUNT is not a setting; did you mean MAXIMUM_AGENT_COUNT?\n"; exit != 0 || log != want || strings.Contains(out, "MAX_AGENT_COUNT") {
			t.Errorf("%s: exit %d, the log is %q, want %q\n%s", command, exit, log, want, out)
		}
	}
}

// TestRunWarnsOfWhatItIgnores lets run fail after it has opened its log.
func TestRunWarnsOfWhatItIgnores(t *testing.T) {
	environ := []string{"ORG_URL=https://dev.azure.com/contoso", "ORG_PAT=x", "AGENT_POOLS=linux", "JOB_IMAGE=i", "LOG_FORMAT=console"}
	for name, test := range map[string]struct{ args, environ, want []string }{
		"run":               {[]string{"run"}, []string{"END_IDLE=true", "EVICTABLE_IDLE=true", "DELETE_STUCK=false"}, []string{"END_IDLE", "EVICTABLE_IDLE"}},
		"without a command": {nil, []string{"PLACEHOLDERS=true", "WARM_AGENTS=08:00-18:00 1"}, []string{"PLACEHOLDERS"}},
		"serve":             {[]string{"serve", "--scaler-address=scaler:9090"}, []string{"END_IDLE=true", "KUBE=on", "GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, log, exit := inProcess(t, append(test.environ, environ...), test.args...)
			for _, variable := range test.want {
				if want := "the variable " + variable + " has no effect in run; it is a setting of serve"; exit != 1 || !strings.Contains(log, want) {
					t.Errorf("exit %d, the log lacks %q: %s", exit, want, log)
				}
			}
			if n := strings.Count(log, "has no effect in run"); n != len(test.want) {
				t.Errorf("%d warnings, want %d: %s", n, len(test.want), log)
			}
		})
	}
}

// TestReleasedBuildHasNoStandIn builds nothing: it asks what the build in the
// Dockerfile would link.
func TestReleasedBuildHasNoStandIn(t *testing.T) {
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	tags := regexp.MustCompile(`-tags (\S+)`).FindSubmatch(dockerfile)
	if tags == nil {
		t.Fatal("the Dockerfile builds without tags")
	}
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", string(tags[1]), ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, list)
	}
	if strings.Contains(string(list), "adotest") || !strings.Contains(string(list), "/scaler") {
		t.Errorf("a build with -tags %s links the stand-in, or is not the scaler:\n%s", tags[1], list)
	}
}
