//go:build linux

package main

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// gateway is what a stand-in is reached through, and which may be closed.
type gateway struct {
	t       *testing.T
	address string
	server  *http.Server
	handler http.Handler
}

// newGateway opens one. It calls passed after each request, at which it may be
// closed.
func newGateway(t *testing.T, ado *adotest.Server, passed func(*http.Request)) *gateway {
	t.Helper()
	target, err := url.Parse(ado.URL())
	check(t, err)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	g := &gateway{t: t, address: "127.0.0.1:0", handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		forward.ServeHTTP(w, r)
		passed(r)
	})}
	g.open()
	t.Cleanup(g.close)
	return g
}

func (g *gateway) open() {
	g.t.Helper()
	listener, err := net.Listen("tcp", g.address)
	check(g.t, err)
	g.address = listener.Addr().String()
	g.server = &http.Server{Handler: g.handler}
	go g.server.Serve(listener)
}

// close refuses connections; requests that were accepted go on.
func (g *gateway) close() {
	go g.server.Shutdown(g.t.Context())
}

// A network that fails when the agent opens its session is waited for.
func TestReturnCode2(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	var g *gateway
	closed := make(chan struct{}, 1)
	g = newGateway(t, ado, func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/usercapabilities") { // what comes before the agent is started
			g.close()
			closed <- struct{}{}
		}
	})
	id := queue(t, ado, adotest.Job{})
	p := launch(t, ado, "AZP_URL=http://"+g.address+"/contoso", "AZP_CAPABILITIES=docker")
	<-closed
	eventually(t, "it says that it tries again", func() bool { return strings.Contains(p.output(), "it is started again in 5s") })
	g.open()
	p.exits(0)
	wantResult(t, ado, id, "succeeded")
	wantNoAgents(t, ado)
}

// A configuration that fails for lack of the network is tried again, for as long
// as AZP_START_TIMEOUT says; one that fails for other reasons is not.
func TestConfigIsTriedAgain(t *testing.T) {
	t.Run("until it works", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Times: 3, Reset: true})
		id := queue(t, ado, adotest.Job{})
		launch(t, ado).exits(0, "Configuration failed and is retried")
		wantResult(t, ado, id, "succeeded")
	})
	t.Run("until the time is over", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Reset: true})
		// Long enough for one attempt on a machine that is busy.
		launch(t, ado, "AZP_START_TIMEOUT=25s").exits(exitConfiguration, "it could not reach Azure DevOps", "longer than AZP_START_TIMEOUT")
		wantNoAgents(t, ado)
	})
	t.Run("but not if it was refused", func(t *testing.T) {
		ado := azureDevOps(t, adotest.Options{})
		ado.Inject(adotest.Fault{Operation: adotest.OpConnectionData, Status: 400})
		launch(t, ado).exits(exitConfiguration, "because of status 400")
		if n := ado.Count(adotest.OpConnectionData, 0); n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// An update may take longer than the scripts around the agent wait for it, and
// the job that it was for is run by the new version.
func TestUpdate(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado, "ADOTEST_MOVE_SECONDS=2", "ADOTEST_UPDATE_PATIENCE=1")
	eventually(t, "the agent listens", listens(ado))
	check(t, ado.UpdateAgent("linux", podName, "4.256.0"))
	id := queue(t, ado, adotest.Job{})
	p.exits(0)
	wantResult(t, ado, id, "succeeded")
	wantNoAgents(t, ado)
	version, err := os.ReadFile(filepath.Join(p.dir, "agent", "bin", "version"))
	if err != nil || string(version) != "4.256.0\n" {
		t.Errorf("version %q, %v", version, err)
	}
}

// SIGTERM in the middle of an update ends it.
func TestSIGTERMDuringUpdate(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado, "ADOTEST_MOVE_SECONDS=100")
	eventually(t, "the agent listens", listens(ado))
	check(t, ado.UpdateAgent("linux", podName, "4.256.0"))
	eventually(t, "the old one is moved", func() bool {
		_, err := os.Stat(filepath.Join(p.dir, "agent", "bin"))
		return os.IsNotExist(err)
	})
	p.signal(syscall.SIGTERM)
	p.exits(0, "had no job")
	wantNoAgents(t, ado)
}

// An agent that cannot be updated fails; it does not go on forever.
func TestUpdateFails(t *testing.T) {
	ado := azureDevOps(t, adotest.Options{})
	p := launch(t, ado, "AZP_START_TIMEOUT=12s", "ADOTEST_MOVE_SECONDS=100") // a busy machine needs half of it to start
	eventually(t, "the agent listens", listens(ado))
	check(t, ado.UpdateAgent("linux", podName, "4.256.0"))
	begin := time.Now()
	p.exits(exitAgent, "update takes longer than 12s", "exit code 4")
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	wantNoAgents(t, ado)
}
