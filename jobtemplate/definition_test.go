package jobtemplate

import (
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

func TestReadDefinitionRefuses(t *testing.T) {
	const head = "apiVersion: batch/v1\nkind: Job\n"
	for _, test := range []struct{ name, content, want string }{
		{"empty", "", "job.yaml: is empty; it must hold a Job of batch/v1"},
		{"comments", "# nothing\n", "job.yaml: is empty; it must hold a Job of batch/v1"},
		{"no YAML", head + "spec: [\n", "job.yaml: yaml: line 3: did not find expected node content"},
		{"two documents", head + "---\nkind: PersistentVolume\n", "job.yaml: line 3: another document begins; there must be one only, a Job of batch/v1"},
		{"another kind", "# a pod\nkind: Pod\napiVersion: v1\nspek: {}\n", `job.yaml:2: apiVersion and kind: must be batch/v1 and Job, but are "v1" and "Pod"`},
		{"no mapping", "- a\n", `job.yaml:1: apiVersion and kind: must be batch/v1 and Job, but are "" and ""`},
		{"text", "text\n", `job.yaml:1: apiVersion and kind: must be batch/v1 and Job, but are "" and ""`},
		{"misspelt, twice and of a wrong type", head + `
speck: {}
spec:
  template:
    spec:
      containers:
      - image: x
        env:
        - name: A
          valueForm: {}
        resources: {limits: {cpu: 1x}}
      - name: [a, list]
        image: z
        resources:
          limits:
            cpu: "1"
            memory: 1Gib
            cpu: "2"
        stdin: maybe
      restartPolicy: Never
  backoffLimit: none
`, "job.yaml:4: speck: unknown field; see `kubectl explain job`\n" +
			"job.yaml:12: spec.template.spec.containers[0].env[0].valueForm: unknown field; see `kubectl explain job.spec.template.spec.containers.env`\n" +
			"job.yaml:13: spec.template.spec.containers[0].resources.limits.cpu: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'\n" +
			"job.yaml:14: spec.template.spec.containers[1].name: must be of type string, not array\n" +
			"job.yaml:19: spec.template.spec.containers[1].resources.limits.memory: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'\n" +
			"job.yaml:20: spec.template.spec.containers[1].resources.limits.cpu: appears twice\n" +
			"job.yaml:21: spec.template.spec.containers[1].stdin: must be of type bool, not string\n" +
			"job.yaml:23: spec.backoffLimit: must be of type int32, not string"},
		{
			"a mapping for a list", head + "spec:\n  template:\n    spec:\n      containers:\n        name: agent\n",
			"job.yaml:6: spec.template.spec.containers: must be of type []v1.Container, not object",
		},
		{"a case", head + "Spec: {}\n", "job.yaml:3: Spec: unknown field; see `kubectl explain job`"},
		{
			"an anchor", head + "spec:\n  activeDeadlineSeconds: &n x\n  backoffLimit: *n\n",
			"job.yaml:4: spec.activeDeadlineSeconds: must be of type int64, not string",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			job, err := ReadDefinition("job.yaml", []byte(test.content))
			if err == nil || job != nil {
				t.Fatalf("got %v, %v", job, err)
			}
			if err.Error() != test.want {
				t.Errorf("got\n%s\nwant\n%s", err, test.want)
			}
		})
	}
}

func TestReadDefinition(t *testing.T) {
	job, err := ReadDefinition("job.yaml", []byte(strings.TrimSpace(`
---
apiVersion: batch/v1
kind: Job
metadata:
  name: custom-job
spec:
  template:
    spec:
      containers:
      - &agent
        name: agent
        image: x
        stdin: yes
      - <<: *agent
        name: other
...
`)))
	if err != nil {
		t.Fatal(err)
	}
	containers := job.Spec.Template.Spec.Containers
	if job.Name != "custom-job" || len(containers) != 2 || !containers[0].Stdin || containers[1].Image != "x" {
		t.Errorf("got %+v", job)
	}
}

// FuzzReadDefinition wants a Job or an error, whatever the file holds.
func FuzzReadDefinition(f *testing.F) {
	for _, content := range []string{
		"apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {containers: [{name: 1}]}}}\n",
		"apiVersion: batch/v1\nkind: Job\nmetadata: &m {name: x, labels: *m}\n",
		"apiVersion: batch/v1\nkind: Job\n? [a]\n: b\n", "--- null\n", "&a [*a]", "!!binary x", "{}: {}",
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		// A line of YAML has a node for each value, and aliases may repeat them.
		memtest.Within(t, len(content), 20<<10, func() {
			if job, err := ReadDefinition("job.yaml", content); (job == nil) == (err == nil) {
				t.Errorf("got %v, %v", job, err)
			}
		})
	})
}
