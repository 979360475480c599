// Package standin starts the stand-in of Azure DevOps for people to try things
// with: adosim alone, the demo beside a scaler.
package standin

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// Token is the personal access token of the simulated organization.
const Token = "demo-token"

// Start serves a simulated organization with pools on an address, or on a free
// port if that one is taken.
func Start(addr string, pools []string) (*adotest.Server, error) {
	options := adotest.Options{PAT: Token, AutoAssign: true, ReceiveDelay: time.Second}
	server, err := adotest.Listen(addr, options)
	if errors.Is(err, syscall.EADDRINUSE) {
		server, err = adotest.Listen(AnyPort(addr), options)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range pools {
		server.AddPool(adotest.Pool{Name: name})
		// Azure DevOps fails a job at once if no registered agent could run it.
		if _, err := server.AddAgent(name, adotest.Agent{Name: name + "-placeholder", Offline: true}); err != nil {
			return nil, errors.Join(err, server.Close())
		}
	}
	return server, nil
}

// AnyPort returns the address with a free port.
func AnyPort(addr string) string {
	host, _, _ := net.SplitHostPort(addr) // whoever asks has listened on it
	return net.JoinHostPort(host, "0")
}
