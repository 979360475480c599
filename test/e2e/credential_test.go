package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// search is a job that looks for a token where jobs can look: in its environment,
// in /proc of the container's processes, in what is mounted and in the home
// folder. Containers are processes of one machine here, without a separate
// /proc: those of a container are of one session. The metadata service, which a
// network policy has to keep from jobs, is left aside.
const search = `
exec >"%[1]s" 2>/dev/null
read -r -a own </proc/self/stat
session=${own[5]}
echo "environment: $(env | grep -c '%[2]s')"
for process in /proc/[0-9]*; do
  read -r -a stat <"$process/stat" || continue
  [[ ${stat[5]} == "$session" ]] || continue
  processes=$((processes + 1))
  for file in environ cmdline; do
    tr '\0' '\n' <"$process/$file" | grep -q '%[2]s' && echo "found: $process/$file"
  done
  # What a process has open, and its working folder, may lead elsewhere.
  for link in "$process"/fd/* "$process/cwd" "$process/root/proc/self/environ"; do
    [[ -f $link ]] && head -c 1000000 "$link" | grep -q '%[2]s' && echo "found: $link"
  done
done
echo "processes: $processes"
for folder in "$HOME" %[3]s /var/run/secrets; do
  files=$((files + $(find "$folder" -type f | wc -l)))
  grep -rl '%[2]s' "$folder" | grep -v '^%[1]s$' | sed 's/^/found: /'
done
echo "files: $files"
env | cut -d= -f1 | grep -E '^(AZP_|AZURE_|IDENTITY_|MSI_)' | sed 's/^/variable: /'
echo "done"
`

// TestNoJobReachesTheCredential runs that job in pods of both kinds. In the usual
// ones it finds the token, or else it would show nothing.
func TestNoJobReachesTheCredential(t *testing.T) {
	t.Parallel()
	c := startCluster(t, controlplane.Options{})
	for name, isolated := range map[string]bool{"isolated": true, "single": false} {
		t.Run(name, func(t *testing.T) {
			s := newEnv(t, c, cluster.EnvOptions{})
			job := s.scaledJob()
			job.Isolated = isolated
			s.deploy(job)
			report := filepath.Join(t.TempDir(), "report")
			volumes := filepath.Join(s.Plane.Dir(), "pods", "*", "volumes")
			pattern := strings.Replace(cluster.AgentsPAT, "a", "[a]", 1) // which does not find itself
			script := fmt.Sprintf(search, report, pattern, volumes)
			id, err := s.Azure.Queue(cluster.Pool, adotest.Job{Script: script})
			if err != nil {
				t.Fatal(err)
			}
			s.served([]int64{id})
			text, err := os.ReadFile(report)
			if err != nil {
				t.Fatal(err)
			}
			got := string(text)
			if !strings.HasSuffix(got, "done\n") || strings.Contains(got, "processes: \n") || strings.Contains(got, "files: 0\n") {
				t.Fatalf("it did not look around:\n%s", got)
			}
			found := strings.Contains(got, "found: ")
			if isolated && (found || strings.Contains(got, "variable: ") || !strings.Contains(got, "environment: 0\n")) {
				t.Errorf("a job finds:\n%s", got)
			}
			if !isolated && !found {
				t.Errorf("a job finds nothing in the usual pods, so the search is useless:\n%s", got)
			}
			if isolated {
				s.mountsNoToken(t)
			}
		})
	}
}

// mountsNoToken looks at the pods as Kubernetes has them.
func (s *env) mountsNoToken(t *testing.T) {
	t.Helper()
	s.settled(1)
	pods, err := s.Kube.CoreV1().Pods(s.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	for _, pod := range pods.Items {
		if len(pod.Spec.InitContainers) != 1 || pod.Spec.InitContainers[0].Name != workload.KeeperContainer || pod.Status.Phase != corev1.PodSucceeded {
			t.Errorf("pod %s is %s, with %d init containers", pod.Name, pod.Status.Phase, len(pod.Spec.InitContainers))
		}
		for _, v := range pod.Spec.Containers[0].Env {
			if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
				t.Errorf("the agent's container has the Secret %s", v.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
}
