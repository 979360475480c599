// Package migrate_test holds what the command migrate prints to the CRDs of KEDA
// and to the scaler.
package migrate_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// moreManifests names a directory of further manifests, such as the examples of
// KEDA's documentation.
const moreManifests = "MIGRATE_MANIFESTS"

// TestMigrated creates each ScaledJob that migrate prints, with the CRDs of the
// KEDA of [components.KEDAVariable], and asks the scaler about it as KEDA does.
func TestMigrated(t *testing.T) {
	programs, err := cluster.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	shared, err := cluster.New(t.Context(), controlplane.ForTest(t, controlplane.Options{WithoutKEDA: true}), programs)
	if err != nil {
		t.Fatal(err)
	}
	azure, err := adotest.Listen("127.0.0.1:0", adotest.Options{PAT: cluster.ScalerPAT})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = azure.Close() })
	for i := 1; i <= 20; i++ { // manifests name pools by their ids
		azure.AddPool(adotest.Pool{Name: fmt.Sprintf("pool-%d", i)})
	}
	azure.AddPool(adotest.Pool{Name: "linux"})
	scaler, err := cluster.StartScaler(programs.Scaler, []string{
		"KUBE=on", "KUBECONFIG=" + shared.Plane.Kubeconfig(), "ORG_URL=" + azure.URL(), "ORG_PAT=" + cluster.ScalerPAT,
	}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = scaler.Stop() })
	c := &checker{cluster: shared, program: programs.Scaler, address: scaler.Addr, organization: azure.URL()}
	for _, file := range manifests(t) {
		t.Run(filepath.Base(file), func(t *testing.T) { c.check(t, file) })
	}
}

func manifests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../jobtemplate/migrate/testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no manifests (error %v)", err)
	}
	if dir := os.Getenv(moreManifests); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil || len(more) == 0 {
			t.Fatalf("%s=%s: no manifests (error %v)", moreManifests, dir, err)
		}
		files = append(files, more...)
	}
	return files
}

type checker struct {
	cluster                        *cluster.Cluster
	program, address, organization string
}

func (c *checker) check(t *testing.T, file string) {
	manifest, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The organization is that of the environment.
	manifest = []byte(strings.NewReplacer("https://dev.azure.com/contoso/", c.organization, "https://dev.azure.com/contoso", c.organization).Replace(string(manifest)))
	migrate := exec.CommandContext(t.Context(), c.program, "migrate", "--scaler-address", c.address)
	migrate.Stdin, migrate.Stderr = strings.NewReader(string(manifest)), t.Output()
	out, err := migrate.Output()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for document := range strings.SplitSeq("\n"+string(out), "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if object.GetKind() == "ScaledObject" && strings.Contains(document, "azure-pipelines") {
			t.Errorf("%s was left", object.GetName())
		}
		if object.GetKind() != "ScaledJob" || !strings.Contains(document, "scalerAddress") {
			continue
		}
		ours++
		object.SetNamespace(metav1.NamespaceDefault)
		object.SetName(object.GetName() + "-" + strconv.Itoa(len(file)))
		jobs := c.cluster.Dynamic.Resource(workload.ScaledJobs).Namespace(metav1.NamespaceDefault)
		if _, err := jobs.Create(t.Context(), object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}); err != nil {
			t.Errorf("%s: %v", object.GetName(), err)
			continue
		}
		c.ask(t, object)
		if err := jobs.Delete(t.Context(), object.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if ours == 0 {
		t.Errorf("there is no ScaledJob for the scaler in\n%s", out)
	}
}

// ask polls as KEDA does, for the trigger that is ours.
func (c *checker) ask(t *testing.T, scaledJob *unstructured.Unstructured) {
	t.Helper()
	triggers, _, err := unstructured.NestedSlice(scaledJob.Object, "spec", "triggers")
	if err != nil {
		t.Fatal(err)
	}
	ref := &externalscaler.ScaledObjectRef{Name: scaledJob.GetName(), Namespace: scaledJob.GetNamespace()}
	for _, trigger := range triggers {
		metadata, _, err := unstructured.NestedStringMap(trigger.(map[string]any), "metadata")
		if err != nil {
			t.Fatal(err)
		}
		if metadata["scalerAddress"] != "" {
			ref.ScalerMetadata = metadata
		}
	}
	conn, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := externalscaler.NewExternalScalerClient(conn)
	answer, err := client.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: ref})
	if err != nil || len(answer.GetMetricValues()) != 1 {
		t.Errorf("%s: the scaler answers %v (error %v)", ref.GetName(), answer, err)
	}
}
