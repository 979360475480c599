package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
)

// asProgram makes the test binary behave as the program itself, so that tests
// can start it as a process.
const asProgram = "ADO_AGENT_ORCHESTRATOR_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the command with just this environment.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, args...)
	command.Env = append([]string{asProgram + "=1"}, env...)
	return command
}

// output runs the program to its end, which must come within a minute.
func output(t *testing.T, env []string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	command := program(t, env, args...)
	var out, log bytes.Buffer
	command.Stdout, command.Stderr = &out, &log
	var failed *exec.ExitError
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() }).Stop()
	if err := command.Wait(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return out.String(), log.String(), command.ProcessState.ExitCode()
}

// process is a program that goes on running.
type process struct {
	command            *exec.Cmd
	grpcAddr, httpAddr string

	mu  sync.Mutex
	log strings.Builder
}

// serve starts `serve` on free ports and waits until it says that it serves.
func serve(t *testing.T, env ...string) *process {
	t.Helper()
	return started(t, program(t, append(env, "GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0", "KUBE=off"), "serve"))
}

// started starts a command that serves.
func started(t *testing.T, command *exec.Cmd) *process {
	t.Helper()
	p := &process{command: command}
	pipe, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	var entry struct{ Msg, GRPC, HTTP string }
	for entry.Msg != "serving" {
		if !lines.Scan() {
			t.Fatalf("ended without serving: %s", p.log.String())
		}
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		p.keep(lines.Text())
	}
	p.grpcAddr, p.httpAddr = entry.GRPC, entry.HTTP
	go func() {
		for lines.Scan() {
			p.keep(lines.Text())
		}
	}()
	return p
}

func (p *process) keep(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.WriteString(line + "\n")
}

// stop ends the process with SIGTERM and returns its exit code and its log.
func (p *process) stop(t *testing.T) (exit int, log string) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	state, err := p.command.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return state.ExitCode(), p.log.String()
}

func (p *process) get(t *testing.T, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.httpAddr+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, answer.Status, err)
	}
	return string(body)
}

// metric asks for the pool Linux as KEDA does.
func (p *process) metric(t *testing.T) (int64, error) {
	t.Helper()
	conn, err := grpc.NewClient(p.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := externalscaler.NewExternalScalerClient(conn).GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{
		ScaledObjectRef: &externalscaler.ScaledObjectRef{Name: "build", Namespace: "ado", ScalerMetadata: map[string]string{"poolName": "Linux"}},
	})
	if err != nil {
		return 0, err
	}
	return answer.GetMetricValues()[0].GetMetricValue(), nil
}

// settle asks until the answer is as wanted.
func (p *process) settle(t *testing.T, want int64, code codes.Code) (last error) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		got, err := p.metric(t)
		if got == want && status.Code(err) == code {
			return err
		}
		if time.Now().After(deadline) {
			t.Fatalf("metric is %d (%v), want %d (%v)", got, err, want, code)
		}
	}
}

func azureDevOps(t *testing.T, pat string) *adotest.Server {
	t.Helper()
	s := adotest.Serve(t, adotest.Options{PAT: pat, AllowUnmatched: true})
	s.AddPool(adotest.Pool{Name: "Linux"})
	return s
}

// TestServe is a scaler's whole life: jobs come and go, the token is revoked
// and replaced, and it is asked to stop.
func TestServe(t *testing.T) {
	const pat, next = "first-s3cr3t", "second-s3cr3t"
	ado := azureDevOps(t, pat)
	patFile := filepath.Join(t.TempDir(), "pat")
	writeFile(t, patFile, pat+"\n")
	p := serve(t, "ORG_URL="+ado.URL()+"/", "ORG_PAT_FILE="+patFile, "POLLING_DELAY=100")
	p.settle(t, 0, codes.OK)

	var ids []int64
	for range 3 {
		id, err := ado.Queue("Linux", adotest.Job{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	p.settle(t, 3, codes.OK)
	for _, id := range ids {
		if err := ado.Cancel(id); err != nil {
			t.Fatal(err)
		}
	}
	p.settle(t, 0, codes.OK)

	ado.RevokePAT(pat)
	if err := p.settle(t, 0, codes.Unauthenticated); !strings.Contains(err.Error(), "check that the token is valid") {
		t.Errorf("got %v", err)
	}
	ado.AllowPAT(next, adotest.ScopeRead)
	writeFile(t, patFile, next)
	p.settle(t, 0, codes.OK)

	if got := p.get(t, "/healthz") + p.get(t, "/readyz"); got != "ok\nready\n" {
		t.Errorf("health is %q", got)
	}
	metrics := p.get(t, "/metrics")
	for _, want := range []string{
		"ado_agent_orchestrator_pool_job_requests{", "ado_agent_orchestrator_azure_devops_requests_total{",
		`grpc_server_handled_total{grpc_code="OK",grpc_method="GetMetrics"`, "go_build_info{",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	exit, log := p.stop(t)
	if exit != 0 || !strings.Contains(log, `"msg":"stopped"`) {
		t.Errorf("exit %d after SIGTERM; log:\n%s", exit, log)
	}
	if strings.Contains(log+metrics, "s3cr3t") {
		t.Errorf("a token shows in the log or the metrics:\n%s", log)
	}
}

func TestOrganizationsFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "organizations.yaml")
	pat := filepath.Join(dir, "pat")
	writeFile(t, pat, "one")
	ado := azureDevOps(t, "one")

	writeFile(t, file, "organizations:\n- url: "+ado.URL()+"\n  patFile: "+pat+"\n- url: https://dev.azure.com/fabrikam\n  auth: azure-cli\n")
	p := serve(t, "ORGANIZATIONS_FILE="+file)
	_, err := p.metric(t)
	if want := "organizationURL \"\": is required, since the scaler serves several: " + ado.URL() + ", https://dev.azure.com/fabrikam"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	p.stop(t)

	for content, want := range map[string]string{
		"organizations:\n- url: https://dev.azure.com/a\n  path: x\n":         "line 3: field path is not a key of an organization",
		"organizations:\n- url: https://dev.azure.com/a\n  patfile: x\n":      "line 3: field patfile is not a key of an organization",
		"organizations:\n- url: https://dev.azure.com/a\n  pat: x\n  ca: y\n": "line 3: field pat is not a key of an organization; line 4: field ca is not a key of an organization",
		"organizations:\n- url: https://dev.azure.com/a\n\tpatFile: x\n":      "found a tab character",
		"organizations: []\n":                             "lists no organizations",
		"organizations:\n- url: nowhere\n  auth: magic\n": "line 2: organization 1: auth: unknown kind of credential \"magic\"",
		"organizations:\n- {url: nowhere, auth: magic}\n": "line 2: organization 1: url: does not begin with https://HOST",
		"organizations:\n- url: nowhere\n  patFile: unknown\n- {url: https://dev.azure.com/a, auth: service-principal, certificateFile: process_test.go}\n": "url: does not begin with https://HOST\nORGANIZATIONS_FILE (--organizations-file): line 2: organization 1: patFile: stat unknown: no such file or directory\n" +
			"ORGANIZATIONS_FILE (--organizations-file): line 4: organization 2: auth: a service principal needs a tenant id, a service principal needs a client id\n" +
			"ORGANIZATIONS_FILE (--organizations-file): line 4: organization 2: certificateFile: process_test.go must hold a certificate",
		"organizations:\n- {url: https://dev.azure.com/a, patFile: x}\n- {url: https://a.visualstudio.com, patFile: y}\n": "line 3: organization 2: https://a.visualstudio.com is listed twice",
	} {
		writeFile(t, file, content)
		if _, stderr, exit := output(t, []string{"ORGANIZATIONS_FILE=" + file}, "serve"); exit != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit %d, %s\nwant %s", exit, stderr, want)
		}
	}
}

func TestPlainHTTPIsRefused(t *testing.T) {
	env := []string{"ORG_URL=http://ado.example.com/contoso", "ORG_PAT=s3cr3t", "GRPC_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0"}
	_, stderr, exit := output(t, env, "serve")
	if exit != 1 || !strings.Contains(stderr, "a credential is not sent over plain http") || strings.Contains(stderr, "s3cr3t") {
		t.Errorf("exit %d, %s", exit, stderr)
	}
	p := serve(t, append(env, "ALLOW_HTTP=true")...)
	if exit, log := p.stop(t); exit != 0 {
		t.Errorf("allowed: exit %d, %s", exit, log)
	}
}

// TestProxy reaches a host that only the proxy knows.
func TestProxy(t *testing.T) {
	ado := azureDevOps(t, "s3cr3t")
	if _, err := ado.Queue("Linux", adotest.Job{}); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "ado.example.com" {
			asked.Add(1)
			ado.ServeHTTP(w, r)
		}
	}))
	defer proxy.Close()
	p := serve(t, "ORG_URL=http://ado.example.com/contoso", "ORG_PAT=s3cr3t", "ALLOW_HTTP=true", "HTTP_PROXY="+proxy.URL)
	p.settle(t, 1, codes.OK)
	if exit, _ := p.stop(t); exit != 0 || asked.Load() == 0 {
		t.Errorf("exit %d, the proxy was asked %d times", exit, asked.Load())
	}
}

// TestPage asks for the page with its files, and for none of it where that is switched
// off.
func TestPage(t *testing.T) {
	ado := httptest.NewServer(http.NotFoundHandler())
	defer ado.Close()
	for setting, want := range map[string]int{"STATUS=true": http.StatusOK, "STATUS=false": http.StatusNotFound} {
		p := serve(t, "ORG_URL="+ado.URL+"/contoso", "ORG_PAT=s3cr3t", setting)
		for _, path := range []string{"/", "/page.css", "/page.js", "/icon.svg", "/status.json"} {
			if got := get(t, p.httpAddr, path); got != want {
				t.Errorf("%s: %s answers with status %d, want %d", setting, path, got, want)
			}
		}
		if got := get(t, p.httpAddr, "/nothing"); got != http.StatusNotFound {
			t.Errorf("%s: an unknown path answers with status %d", setting, got)
		}
		p.stop(t)
	}
}

func TestDemo(t *testing.T) {
	stdout, stderr, exit := output(t, nil, "demo", "--for=4s", "--poll-interval=200ms",
		"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--stand-in-addr=127.0.0.1:0")
	if exit != 0 || stderr != "" {
		t.Errorf("exit %d, %s", exit, stderr)
	}
	for _, want := range []string{"Azure DevOps is simulated", "grpcurl -plaintext 127.0.0.1:", "Look at http://127.0.0.1:", "METRIC", "linux-built-in", "SURPLUS"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
