package jobtemplate

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// minimal are the settings that cannot be left out.
func minimal() Settings {
	return Settings{
		OrganizationURL: "https://dev.azure.com/contoso",
		Pool:            "Default",
		Image:           "registry.example/agent:1",
		Token:           SecretKey{Name: "azure-devops", Key: "token"},
		Scaling:         Scaling{ScalerAddress: "scaler.ado:9090"},
	}
}

func full() Settings {
	s := minimal()
	s.Pool = "Linux $(GPU) pool"
	s.Namespace = "builds"
	s.Prefix = "ci"
	s.Capabilities = map[string]string{"docker": "", "java": "17"}
	s.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2048Mi")},
	}
	s.NodeSelector = map[string]string{"kubernetes.io/os": "linux"}
	s.ServiceAccount = "agents"
	s.TTL, s.IdleTimeout, s.GracePeriod = time.Minute, 90*time.Second, 2*time.Hour
	s.Scaling = Scaling{
		ScalerAddress: "scaler.ado:9090", Authentication: "scaler-tls",
		MinReplicas: 1, MaxReplicas: 20, MinIdle: 2, Warm: "Mon-Fri 07:30-18:00 5", WarmTimeZone: "Europe/Berlin", WarmMaxAge: 12 * time.Hour, Priority: -3, Shard: "1/2", PollingInterval: 2 * time.Second,
	}
	return s
}

func withDocker() Settings {
	s := minimal()
	s.DockerSocketPath = "/var/run/docker.sock"
	s.IdleTimeout = -1
	s.Token = SecretKey{}
	return s
}

func isolated() Settings {
	s := full()
	s.ServiceAccount = ""
	s.IsolateCredential = true
	return s
}

func evictable() Settings {
	s := isolated()
	s.EvictableIdle = true
	return s
}

// older are the settings of one who has a definition file of the older
// orchestrator.
func older(t *testing.T) Settings {
	s := minimal()
	s.Definition = read(t, "older")
	s.DockerSocketPath = "/var/run/docker.sock"
	return s
}

func rich(t *testing.T) Settings {
	s := full()
	s.Definition = read(t, "rich")
	s.ServiceAccount = "builder"
	s.DockerSocketPath = "/run/docker.sock"
	return s
}

func read(t *testing.T, name string) *batchv1.Job {
	t.Helper()
	file := filepath.Join("testdata", "definitions", name+".yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	job, err := ReadDefinition(file, content)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// TestGolden compares what is made with files that can be read. Each of them
// also says all that there is to say of its object.
func TestGolden(t *testing.T) {
	for name, s := range map[string]Settings{
		"minimal": minimal(), "full": full(), "docker": withDocker(), "older": older(t), "rich": rich(t), "isolated": isolated(), "evictable": evictable(),
	} {
		t.Run(name, func(t *testing.T) {
			job, err := Job(s)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+"-job.yaml", job, &batchv1.Job{})
			scaledJob, err := ScaledJob(s)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+"-scaledjob.yaml", scaledJob, &kedav1alpha1.ScaledJob{})
			if job.GenerateName != scaledJob.Name+"-" || job.Labels[PoolLabel] != scaledJob.Name {
				t.Errorf("Jobs are %q of %q, the ScaledJob is %q", job.GenerateName, job.Labels[PoolLabel], scaledJob.Name)
			}
		})
	}
}

func golden(t *testing.T, name string, object, again runtime.Object) {
	t.Helper()
	var text bytes.Buffer
	if err := Write(&text, object); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text.Bytes(), again); err != nil || !equality.Semantic.DeepEqual(object, again) {
		t.Errorf("%s is not what was written: %v %s", name, err, cmp.Diff(object, again))
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("%s (-want +got; go test -update rewrites it):\n%s", name, diff)
	}
}

func TestWriteSeveral(t *testing.T) {
	job, err := Job(minimal())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := Write(&text, job, job); err != nil {
		t.Fatal(err)
	}
	if documents := strings.Split(text.String(), "---\n"); len(documents) != 2 || documents[0] != documents[1] || documents[0] == "" {
		t.Errorf("got\n%s", text.String())
	}
	if err := Write(&text, &batchv1.Job{}); err == nil {
		t.Error("an object without a kind was written")
	}
}

// TestDefinitionIsKept ensures that one definition serves many pools.
func TestDefinitionIsKept(t *testing.T) {
	s := rich(t)
	before := s.Definition.DeepCopy()
	if _, err := ScaledJob(s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, s.Definition); diff != "" {
		t.Error(diff)
	}
}

// TestNoToken looks for tokens in clear.
func TestNoToken(t *testing.T) {
	var text strings.Builder
	for range 2 {
		scaledJob, err := ScaledJob(older(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(&text, scaledJob); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(text.String(), "a-token-in-clear") {
		t.Error(text.String())
	}
	s := older(t)
	s.Token = SecretKey{}
	_, err := Job(s)
	if err == nil || !strings.Contains(err.Error(), "env[1]: AZP_TOKEN must come from a Secret") || strings.Contains(err.Error(), "clear") {
		t.Errorf("got %v", err)
	}
}
