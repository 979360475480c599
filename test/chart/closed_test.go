package chart_test

import (
	"strings"
	"testing"
)

// TestClosedByDefault checks who can call the scaler, and that it is said.
func TestClosedByDefault(t *testing.T) {
	const only, open = "Only KEDA in these namespaces can call the scaler", "The scaler is open"
	for _, test := range []struct {
		name, values  string
		policies      int
		said, notSaid string
	}{
		{"default", "", 1, only, open},
		{"open", "networkPolicy: {enabled: false}", 0, open, only},
		{"mutual TLS instead", "networkPolicy: {enabled: false}\ntls: {mode: generate}", 0, "", open},
		{"TLS of one side", "networkPolicy: {enabled: false}\ntls: {mode: generate, mutual: false}", 0, open, only},
	} {
		t.Run(test.name, func(t *testing.T) {
			rendered, err := files(t, parse(t, basis+test.values))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(ofKind(objects(t, manifests(rendered)), "NetworkPolicy")); n != test.policies {
				t.Errorf("%d NetworkPolicies, want %d", n, test.policies)
			}
			if text := rendered[notes]; !strings.Contains(text, test.said) || strings.Contains(text, test.notSaid) {
				t.Errorf("the notes are to say %q and not %q:\n%s", test.said, test.notSaid, text)
			}
		})
	}
}
