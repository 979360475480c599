package agent

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	environ := []string{
		"PATH=/bin", "AZP_TOKEN=secret", "azp_token=secret", "HTTPS_PROXY=http://u:p@proxy", "VSTS_AGENT_INPUT_TOKEN=secret",
		"vsts_agent_input_url=x", "VSO_AGENT_IGNORE=MINE, HTTPS_PROXY", "EMPTY=", "AZP_TOKENS=kept", "VSTS_AGENT=1",
	}
	got := Environment(environ, []string{"AZP_TOKEN"}, []string{"https_proxy", "MINE"})
	want := []string{
		"PATH=/bin", "HTTPS_PROXY=http://u:p@proxy", "EMPTY=", "AZP_TOKENS=kept", "VSTS_AGENT=1",
		"VSO_AGENT_IGNORE=AZP_TOKEN,https_proxy,MINE",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := Inputs(environ); !slices.Equal(got, []string{"VSTS_AGENT_INPUT_TOKEN=secret", "vsts_agent_input_url=x"}) {
		t.Errorf("inputs: %q", got)
	}
}

func TestRegistrationAsEnvironment(t *testing.T) {
	r := Registration{URL: "https://dev.azure.com/contoso", Pool: `a "b" & c`, Name: "pod", Work: "_work", Token: "t", Proxy: Proxy{URL: "http://proxy", User: "u", Password: "p"}, CAFile: "/ca.pem"}
	want := `URL=https://dev.azure.com/contoso AUTH=PAT TOKEN=t POOL=a "b" & c AGENT=pod WORK=_work PROXYURL=http://proxy PROXYUSERNAME=u PROXYPASSWORD=p SSLCACERT=/ca.pem`
	if got := strings.ReplaceAll(strings.Join(r.environment(), " "), inputPrefix, ""); got != want {
		t.Errorf("got %s", got)
	}
	r.Proxy, r.CAFile = Proxy{}, ""
	if got := strings.Join(r.environment(), " "); strings.Contains(got, "PROXY") || strings.Contains(got, "SSLCACERT") {
		t.Errorf("got %s", got)
	}
}

func TestLines(t *testing.T) {
	var out bytes.Buffer
	var seen []string
	l := watch(&out, func(line []byte) { seen = append(seen, string(line)) })
	for _, part := range []string{"2026-01-05 08:00:00Z: Run", "ning job: a\nsecond\nthi", "rd"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if want := []string{"2026-01-05 08:00:00Z: Running job: a\n", "second\n"}; !slices.Equal(seen, want) {
		t.Errorf("got %q", seen)
	}
	l.flush()
	if out.String() != "2026-01-05 08:00:00Z: Running job: a\nsecond\nthird" {
		t.Errorf("got %q", out.String())
	}
	before := out.Len()
	_, _ = l.Write(bytes.Repeat([]byte("x"), longestLine+1)) // is not kept for ever
	if out.Len() != before+longestLine+1 {
		t.Errorf("%d bytes came out", out.Len()-before)
	}
}

func TestRedact(t *testing.T) {
	var out bytes.Buffer
	l := redact(&out, []string{"s3cr3t", "", "other"})
	for _, part := range []string{"token s3c", "r3t, again s3cr3t\n", "another\n", "s3cr3t"} {
		_, _ = l.Write([]byte(part))
	}
	l.flush()
	if out.String() != "token ***, again ***\nan***\n***" {
		t.Errorf("got %q", out.String())
	}
}
