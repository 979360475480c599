package documents_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// otherRelease is of a chart that renders triggers of KEDA's own scaler.
const otherRelease = "blue-agent"

// builtIn is a ScaledJob for KEDA's own scaler.
const builtIn = `apiVersion: keda.sh/v1alpha1
kind: ScaledJob
metadata: {name: linux}
spec:
  jobTargetRef:
    template:
      spec:
        restartPolicy: Never
        containers:
          - name: agent
            image: registry.example.com/agent:dev
            env:
              - {name: AZP_URL, value: https://dev.azure.com/contoso}
              - {name: AZP_POOL, value: linux}
              - {name: AZP_TOKEN, valueFrom: {secretKeyRef: {name: azure-devops, key: token}}}
  triggers:
    - type: azure-pipelines
      metadata: {poolName: linux, organizationURLFromEnv: AZP_URL, personalAccessTokenFromEnv: AZP_TOKEN}
`

// begin makes what a document presupposes.
func (w *walk) begin(document string, items []item) {
	w.t.Helper()
	switch document {
	case "docs/troubleshooting.md":
		w.writeOwnScaledJob()
		w.shell("kubectl apply --filename own.yaml")
		w.eventually(func() error {
			if report := w.get("/status.json?scaledjob=linux-agents"); !strings.Contains(report, `"polledAt"`) {
				return fmt.Errorf("KEDA has not polled it: %s", report)
			}
			return nil
		})
	case "docs/status-json.md":
		w.shell("kubectl --namespace ado port-forward deployment/ado-agent-orchestrator 8080")
	case "docs/operations.md":
		w.shell("kubectl delete --filename own.yaml")
	case "docs/migrate.md":
		w.write("scaledjob.yaml", builtIn)
		w.write(otherRelease+"/Chart.yaml", "apiVersion: v2\nname: "+otherRelease+"\nversion: 1.0.0\n")
		w.write(otherRelease+"/templates/scaledjob.yaml", builtIn)
		w.shell("helm install " + otherRelease + " ./" + otherRelease)
	case chart + "/README.md":
		w.clean()
		for _, i := range items {
			if i.yaml != "" {
				w.write("values.yaml", i.yaml)
				break
			}
		}
	case "docs/settings.md", "docs/install.md", "deploy/artifacthub/ado-agent-orchestrator/artifacthub-pkg.yml":
		w.clean()
	}
}

// enter makes what a section presupposes.
func (w *walk) enter(document, section string) {
	w.t.Helper()
	switch {
	case document == "docs/install.md" && (section == "Plain manifests" || section == "Without KEDA"):
		w.clean()
	case document == "docs/operations.md" && section == "Drain":
		w.build = w.running(10 * time.Second)
	}
}

// clean removes what was installed, in whatever way.
func (w *walk) clean() {
	w.t.Helper()
	w.shell("helm uninstall ado-agent-orchestrator --namespace ado --ignore-not-found --wait")
	w.shell("kubectl delete --filename deploy/manifests --ignore-not-found")
	w.shell("kubectl delete namespace ado ado-agent-orchestrator --ignore-not-found")
}

// writeOwnScaledJob writes the ScaledJob of docs/triggers.md.
func (w *walk) writeOwnScaledJob() {
	w.t.Helper()
	for _, i := range read(w.t, "docs/triggers.md") {
		if strings.Contains(i.yaml, "kind: ScaledJob\n") {
			w.write("own.yaml", i.yaml)
			return
		}
	}
	w.t.Fatal("docs/triggers.md has no ScaledJob")
}

// check looks at what a command has done.
func (w *walk) check(document, command, output string) {
	w.t.Helper()
	is := func(parts ...string) bool { return strings.HasPrefix(command, strings.Join(parts, "")) }
	switch {
	case is("helm install ado-agent-orchestrator "):
		if strings.Contains(output, "cannot overwrite") {
			w.t.Errorf("a value is set by the wrong type: %s", output)
		}
		w.runsJobs(2)
		if document == "README.md" {
			w.followNotes(output)
		}
	case is("kubectl --namespace ado create secret ") && document == "docs/install.md" && w.exists("deployment/ado-agent-orchestrator"):
		w.runsJobs(1) // by the manifest
	case is("kubectl --namespace ado-agent-orchestrator create secret "):
		w.runsJobs(1)
	case is("kubectl --namespace ado annotate scaledjobs "), is("helm upgrade ") && strings.Contains(command, `"paused":true`):
		w.isPaused()
	case is("kubectl --namespace ado get pods --selector scaledjob.keda.sh/name "):
		w.drains(command)
	case is("kubectl apply --filename new.yaml"):
		if got := w.shell("kubectl get scaledjob linux --output jsonpath={.spec.triggers[*].type},{.spec.rollout.strategy}"); got != "external,gradual" {
			w.t.Errorf("the ScaledJob has %s", got)
		}
	case is("helm upgrade ") && strings.Contains(command, "agentPools=[]"):
		w.eventually(func() error {
			if left := w.shell("kubectl --namespace ado get scaledjobs --output name"); left != "" {
				return fmt.Errorf("ScaledJobs are left: %s", left)
			}
			return nil
		})
	case is("kubectl delete namespace ado"):
		if left := w.shell("kubectl get all,clusterroles,clusterrolebindings --all-namespaces --output name " +
			"--selector app.kubernetes.io/instance=ado-agent-orchestrator"); left != "" && !strings.Contains(left, "No resources") {
			w.t.Errorf("left after the removal: %s", left)
		}
	case is("kubectl --namespace ado port-forward deployment/"):
		w.servesPage()
	case is("grpcurl ") && !strings.Contains(output, "externalscaler.ExternalScaler") && !strings.Contains(output, `"metricValues"`):
		w.t.Errorf("no services and no metric: %s", output)
	case is("curl "):
		if !strings.Contains(output, `"schemaVersion"`) {
			w.t.Errorf("no report: %s", output)
		}
	case strings.HasSuffix(command, "> new.yaml"):
		content, err := os.ReadFile(filepath.Join(w.reader.dir, "new.yaml"))
		if err != nil || !strings.Contains(string(content), "type: external") {
			w.t.Errorf("%v: %s", err, content)
		}
	}
}

func (w *walk) exists(object string) bool {
	w.t.Helper()
	return w.shell("kubectl --namespace ado get "+object+" --ignore-not-found --output name") != ""
}

// runsJobs queues jobs and waits until agents have run them.
func (w *walk) runsJobs(n int) {
	w.t.Helper()
	var ids []int64
	w.eventually(func() error {
		// Until a placeholder is registered, Azure DevOps fails each job at once.
		if len(w.azure.Agents(pool)) == 0 {
			return errors.New("there is no placeholder in the pool")
		}
		return nil
	})
	for range n {
		id, err := w.azure.Queue(pool, adotest.Job{Duration: time.Second})
		must(w.t, err)
		ids = append(ids, id)
	}
	w.eventually(func() error {
		for _, id := range ids {
			if r, _ := w.azure.Request(id); r.State != adotest.Finished || r.Result != "succeeded" {
				return fmt.Errorf("request %d is %s %s", id, r.State, r.Result)
			}
		}
		return nil
	})
	r, _ := w.azure.Request(ids[0])
	w.lastRun = r.QueueTime.UTC().Format("20060102.") + strconv.FormatInt(r.ID, 10)
}

// running queues a job and waits until an agent runs it.
func (w *walk) running(duration time.Duration) int64 {
	w.t.Helper()
	id, err := w.azure.Queue(pool, adotest.Job{Duration: duration})
	must(w.t, err)
	w.eventually(func() error {
		if r, _ := w.azure.Request(id); r.State != adotest.Running {
			return fmt.Errorf("request %d is %s", id, r.State)
		}
		return nil
	})
	return id
}

// isPaused waits until KEDA has paused the ScaledJob.
func (w *walk) isPaused() {
	w.t.Helper()
	w.eventually(func() error {
		const status = "kubectl --namespace ado get scaledjobs --output jsonpath='{.items[*].status.conditions[?(@.type==\"Paused\")].status}'"
		if got := w.shell(status); got != "True" {
			return fmt.Errorf("the ScaledJob's condition Paused is %q", got)
		}
		return nil
	})
}

// drains repeats a command until it finds no agent. The build has succeeded then.
func (w *walk) drains(command string) {
	w.t.Helper()
	w.eventually(func() error {
		if left := w.shell(command); !strings.Contains(left, "No resources found") {
			return fmt.Errorf("agents are left: %s", left)
		}
		return nil
	})
	if r, _ := w.azure.Request(w.build); r.Result != "succeeded" {
		w.t.Errorf("the build is %s %s", r.State, r.Result)
	}
}

// followNotes runs the commands that Helm prints after an installation.
func (w *walk) followNotes(output string) {
	w.t.Helper()
	followed := 0
	for line := range strings.Lines(output) {
		if command := strings.TrimSpace(line); strings.HasPrefix(line, "  kubectl ") || strings.HasPrefix(line, "  helm ") {
			w.shell(command)
			followed++
		}
	}
	if followed != 3 {
		w.t.Errorf("the notes have %d commands, not 3: %s", followed, output)
	}
}

// get reads what the scaler's pod serves.
func (w *walk) get(path string) string {
	w.t.Helper()
	return w.read("http://" + w.http + path)
}

// servesPage reads the web page where it is forwarded to.
func (w *walk) servesPage() {
	w.t.Helper()
	if page := w.read("http://" + w.web + "/"); !strings.Contains(page, "<html") {
		w.t.Errorf("the page: %s", page)
	}
}

func (w *walk) read(url string) string {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, http.NoBody)
	must(w.t, err)
	response, err := http.DefaultClient.Do(request)
	must(w.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(w.t, err)
	return string(body)
}
