package doctor

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// TestRights has an API server that allows all but some resources.
func TestRights(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authorizationv1.SelfSubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		asked := review.Spec.ResourceAttributes
		review.Status.Allowed = asked.Resource != "pods" && asked.Resource != "secrets" && asked.Resource != "leases" || asked.Name == "own"
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&review)
	}))
	defer server.Close()
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		resource, name, without string
		want                    Status
		text                    string
	}{
		{"leases", "own", "", OK, "have all they need"},
		{"leases", "other", "", Fault, "cannot list leases other in namespace ado, which tests requires"},
		{"jobs", "", "", OK, "have all they need"},
		{"secrets", "", "", Fault, "cannot list secrets in namespace ado, which tests requires"},
		{"pods", "", "there is less", OK, "cannot list pods in namespace ado (for tests), so there is less"},
	} {
		d := &doctor{kube: kube, Options: Options{Rights: []Right{
			{Verb: "list", Resource: tt.resource, Name: tt.name, Namespace: "ado", For: "tests", Without: tt.without},
		}}}
		d.rights(t.Context())
		found := d.report.Findings
		if len(found) == 0 || found[0].Status != tt.want || !strings.Contains(found[0].Detail, tt.text) || (d.report.Faults > 0) != (tt.want == Fault) {
			t.Errorf("%s: %+v, want %s %q", tt.resource, found, tt.want, tt.text)
		}
	}
}
