package main

import (
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// TestOrganizationsAreChecked wants one line about each organization at the start,
// and a program that is ready whatever they answer.
func TestOrganizationsAreChecked(t *testing.T) {
	ado := adotest.Serve(t, adotest.Options{})
	ado.AddPool(adotest.Pool{Name: "linux"})
	for name, tt := range map[string]struct{ url, pat, want string }{
		"good":        {ado.URL(), "adotest-pat", `"the organization can be read","organization":"` + ado.URL() + `","pools":1}`},
		"wrong token": {ado.URL(), "wrong", "check that the token is valid"},
		"no such one": {strings.TrimSuffix(ado.URL(), "/") + "-none", "adotest-pat", "check the organization URL"},
		"unreachable": {"http://127.0.0.1:1/contoso", "adotest-pat", "check the organization URL, the network and the proxy settings"},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, "ORG_URL="+tt.url, "ORG_PAT="+tt.pat)
			await(t, "the organization was checked", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return strings.Contains(p.log.String(), tt.want)
			})
			if _, log := p.stop(t); strings.Count(log, `"organization":`) != 1 {
				t.Errorf("not one line: %s", log)
			}
		})
	}
}
