package pair

import (
	"net"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

// FuzzHear reads what a job may write into the socket of its pod.
func FuzzHear(f *testing.F) {
	for _, seed := range []string{
		`{"installed":true}` + "\n" + `{"exited":true,"code":-1}` + "\n", `{"code":1e400}`, `{"files":{"a":"eA=="},"stop":7}`, "\n\n", "null\n[]",
		`{"package":{"DownloadURL":"file:///etc/passwd"},"end":{"code":256}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		memtest.Within(t, len(said), 200, func() {
			heard[Facts](t, said)
			heard[Orders](t, said)
		})
	})
}

// heard wants the reading to end with the connection, with a message or an error for
// each line.
func heard[In any](t *testing.T, said []byte) {
	t.Helper()
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		_, _ = there.Write(said) // as much as is read
	}()
	n := 0
	err := hear(here, func(In) { n++ })
	_ = here.Close()
	if err == nil && n == 0 && len(said) > 0 {
		t.Errorf("%q was neither a message nor a mistake", said)
	}
}
