package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting/settingtest"
)

// output can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// TestExplained runs the commands that the program prints.
func TestExplained(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, ended := &output{}, make(chan error, 1)
	go func() { ended <- run(ctx, []string{"--addr=127.0.0.1:0", "--pools=builds,tests"}, out) }()
	command := regexp.MustCompile(`curl (\S+/_control/jobs) -d '(.*)'`)
	var words []string
	for deadline := time.Now().Add(20 * time.Second); words == nil; {
		if words = command.FindStringSubmatch(out.String()); words == nil && time.Now().After(deadline) {
			t.Fatalf("it explains nothing: %s", out)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, words[1], strings.NewReader(words[2]))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || strings.Count(string(body), ",") < 2 {
		t.Errorf("%s: %s, %v", answer.Status, body, err)
	}
	for _, want := range []string{"its token demo-token", "its pools are builds, tests", `"pool":"builds"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q: %s", want, out)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestGarbage(t *testing.T) {
	settingtest.Program{
		New: func() (*setting.Parser, error) { return setting.New(&commandLine{}) },
		Run: func(args []string) (int, string) {
			if err := run(t.Context(), args, io.Discard); err != nil {
				return 1, err.Error() + "\n"
			}
			return 0, ""
		},
		Exit: 1,
	}.Garbage(t)
}
