package adoqueue

import (
	"net/url"
	"strings"
	"testing"
)

func TestParseOrganizationURL(t *testing.T) {
	for _, tt := range []struct{ text, want, wantErr string }{
		{text: "https://dev.azure.com/contoso", want: "https://dev.azure.com/contoso"},
		{text: " https://dev.azure.com/contoso/ \n", want: "https://dev.azure.com/contoso"},
		{text: "https://DEV.azure.com/Contoso//", want: "https://dev.azure.com/Contoso"},
		{text: "https://contoso.visualstudio.com/", want: "https://contoso.visualstudio.com"},
		{text: "https://tfs.example.com/tfs/DefaultCollection/", want: "https://tfs.example.com/tfs/DefaultCollection"},
		{text: "https://tfs.example.com:8443/My%20Collection", want: "https://tfs.example.com:8443/My%20Collection"},
		{text: "http://127.0.0.1:8081/contoso", want: "http://127.0.0.1:8081/contoso"},
		{text: "https://dev.azure.com", wantErr: "without a project"},
		{text: "https://dev.azure.com/contoso/shop", wantErr: "without a project"},
		{text: "https://dev.azure.com:443/contoso/shop", wantErr: "without a project"},
		{text: "https://dev.azure.com/", wantErr: "without a project"},
		{text: "https://contoso.visualstudio.com/shop", wantErr: "must be https://ORGANIZATION.visualstudio.com, without a project"},
		{text: "https://contoso.visualstudio.com/DefaultCollection/shop", wantErr: "without a project"},
		{text: "https://contoso.visualstudio.com/defaultcollection", want: "https://contoso.visualstudio.com/defaultcollection"},
		{text: "https://user:hunter2@dev.azure.com/contoso", wantErr: "holds a user or password"},
		{text: "https://user:hunter2@[::1/contoso", wantErr: "is not a URL"},
		{text: "dev.azure.com/contoso", wantErr: "does not begin with https://HOST"},
		{text: "ftp://dev.azure.com/contoso", wantErr: "does not begin with https://HOST"},
		{text: "https://dev.azure.com/contoso?token=hunter2", wantErr: "query or fragment"},
		{text: "", wantErr: "does not begin with https://HOST"},
	} {
		got, err := ParseOrganizationURL(tt.text)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: error %v, want %q and no password", tt.text, err, tt.wantErr)
			}
			continue
		}
		if err != nil || got.String() != tt.want {
			t.Errorf("%q: got %v, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestOrganizationURLSame(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"https://dev.azure.com/contoso", "https://dev.azure.com/Contoso/", true},
		{"https://dev.azure.com/contoso", "https://contoso.visualstudio.com", true},
		{"https://dev.azure.com/contoso", "https://contoso.visualstudio.com/DefaultCollection/", true},
		{"https://dev.azure.com/contoso", "http://dev.azure.com/contoso", false},
		{"https://dev.azure.com/contoso", "https://dev.azure.com/contoso2", false},
		{"https://dev.azure.com/contoso", "https://dev.azure.com.evil.example/contoso", false},
		{"https://dev.azure.com/contoso", "https://contoso.visualstudio.com.evil.example", false},
		{"https://tfs.example.com/tfs/A", "https://tfs.example.com/tfs/B", false},
	} {
		if got := parseURL(t, tt.a).Same(parseURL(t, tt.b)); got != tt.want {
			t.Errorf("%s same as %s: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestEndpointKeepsCollection(t *testing.T) {
	got := parseURL(t, "https://tfs.example.com/tfs/My%20Collection/").endpoint(url.Values{"poolName": {"a b&c"}}, "_apis", "pools")
	if want := "https://tfs.example.com/tfs/My%20Collection/_apis/pools?poolName=a+b%26c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func parseURL(t *testing.T, text string) OrganizationURL {
	t.Helper()
	o, err := ParseOrganizationURL(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return o
}
