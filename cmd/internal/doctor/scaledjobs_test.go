package doctor

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestConditions has what KEDA says of a ScaledJob be a fault only if it says so.
func TestConditions(t *testing.T) {
	ready := func(status, reason string) []any {
		condition := map[string]any{"type": "Ready", "status": status}
		if reason != "" {
			condition["reason"], condition["message"] = reason, "of KEDA"
		}
		return []any{map[string]any{"type": "Active", "status": "False"}, condition}
	}
	for name, test := range map[string]struct {
		conditions []any
		paused     string
		status     Status // of the only finding, "" for none
		detail     string
	}{
		"none yet":          {status: Fault, detail: "KEDA has not reconciled it"},
		"ready":             {conditions: ready("True", "ScaledJobReady")},
		"failed":            {conditions: ready("False", "TriggerError"), status: Fault, detail: "Ready is False: of KEDA (TriggerError)"},
		"failed and paused": {conditions: ready("False", "TriggerError"), paused: "true"},
		"resumed":           {conditions: ready("False", "TriggerError"), paused: "0", status: Fault, detail: "Ready is False"},
		"taken back":        {conditions: ready("Unknown", "")},
		"over, or not":      {conditions: ready("Unknown", "PartialTriggerError"), status: Unknown, detail: "Ready is Unknown: of KEDA"},
	} {
		t.Run(name, func(t *testing.T) {
			object := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": test.conditions}}}
			if test.paused != "" {
				object.SetAnnotations(map[string]string{"autoscaling.keda.sh/paused": test.paused})
			}
			d := &doctor{}
			d.conditions(&ownTrigger{name: "build", object: object})
			switch found := d.report.Findings; {
			case test.status == "" && len(found) > 0, test.status != "" && len(found) != 1:
				t.Errorf("found %+v", found)
			case test.status != "" && (found[0].Status != test.status || !strings.Contains(found[0].Detail, test.detail)):
				t.Errorf("found %+v, want %s: %s", found, test.status, test.detail)
			}
		})
	}
}
