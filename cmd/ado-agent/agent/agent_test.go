package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEnvironment(t *testing.T) {
	environ := []string{
		"PATH=/bin", "AZP_TOKEN=secret", "azp_token=secret", "Https_Proxy=http://u:p@proxy", "HTTP_PROXY=http://proxy", "VSTS_AGENT_INPUT_TOKEN=secret",
		"vsts_agent_input_url=x", "VSO_AGENT_IGNORE=MINE, mine,HTTP_PROXY", "EMPTY=", "VSTS_AGENT=1", "AZURE_client_ID=id", "NPM_TOKEN=t", "NO_PROXY=a,b",
	}
	got := Visibility{Hidden: []string{"AZP_TOKEN"}, Private: []string{"azure_client_id"}}.Environment(environ)
	want := []string{
		"PATH=/bin", "Https_Proxy=http://u:p@proxy", "HTTP_PROXY=http://proxy", "EMPTY=", "VSTS_AGENT=1", "AZURE_client_ID=id", "NPM_TOKEN=t", "NO_PROXY=a,b",
		"no_proxy=a,b", "VSO_AGENT_IGNORE=Https_Proxy,MINE,mine,HTTP_PROXY,AZURE_client_ID,NPM_TOKEN",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	got = Visibility{ShowSecrets: true}.Environment([]string{"NPM_TOKEN=t", "INDEX=https://u:p@host/", "NO_PROXY=a", "no_proxy=b"})
	if want := []string{"NPM_TOKEN=t", "INDEX=https://u:p@host/", "NO_PROXY=a", "no_proxy=b", "VSO_AGENT_IGNORE=INDEX"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
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
	r.URL = "HTTP://server/collection"
	if got := strings.Join(r.environment(), " "); !strings.HasSuffix(got, " VSS_ALLOW_UNSAFE_BASICAUTH=true") {
		t.Errorf("got %s", got)
	}
	r.Proxy, r.CAFile = Proxy{}, ""
	if got := strings.Join(r.environment(), " "); strings.Contains(got, "PROXY") || strings.Contains(got, "SSLCACERT") {
		t.Errorf("got %s", got)
	}
}

func TestSecretNames(t *testing.T) {
	for _, name := range []string{
		"NPM_TOKEN", "npm_token", "TokenForX", "DB_PASSWORD", "MYSQL_PASSWD", "API_KEY", "APIKEY", "KEYS", "ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"GITHUB_PAT", "SAS", "STORAGE_CONNECTION_STRING", "ConnStr", "GOOGLE_APPLICATION_CREDENTIALS", "SSH_PRIVATE", "NUGET_AUTH", "SESSION_COOKIE",
	} {
		if !secretName.MatchString(name) {
			t.Errorf("%s is shown", name)
		}
	}
	for _, name := range []string{"PATH", "KEYBOARD", "PWDX", "OLDPATH", "AUTHOR", "COMPASS", "JAVA_HOME", "SASS_BINARY", "PATTERN"} {
		if secretName.MatchString(name) {
			t.Errorf("%s is treated as a secret", name)
		}
	}
}

func TestPasswords(t *testing.T) {
	got := Passwords([]string{"http_proxy=http://u:p%40ss@proxy:8080/", "A=x", "B=http://proxy:8080/a@b", "C=https://a:b@c,https://d:e@f"})
	if want := []string{"p%40ss", "b", "e"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestLines(t *testing.T) {
	var out bytes.Buffer
	var seen []string
	l := Redactor{}.lines(&out, func(line []byte) { seen = append(seen, string(line)) })
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
	_, _ = l.Write(bytes.Repeat([]byte("x"), longestLine+1)) // is not kept forever
	if out.Len() != before+longestLine+1 {
		t.Errorf("%d bytes came out", out.Len()-before)
	}
}

func TestRedact(t *testing.T) {
	var out bytes.Buffer
	l := Redactor{"s3cr3t", "", "other"}.lines(&out, nil)
	for _, part := range []string{"token s3c", "r3t, again s3cr3t\n", "another\n", "s3cr3t"} {
		_, _ = l.Write([]byte(part))
	}
	l.flush()
	if out.String() != "token ***, again ***\nan***\n***" {
		t.Errorf("got %q", out.String())
	}
	for text, want := range map[string]string{
		"Authorization: Basic OnZlcnktbG9uZy1zZWNyZXQtdG9rZW4=":              "Authorization: Basic ***",
		"authorization: bearer abcdefghijklmnopqrstuvwxyz.x":                 "authorization: bearer ***",
		"Basic authentication requires a secure connection":                  "Basic authentication requires a secure connection",
		"a eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl b":              "a *** b",
		"via http://user:p%40ss@proxy:8080 to https://x/y?sv=1&sig=abc%3D z": "via http://user:***@proxy:8080 to https://x/y?sv=1&sig=*** z",
	} {
		if got := string((Redactor{}).Redact([]byte(text))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The newest log is printed to its end, bounded, without secrets and without
// what a terminal obeys; what a job put in its place is not.
func TestDiagnostics(t *testing.T) {
	var out bytes.Buffer
	a := Agent{Folder: t.TempDir(), Err: &out, Secrets: Redactor{"s3cr3t"}}
	a.PrintDiagnostics() // there is none yet
	if out.Len() > 0 {
		t.Errorf("got %q", out.String())
	}
	folder := filepath.Join(a.Folder, "_diag")
	check(t, os.Mkdir(folder, 0o700))
	old := time.Now().Add(-time.Hour)
	check(t, os.WriteFile(filepath.Join(folder, "Agent_1.log"), []byte("SocketException\n"), 0o600))
	check(t, os.Chtimes(filepath.Join(folder, "Agent_1.log"), old, old))
	check(t, os.WriteFile(filepath.Join(folder, "Worker_1.log"), []byte(strings.Repeat("line\n", 100_000)+"the \x1b[31mcause s3cr3t"), 0o600))
	check(t, os.Symlink("/etc/passwd", filepath.Join(folder, "z.log")))
	a.PrintDiagnostics()
	got := out.String()
	if !strings.Contains(got, "Worker_1.log:\n") || !strings.HasSuffix(got, "the ?[31mcause ***\n---\n") || out.Len() > tailBytes || strings.Count(got, "line\n") >= tailLines {
		t.Errorf("got %d bytes: %q", out.Len(), got)
	}
	if a.networkFailed(time.Time{}) {
		t.Error("the newest log contains no network failure")
	}
	check(t, os.Remove(filepath.Join(folder, "Worker_1.log")))
	if !a.networkFailed(old.Add(-time.Minute)) || a.networkFailed(old.Add(time.Minute)) {
		t.Error("the older log contains a network failure at its time only")
	}
}

func TestTrust(t *testing.T) {
	a := Agent{Folder: filepath.Join(t.TempDir(), "agent")}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	system := filepath.Join(t.TempDir(), "system.pem")
	check(t, os.WriteFile(ca, []byte("extra\n"), 0o600))
	check(t, os.WriteFile(system, []byte("system"), 0o600))
	bundle, variables, err := a.Trust(ca, []string{"SSL_CERT_FILE=" + system, "NODE_EXTRA_CA_CERTS=/mine"})
	check(t, err)
	content, err := os.ReadFile(bundle)
	check(t, err)
	if string(content) != "system\nextra\n" {
		t.Errorf("got %q", content)
	}
	if want := []string{"GIT_SSL_CAINFO=" + bundle, "SSL_CERT_FILE=" + bundle}; !slices.Equal(variables, want) {
		t.Errorf("got %q", variables)
	}
	if _, variables, err = a.Trust(ca, nil); err != nil || !slices.Contains(variables, "NODE_EXTRA_CA_CERTS="+ca) {
		t.Errorf("got %q, %v", variables, err)
	}
	if _, _, err := a.Trust("/nowhere", nil); err == nil {
		t.Error("no CA file is no mistake")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
