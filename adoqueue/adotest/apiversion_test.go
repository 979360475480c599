package adotest

import (
	"strings"
	"testing"
)

func TestAPIVersion(t *testing.T) {
	const (
		outOfRange = "VssVersionOutOfRangeException"
		preview    = "VssInvalidPreviewVersionException"
		missing    = "VssVersionNotSpecifiedException"
	)
	pools, usage, connection := tasks+"pools", tasks+"resourceusage", "/_apis/connectionData"
	tests := []struct {
		flavour Flavour
		path    string
		query   string
		accept  string
		echo    string
		typeKey string
		text    string
	}{
		{Services, pools, "", "", "7.1", "", ""},
		{Services, pools, "7.1", "", "7.1", "", ""},
		{Services, pools, "5.0-preview.1", "", "5.0-preview.1", "", ""},
		{Services, pools, "", "application/json;api-version=6.0", "6.0", "", ""},
		{Services, pools, "", "application/json; api-version=7.0; excludeUrls=true", "7.0", "", ""},
		{Services, pools, "7.2-preview.1", "", "7.2-preview.1", "", ""},
		{Services, pools, "7.2", "", "", preview, `"7.2-preview"`},
		{Services, pools, "8.0", "", "", outOfRange, "is 7.2."},
		{Services, pools, "nonsense", "", "", outOfRange, `"nonsense"`},
		{Server2022Update1, pools, "7.1", "", "7.1", "", ""},
		{Server2022Update1, pools, "8.0", "", "", outOfRange, "is 7.1."},
		{Server2022, pools, "7.1", "", "", outOfRange, "is 7.0."},
		{Server2020, pools, "7.0", "", "", outOfRange, "is 6.0."},
		{Server2019, pools, "", "application/json;api-version=5.1", "", outOfRange, "is 5.0."},
		{Server2019, pools, "", "", "5.0", "", ""},
		{Services, usage, "7.1", "", "", preview, "under preview"},
		{Services, usage, "", "", "", missing, "No api-version"},
		{Services, usage, "7.2-preview.2", "", "7.2-preview.2", "", ""},
		{Services, connection, "7.1", "", "", preview, "under preview"},
		{Services, connection, "7.1-preview", "", "7.1-preview", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+tt.query+tt.accept, func(t *testing.T) {
			ado := New(Options{Flavour: tt.flavour})
			path := tt.path
			if tt.query != "" {
				path += "?api-version=" + tt.query
			}
			r := send(t, ado, exchange{path: path, header: map[string]string{"Accept": tt.accept}})
			if tt.typeKey != "" {
				r.wantError(t, 400, tt.typeKey, tt.text)
				return
			}
			want := "application/json; charset=utf-8; api-version=" + tt.echo
			if got := r.header.Get("Content-Type"); r.status != 200 || got != want {
				t.Errorf("got %d %q, want %q: %s", r.status, got, want, r.body)
			}
		})
	}
}

func TestAPIVersionIsNeededForWrites(t *testing.T) {
	ado := New(Options{})
	ado.AddPool(Pool{Name: "linux"})
	r := send(t, ado, exchange{method: "DELETE", path: tasks + "pools/1/agents/1"})
	r.wantError(t, 400, "VssVersionNotSpecifiedException", `"DELETE"`)
}

func TestServerHasNoResourceUsage(t *testing.T) {
	ado := New(Options{Flavour: Server2022})
	r := get(t, ado, tasks+"resourceusage?api-version=7.0-preview.1")
	if r.status != 404 || !strings.HasPrefix(r.body, "The controller for path") {
		t.Errorf("got %d %s", r.status, r.body)
	}
}
