package apply_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// folders are those of a version's CRDs, by what they are.
func folders(t *testing.T, version string) map[string]string {
	t.Helper()
	crds, err := components.KEDACRDs(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"released": crds.Released, "generated": crds.Generated}
}

// schemaOf reads the schema of ScaledJobs in a folder of CRDs.
func schemaOf(t *testing.T, folder string) (crd []byte, schema map[string]any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, "keda.sh_scaledjobs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := yaml.Unmarshal(content, &object); err != nil {
		t.Fatal(err)
	}
	versions, _, err := unstructured.NestedSlice(object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	schema, _, err = unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
	if err != nil {
		t.Fatal(err)
	}
	return content, schema
}

// names lists the fields below a schema, in the form that Fields take.
func names(schema map[string]any, above []string) (list [][]string) {
	if items, ok := schema["items"].(map[string]any); ok {
		return names(items, above)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		field := append(slices.Clone(above), name)
		list = append(list, field)
		list = append(list, names(property.(map[string]any), field)...)
	}
	return list
}

// TestFieldsOfVersions compares the fields that we know of each version with its
// CRD, field by field.
func TestFieldsOfVersions(t *testing.T) {
	_, newest := schemaOf(t, folders(t, components.LatestKEDA)["generated"])
	spec, _, err := unstructured.NestedMap(newest, "properties", "spec", "properties", "jobTargetRef")
	if err != nil {
		t.Fatal(err)
	}
	all := names(spec, []string{"jobTargetRef"})
	if len(all) < 1000 {
		t.Fatalf("a ScaledJob has only %d fields", len(all))
	}
	for _, version := range components.KEDAVersions() {
		known, err := jobtemplate.FieldsOf(version)
		if err != nil {
			t.Fatal(err)
		}
		for kind, folder := range folders(t, version) {
			content, schema := schemaOf(t, folder)
			has := jobtemplate.FieldsIn(schema)
			read, err := jobtemplate.FieldsOfCRD(content)
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range all {
				// Releases have more than what every CRD has.
				if known(field) && !has(field) || kind == "generated" && known(field) != has(field) {
					t.Errorf("KEDA %s, %s: %v is there: %v, known: %v", version, kind, field, has(field), known(field))
				}
				if read(field) != has(field) {
					t.Errorf("KEDA %s, %s: %v is read otherwise", version, kind, field)
				}
			}
		}
	}
}

// TestVersions applies ScaledJobs, and tries what render prints, with the CRDs of
// every version.
func TestVersions(t *testing.T) {
	plane := controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true})
	for _, version := range components.KEDAVersions() {
		for kind, folder := range folders(t, version) {
			t.Run(version+" "+kind, func(t *testing.T) {
				if err := plane.ReplaceCRDs(t.Context(), folder); err != nil {
					t.Fatal(err)
				}
				namespace := "keda-" + strings.ReplaceAll(version, ".", "-") + "-" + kind
				s := newEnv(t, plane.Config(), namespace)
				_, schema := schemaOf(t, folder)
				s.appliesAll(schema)
				s.takesRendered(version)
			})
		}
	}
}

// appliesAll applies ScaledJobs with many fields, and wants the cluster to have
// each of those that its schema has, and the others to be reported.
func (s *env) appliesAll(schema map[string]any) {
	s.t.Helper()
	core, logs := observer.New(zapcore.WarnLevel)
	options := s.options("linux")
	options.ScaledJobs = append(options.ScaledJobs, s.scaledJob(s.rich()))
	options.Logger = zap.New(core)
	s.mustApply(options)
	reported := sets.New[string]()
	for _, entry := range logs.All() {
		for _, omission := range entry.ContextMap()["omitted"].([]any) {
			field, _, _ := strings.Cut(omission.(string), ":")
			reported.Insert(fmt.Sprintf("%s: %s", entry.ContextMap()["scaledJob"], field))
		}
	}
	omitted := sets.New[string]()
	for _, scaledJob := range options.ScaledJobs {
		want, err := jobtemplate.Manifest(scaledJob)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, omission := range jobtemplate.Fit(want, jobtemplate.FieldsIn(schema)) {
			omitted.Insert(fmt.Sprintf("%s: %s", scaledJob.Name, omission.Field))
		}
		contains(s.t, "spec", want.Object["spec"], s.get(scaledJob.Name).Object["spec"])
	}
	if !maps.Equal(reported, omitted) {
		s.t.Errorf("omitted %v, reported %v", sets.List(omitted), sets.List(reported))
	}
}

// contains wants an object to have all that is wanted.
func contains(t *testing.T, path string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		for name, value := range want {
			below, _ := got.(map[string]any)
			contains(t, path+"."+name, value, below[name])
		}
	case []any:
		items, _ := got.([]any)
		for i, value := range want {
			var item any
			if i < len(items) {
				item = items[i]
			}
			contains(t, fmt.Sprintf("%s[%d]", path, i), value, item)
		}
	default:
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

// takesRendered tries what render prints for a version.
func (s *env) takesRendered(version string) {
	s.t.Helper()
	fields, err := jobtemplate.FieldsOf(version)
	if err != nil {
		s.t.Fatal(err)
	}
	strictly := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	for _, settings := range []jobtemplate.Settings{s.settings("rendered"), s.rich()} {
		settings.Pool += "-rendered"
		manifest, err := jobtemplate.Manifest(s.scaledJob(settings))
		if err != nil {
			s.t.Fatal(err)
		}
		omitted := jobtemplate.Fit(manifest, fields)
		if _, err := s.scaledJobs().Create(s.t.Context(), manifest, strictly); err != nil {
			s.t.Errorf("pool %s: %v", settings.Pool, err)
		}
		if !jobtemplate.Unprotected(omitted) {
			continue
		}
		budgets := s.kube.PolicyV1().PodDisruptionBudgets(s.namespace)
		budget := jobtemplate.DisruptionBudget("agents", s.namespace, manifest.GetName())
		if _, err := budgets.Create(s.t.Context(), budget, strictly); err != nil {
			s.t.Error(err)
		}
	}
}

// rich has fields of all versions.
func (s *env) rich() jobtemplate.Settings {
	s.t.Helper()
	definition, err := jobtemplate.ReadDefinition("rich", []byte(`
apiVersion: batch/v1
kind: Job
metadata: {name: rich-}
spec:
  template:
    metadata:
      labels: {azure.workload.identity/use: "true"}
      annotations: {example.com/a: b}
    spec:
      resources: {limits: {cpu: "1"}}
      securityContext: {appArmorProfile: {type: RuntimeDefault}, supplementalGroupsPolicy: Strict, seLinuxChangePolicy: Recursive}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 1
            podAffinityTerm: {topologyKey: zone, labelSelector: {}, matchLabelKeys: [a]}
      initContainers:
      - name: docker
        image: docker:dind
        restartPolicy: Always
        securityContext: {appArmorProfile: {type: Unconfined}}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
        ports: [{containerPort: 2375}]
      containers:
      - name: agent
        env:
        - {name: FROM_FILE, valueFrom: {fileKeyRef: {volumeName: tools, path: a.env, key: A}}}
        volumeMounts:
        - {name: tools, mountPath: /tools, readOnly: true, recursiveReadOnly: IfPossible}
      volumes:
      - {name: tools, image: {reference: tools:1}}
      - {name: cache, ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}
`))
	if err != nil {
		s.t.Fatal(err)
	}
	settings := s.settings("rich")
	settings.Definition = definition
	return settings
}
