package chart_test

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// image is one that Artifact Hub lists.
type image struct {
	Name, Image string
	Platforms   []string
}

// hubPackage is what we say of the scaler to Artifact Hub.
type hubPackage struct {
	Version, Name, DisplayName, CreatedAt, Description, License, HomeURL, AppVersion, Install string
	ContainersImages                                                                          []image
	Keywords                                                                                  []string
	Links                                                                                     []struct{ Name, URL string }
	Changes                                                                                   []struct{ Kind, Description string }
	Recommendations                                                                           []struct{ URL string }
	Provider                                                                                  struct{ Name string }
}

// TestArtifactHub has both packages say the same, and what Artifact Hub requires.
func TestArtifactHub(t *testing.T) {
	var scaler hubPackage
	if err := yaml.UnmarshalStrict([]byte(read(t, "../../deploy/artifacthub/ado-agent-orchestrator/artifacthub-pkg.yml")), &scaler); err != nil {
		t.Fatal(err)
	}
	chart := load(t).Metadata
	if scaler.Version != chart.Version || scaler.AppVersion != chart.AppVersion || scaler.HomeURL != chart.Home {
		t.Errorf("the scaler is %s (%s), the chart %s (%s)", scaler.Version, scaler.AppVersion, chart.Version, chart.AppVersion)
	}
	for field, value := range map[string]string{
		"name": scaler.Name, "displayName": scaler.DisplayName, "createdAt": scaler.CreatedAt, "description": scaler.Description, "license": scaler.License,
	} {
		if value == "" {
			t.Errorf("%s is missing", field)
		}
	}
	if !strings.Contains(scaler.Install, "helm install") || len(scaler.Changes) == 0 {
		t.Error("there are no instructions, or no changes")
	}
	var images []image
	if err := yaml.UnmarshalStrict([]byte(chart.Annotations["artifacthub.io/images"]), &images); err != nil {
		t.Fatal(err)
	}
	rendered, err := files(t, parse(t, basis+"agentPools: [{pool: linux}]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]image{images, scaler.ContainersImages} {
		if len(list) != 2 {
			t.Errorf("images %v", list)
		}
		for _, i := range list {
			if !strings.Contains(manifests(rendered), "image: "+i.Image+"\n") {
				t.Errorf("the chart does not run %s", i.Image)
			}
		}
	}
	for _, annotation := range []string{"changes", "links", "recommendations"} {
		var list []map[string]string
		if err := yaml.UnmarshalStrict([]byte(chart.Annotations["artifacthub.io/"+annotation]), &list); err != nil || len(list) == 0 {
			t.Errorf("annotation %s: %v (error %v)", annotation, list, err)
		}
	}
	if prerelease := chart.Annotations["artifacthub.io/prerelease"]; prerelease != "false" {
		t.Errorf("prerelease is %q", prerelease)
	}
}
