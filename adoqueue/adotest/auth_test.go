package adotest

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

func basic(token string) map[string]string {
	return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("anyone:"+token))}
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

func suppress(header map[string]string) map[string]string {
	if header == nil {
		header = map[string]string{}
	}
	header["X-TFS-FedAuthRedirect"] = "Suppress"
	return header
}

func TestAuthentication(t *testing.T) {
	ado := Serve(t, Options{})
	ado.AllowPAT("reader", ScopeRead)
	ado.AllowPAT("stranger", ScopeNone)
	ado.AllowBearer("entra", ScopeRead)
	ado.AllowPAT("old", ScopeManage)
	ado.ExpirePAT("old")
	ado.AllowPAT("gone", ScopeManage)
	ado.RevokePAT("gone")
	ado.AddPool(Pool{Name: "linux"})

	tests := []struct {
		name        string
		method      string
		header      map[string]string
		status      int
		contentType string
		body        string
		serviceErr  bool
	}{
		{"right", "", basic("adotest-pat"), 200, "application/json", `"linux"`, false},
		{"read scope", "", basic("reader"), 200, "application/json", `"linux"`, false},
		{"bearer", "", bearer("entra"), 200, "application/json", `"linux"`, false},
		{"bearer in place of a PAT", "", basic("entra"), 200, "application/json", `"linux"`, false},
		{"PAT as bearer", "", bearer("reader"), 203, "text/html", "Sign in", false},
		{"missing", "", nil, 203, "text/html", "Sign in", false},
		{"missing, suppressed", "", suppress(nil), 401, "", "", false},
		{"wrong", "", basic("wrong"), 203, "text/html", "Sign in", false},
		{"wrong, suppressed", "", suppress(basic("wrong")), 401, "", "", false},
		{"revoked, suppressed", "", suppress(basic("gone")), 401, "", "", false},
		{"expired", "", basic("old"), 203, "text/html", "Sign in", true},
		{"expired, suppressed", "", suppress(basic("old")), 401, "", "", true},
		{"no scope", "", basic("stranger"), 401, "application/json", "TF400813", false},
		{"missing on a write", "POST", nil, 401, "application/json", "TF400813", false},
		{"read scope on a write", "POST", basic("reader"), 403, "application/json", "AccessDeniedException", false},
		{"not base64", "", map[string]string{"Authorization": "Basic %%%"}, 203, "text/html", "Sign in", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tasks + "pools"
			if tt.method == http.MethodPost {
				path += "/1/agents?api-version=7.1"
			}
			r := send(t, ado, exchange{method: tt.method, path: path, header: tt.header, noAuth: true})
			if r.status != tt.status || !strings.HasPrefix(r.header.Get("Content-Type"), tt.contentType) || !strings.Contains(r.body, tt.body) {
				t.Errorf("got %d %s %s", r.status, r.header.Get("Content-Type"), r.body)
			}
			if tt.contentType == "" && r.body != "" {
				t.Errorf("body %q", r.body)
			}
			if got := strings.Contains(r.header.Get("X-TFS-ServiceError"), "expired"); got != tt.serviceErr {
				t.Errorf("X-TFS-ServiceError %q", r.header.Get("X-TFS-ServiceError"))
			}
			if r.status == 401 && tt.contentType == "" && !strings.Contains(strings.Join(r.header.Values("WWW-Authenticate"), " "), "Basic realm=") {
				t.Errorf("WWW-Authenticate %q", r.header.Values("WWW-Authenticate"))
			}
		})
	}
}

func TestSignInRedirect(t *testing.T) {
	ado := Serve(t, Options{SignIn: SignInRedirect})
	r := send(t, ado, exchange{path: tasks + "pools", noAuth: true})
	if r.status != http.StatusFound || !strings.Contains(r.header.Get("Location"), "/_signin?") {
		t.Fatalf("got %d %s", r.status, r.header.Get("Location"))
	}
	page := send(t, ado, exchange{path: r.header.Get("Location"), noAuth: true})
	if page.status != http.StatusOK || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
		t.Errorf("got %d %s", page.status, page.header.Get("Content-Type"))
	}
}
