package page_test

import (
	"bufio"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// picture is that of README: go -C test test ./page -run TestDemo -picture ../../docs/images/demo.png
var picture = flag.String("picture", "", "let the demo run for some minutes, and write a picture of its page to this file")

// pictureAfter is when the demo's pictures have something to show.
const pictureAfter = 110 * time.Second

// TestDemo looks at the page of the real program, which watches a simulated Azure
// DevOps, with names that somebody there has made up.
func TestDemo(t *testing.T) {
	d := startDemo(t)
	const hostile = "<script>alert(1)</script>\x1b[31m\u202egnp.exe"
	if _, err := adotest.NewControl(d.azure).Queue(t.Context(), "linux", adotest.Job{Pipeline: hostile, Demands: []string{hostile}, SkipMatch: true}, 1); err != nil {
		t.Fatal(err)
	}
	b := open(t, d.page)
	b.load()
	b.until(`[...document.querySelectorAll(".contender dl div:first-child dd")].every((e) => Number(e.textContent) > 0)`)
	b.until(`[...document.querySelectorAll(".requests .name")].some((e) => e.textContent.startsWith("<script>alert(1)</script>gnp.exe "))`)
	for name, expression := range map[string]string{
		"two pools side by side":  `(([a, b]) => a.top === b.top && a.right < b.left)([...document.querySelectorAll(".pool")].map((e) => e.getBoundingClientRect()))`,
		"pictures":                `document.querySelectorAll("svg.picture").length === 4`,
		"the comparison":          `document.querySelectorAll(".contender").length === 2`,
		"the demand":              `[...document.querySelectorAll(".request code")].some((e) => e.textContent === "<script>alert(1)</script>gnp.exe")`,
		"no direction is changed": `!/[\u202a-\u202e\u2066-\u2069\u001b]/.test(document.documentElement.outerHTML)`,
		"a link to the run":       `[...document.querySelectorAll(".request a")].some((a) => a.href.startsWith("` + d.azure + `"))`,
	} {
		if !eval[bool](b, expression) {
			t.Errorf("not so: %s", name)
		}
	}
	keep(t, "demo.png", ask(b, chromedp.CaptureScreenshot()))
}

// TestPicture makes the picture of README.
func TestPicture(t *testing.T) {
	if *picture == "" {
		t.Skip("-picture names no file")
	}
	d := startDemo(t)
	time.Sleep(pictureAfter) // this is no test
	b := open(t, d.page)
	b.size(1280, 1240)
	b.prefer("light")
	call(b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	b.load()
	b.until(`document.querySelector(".station.here") !== null`)
	if err := os.WriteFile(*picture, ask(b, chromedp.CaptureScreenshot()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// demo is the program, which shows itself.
type demo struct{ page, azure string }

var (
	pageOfDemo  = regexp.MustCompile(`Look at (http://\S+)/ for`)
	azureOfDemo = regexp.MustCompile(`organization is (http://\S+)\.`)
)

func startDemo(t *testing.T) demo {
	t.Helper()
	programs, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, programs.Scaler, "demo", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--stand-in-addr=127.0.0.1:0")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end()
		_ = command.Wait()
	})
	var said strings.Builder
	for lines := bufio.NewScanner(io.TeeReader(out, &said)); lines.Scan(); {
		if azureOfDemo.MatchString(lines.Text()) {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	page, azure := pageOfDemo.FindStringSubmatch(said.String()), azureOfDemo.FindStringSubmatch(said.String())
	if page == nil || azure == nil {
		t.Fatalf("the demo said %s", said.String())
	}
	return demo{page: page[1], azure: azure[1]}
}
