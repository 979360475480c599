package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

const (
	namespace = "ado"
	pool      = "linux"
	token     = "lab-token"
)

// run runs a lab until ctx ends. It closes out when all is running.
func (l lab) run(ctx context.Context, out io.WriteCloser) (err error) {
	if err := os.MkdirAll(l.dir, 0o750); err != nil {
		return err
	}
	programs, err := cluster.Build(ctx, l.dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "starting etcd, the API server, the controllers and KEDA ...")
	plane, err := controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(l.dir, "control-plane"), Progress: out})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	if _, err := plane.StartKubelet(ctx, controlplane.KubeletOptions{Entrypoints: programs.Entrypoints()}); err != nil {
		return err
	}
	ado, err := startAzureDevOps()
	if err != nil {
		return err
	}
	defer ado.Close()
	scaler, err := startScaler(programs, ado.URL(), plane.Kubeconfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scaler.Stop()) }()
	if err := deploy(ctx, plane, ado.URL(), scaler.Addr); err != nil {
		return err
	}
	if err := os.WriteFile(l.pidFile(), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	l.explain(out, plane, ado, scaler)
	if err := out.Close(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func startAzureDevOps() (*adotest.Server, error) {
	ado, err := adotest.Listen("127.0.0.1:0", adotest.Options{PAT: token, AutoAssign: true})
	if err != nil {
		return nil, err
	}
	ado.AddPool(adotest.Pool{Name: pool})
	if _, err := ado.AddAgent(pool, adotest.Agent{Name: "placeholder", Offline: true}); err != nil {
		return nil, errors.Join(err, ado.Close())
	}
	return ado, nil
}

// startScaler runs the scaler. Its log goes to the lab's.
func startScaler(programs cluster.Programs, organization, kubeconfig string) (*cluster.Scaler, error) {
	env := []string{"ORG_URL=" + organization, "ORG_PAT=" + token, "KUBE=on", "KUBECONFIG=" + kubeconfig}
	return cluster.StartScaler(programs.Scaler, env, os.Stderr)
}

// deploy makes the namespace, the agents' token and a ScaledJob.
func deploy(ctx context.Context, plane *controlplane.ControlPlane, organization, scalerAddr string) error {
	kube, err := kubernetes.NewForConfig(plane.Config())
	if err != nil {
		return err
	}
	custom, err := dynamic.NewForConfig(plane.Config())
	if err != nil {
		return err
	}
	if _, err := kube.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := kube.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: workload.TokenSecret}, StringData: map[string]string{"token": token},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	job := workload.ScaledJob{
		Namespace: namespace, Name: "linux-agents", ScalerAddress: scalerAddr, OrganizationURL: organization, Pool: pool,
	}
	_, err = custom.Resource(workload.ScaledJobs).Namespace(namespace).Create(ctx, job.Object(), metav1.CreateOptions{})
	return err
}

func (l lab) explain(w io.Writer, plane *controlplane.ControlPlane, ado *adotest.Server, scaler *cluster.Scaler) {
	fmt.Fprintf(w, `
The lab is up: Kubernetes with KEDA, a simulated Azure DevOps with the pool
%[1]s, the scaler on %[2]s, and the ScaledJob linux-agents.

  export KUBECONFIG=%[3]s
  kubectl -n %[4]s get scaledjobs
  kubectl -n %[4]s get jobs --watch

Queue three jobs of ten seconds, and look at them from Azure DevOps' side:

  curl %[5]s/_control/jobs -d '{"pool":"%[1]s","count":3,"duration":"10s"}'
  curl %[5]s/_control/state

Follow each job on the status page, http://%[8]s, or in the terminal:

  go run ./cmd/ado-agent-orchestrator explain --address %[8]s

Ask the scaler for the value that KEDA gets:

  go run ./cmd/ado-agent-orchestrator query --address %[2]s --scaled-job linux-agents --namespace %[4]s

Logs are in %[6]s and %[7]s.
End it with: go run -C test ./cmd/lab down
`, pool, scaler.Addr, plane.Kubeconfig(), namespace, strings.TrimSuffix(ado.URL(), "/contoso"), plane.LogDir(), l.logFile(),
		scaler.HTTPAddr)
}
