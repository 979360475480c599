package chart_test

import (
	"testing"
)

// TestFieldsFile has the chart know the same fields as the program.
func TestFieldsFile(t *testing.T) {
	same(t, chartDir+"/files/keda-fields.yaml", read(t, "../../jobtemplate/kedafields.yaml"))
}
