package agent

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

// FuzzRedact passes on what an agent and its jobs print, in two parts.
func FuzzRedact(f *testing.F) {
	const secret = "s4fe-t0k3n"
	f.Add([]byte("Connecting with "+secret+"\n"), 15)
	f.Add([]byte("Authorization: Bearer abcdefghijklmnopqrstuvwxyz\nhttps://user:pass@host/?sig=x&y"), 40)
	f.Add([]byte("eyJhbGciOiJI.eyJzdWIi.x\r\nno end"), 3)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		cut = min(max(cut, 0), len(text))
		var out bytes.Buffer
		memtest.Within(t, len(text), 200, func() {
			w := Redactor{secret}.lines(&out, nil)
			_, _ = w.Write(text[:cut])
			_, _ = w.Write(text[cut:])
			w.flush()
		})
		// A line that is too long is passed on in parts, where the secret may be cut.
		if !bytes.Contains(text, []byte("***")) && len(text) <= longestLine && strings.Contains(out.String(), secret) {
			t.Errorf("%q becomes %q", text, out.String())
		}
		if bytes.Count(out.Bytes(), []byte("\n")) > bytes.Count(text, []byte("\n")) {
			t.Errorf("%q has more lines than %q", out.String(), text)
		}
	})
}
