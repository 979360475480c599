package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/ado-agent/agent"
)

// proxyFor returns the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for an
// address, in the form that the agent's config takes.
func proxyFor(address string) (agent.Proxy, error) {
	to, err := url.Parse(address)
	if err != nil {
		return agent.Proxy{}, err
	}
	through, err := http.ProxyFromEnvironment(&http.Request{URL: to})
	if err != nil {
		return agent.Proxy{}, fmt.Errorf("the proxy of the environment: %w", err)
	}
	if through == nil {
		return agent.Proxy{}, nil
	}
	p := agent.Proxy{User: through.User.Username()}
	p.Password, _ = through.User.Password()
	bare := *through
	bare.User = nil
	p.URL = bare.String()
	return p, nil
}
