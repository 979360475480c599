// Package cluster is what end-to-end runs stand on: a Kubernetes with KEDA that
// they share, and for each a separate [Env] with an Azure DevOps, and a
// [Scaler] as a process.
package cluster

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// Cluster is a control plane with its kubelet, and clients with all rights.
type Cluster struct {
	Plane   *controlplane.ControlPlane
	Kubelet *controlplane.Kubelet
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface

	mu    sync.Mutex
	plans map[string]PlanFunc // by namespace
}

// PlanFunc says what is to become of a pod.
type PlanFunc func(*corev1.Pod) controlplane.Plan

// The images of our programs.
const (
	ScalerImage = "ado-agent-orchestrator:latest"
	AgentImage  = workload.AgentImage
)

// Entrypoints are what containers of our images run.
func (p Programs) Entrypoints() map[string][]string {
	return map[string][]string{
		ScalerImage: {p.Scaler},
		// In a container, the agent's folder is its own. DISK is another file system.
		AgentImage: {"bash", "-c", `AZP_AGENT_DIR="${DISK:-$HOME}/agent-$AZP_AGENT_NAME" AZP_JOB_FILE="$HOME/job" exec "$0"`, p.Agent},
	}
}

// New makes a cluster of a control plane that runs. It ends with that. Containers
// of our images run the programs.
func New(ctx context.Context, plane *controlplane.ControlPlane, programs Programs) (*Cluster, error) {
	c := &Cluster{Plane: plane, plans: map[string]PlanFunc{}}
	var err error
	if c.Kube, err = kubernetes.NewForConfig(plane.Config()); err != nil {
		return nil, err
	}
	if c.Dynamic, err = dynamic.NewForConfig(plane.Config()); err != nil {
		return nil, err
	}
	c.Kubelet, err = plane.StartKubelet(ctx, controlplane.KubeletOptions{Plan: c.plan, Entrypoints: programs.Entrypoints()})
	return c, err
}

// plan asks the environment that the pod belongs to.
func (c *Cluster) plan(pod *corev1.Pod) controlplane.Plan {
	c.mu.Lock()
	plan := c.plans[pod.Namespace]
	c.mu.Unlock()
	if plan == nil {
		return controlplane.Plan{}
	}
	return plan(pod)
}
