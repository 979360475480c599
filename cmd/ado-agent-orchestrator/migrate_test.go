package main

import (
	"strings"
	"testing"
)

func TestMigrate(t *testing.T) {
	const dir = "../../jobtemplate/migrate/testdata/"
	got, log, exit := output(t, nil, "migrate", "--scaler-address", "scaler:9090", dir+"deployment.yaml", dir+"scaledjob.yaml")
	if exit != 0 || strings.Count(got, "scalerAddress: scaler:9090") != 2 || strings.Contains(got, "kind: Deployment") {
		t.Errorf("exit %d: %s", exit, got)
	}
	for _, want := range []string{
		"ScaledObject agents/azdo-agents\n  changed  kind: ScaledJob", "  decide   the scaler's credential: Secret pipelines-pat, key pat",
		"TriggerAuthentication agents/pipelines-auth\n  changed  left out",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the report lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "s3cr3t") {
		t.Errorf("the report has a secret:\n%s", log)
	}
	_, log, exit = output(t, nil, "migrate", "testdata/settings.yaml")
	if exit != 1 || !strings.Contains(log, "no ScaledJob or ScaledObject has a trigger of type azure-pipelines") {
		t.Errorf("exit %d: %s", exit, log)
	}
}
