// Package documents_test runs the commands that documents print, as printed and in
// their order: kubectl and Helm on a real API server with KEDA, and our program.
package documents_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// documents are those with commands, in the order in which somebody follows them.
var documents = []string{
	"README.md", "docs/troubleshooting.md", "docs/status-json.md", "docs/compatibility.md", "docs/operations.md", "docs/install.md",
	"deploy/helm/ado-agent-orchestrator/README.md", "deploy/artifacthub/ado-agent-orchestrator/artifacthub-pkg.yml",
	"docs/migrate.md", "docs/settings.md", "linux/README.md", "docs/develop.md", "docs/exactness.md", "docs/performance.md",
	"docs/reliability.md", "docs/warm.md", "docs/triggers.md", "docs/metrics.md", "docs/security.md", "docs/architecture.md",
	"docs/CHANGELOG.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md",
}

// elsewhere are commands that are not run here, by how they begin, and why.
var elsewhere = []struct{ begin, reason string }{
	{"helm install keda keda --repo https://", "downloads KEDA's chart; the cluster runs KEDA already"},
	{"az ", "requires an account of Azure; cmd/ado-agent-orchestrator checks its flags"},
	{"docker ", "requires a daemon and a registry; .ci/images builds and runs both images"},
	{"cosign ", "requires a published release; cmd/ado-agent-orchestrator compares it with the workflow"},
	{"sha256sum ", "requires a published release; .ci/release makes these sums and checks them"},
	{"git clone ", "downloads this repository"},
	{"cd ", "is for the commands that follow"},
	{".ci/run", "is CI, which runs this test"},
}

// whyNot returns why a command is not run here.
func whyNot(command string) (reason string, listed bool) {
	for _, e := range elsewhere {
		if strings.HasPrefix(command, e.begin) {
			return e.reason, true
		}
	}
	return "", false
}

// TestEveryDocument requires that each document with commands is followed, and that
// each program is run or listed.
func TestEveryDocument(t *testing.T) {
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "linux/*.md", ".github/*.md", "deploy/*/*/*.md", "deploy/*/*/*.yml"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	used := map[string]bool{}
	for _, path := range all {
		path = strings.TrimPrefix(path, root+"/")
		for _, i := range read(t, path) {
			if i.command != "" && !slices.Contains(documents, path) {
				t.Errorf("nobody follows %s: %s", path, i.command)
			}
			for _, e := range elsewhere {
				used[e.begin] = used[e.begin] || strings.HasPrefix(i.command, e.begin)
			}
		}
	}
	for _, e := range elsewhere {
		if !used[e.begin] {
			t.Errorf("no document has a command that begins with %q", e.begin)
		}
	}
}

// TestCommands follows the documents.
func TestCommands(t *testing.T) {
	w := newWalk(t)
	for _, document := range documents {
		t.Run(strings.ReplaceAll(document, "/", "_"), func(t *testing.T) {
			w.t = t
			w.follow(document)
		})
	}
	if w.run < 40 {
		t.Errorf("only %d commands were run", w.run)
	}
}

// follow runs the commands of a document.
func (w *walk) follow(document string) {
	items := read(w.t, document)
	w.begin(document, items)
	section := ""
	for _, i := range items {
		if i.section != section {
			section = i.section
			w.enter(document, section)
		}
		if i.command == "" {
			continue
		}
		reason, listed := whyNot(i.command)
		if !listed && ofDeveloper.MatchString(i.command) {
			reason = later(w.t, i.command)
		}
		if reason != "" {
			w.t.Logf("not run: %s: %s", i.command, reason)
			continue
		}
		w.run++
		w.check(document, i.command, w.shell(i.command))
	}
}

// The output at which a command that does not end has done its work.
var lasting = []struct{ part, until string }{
	{" port-forward ", "Forwarding from"},
	{" --watch", "linux"},
	{"ado-agent-orchestrator serve", `"msg":"serving"`},
	{"ado-agent-orchestrator demo", "SURPLUS"},
	{"./cmd/adosim", "Queue three jobs"},
}

// shell runs a command as a shell does, and returns what it prints.
func (w *walk) shell(printed string) string {
	w.t.Helper()
	command := strings.ReplaceAll(w.table.Replace(printed), "20261125.3", w.lastRun)
	w.t.Logf("$ %s", command)
	where, bound := w.reader, patience
	if ofDeveloper.MatchString(printed) {
		where, bound = w.developer, 5*patience // it compiles
	}
	for _, l := range lasting {
		if strings.Contains(command, l.part) {
			return w.until(where, command, l.until)
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), bound)
	defer cancel()
	output, err := bash(ctx, where, command).CombinedOutput()
	if err != nil {
		w.t.Errorf("%s\n%v\n%s", printed, err, output)
	}
	w.t.Logf("%.4000s", output)
	return string(output)
}

func bash(ctx context.Context, where place, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", command)
	cmd.Dir, cmd.Env = where.dir, where.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// until runs a command until it has printed a text, and ends it with the document.
func (w *walk) until(where place, command, text string) string {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := bash(ctx, where, strings.TrimSuffix(command, "&"))
	var output output
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	w.t.Cleanup(func() {
		cancel()
		<-ended
	})
	w.eventually(func() error {
		select {
		case err := <-ended:
			ended <- err
			w.t.Fatalf("%s ended: %v\n%s", command, err, output.String())
		default:
		}
		if !strings.Contains(output.String(), text) {
			return fmt.Errorf("%s has not printed %q:\n%s", command, text, output.String())
		}
		return nil
	})
	return output.String()
}

// patience bounds each wait.
const patience = 2 * time.Minute

// eventually waits until check has no error.
func (w *walk) eventually(check func() error) {
	w.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal(err)
		}
		select {
		case <-ticker.C:
		case <-w.t.Context().Done():
			w.t.Fatal(errors.Join(err, w.t.Context().Err()))
		}
	}
}

// output is what a process has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
