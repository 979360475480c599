package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// KubeletOptions say how a kubelet treats its pods.
type KubeletOptions struct {
	// Node is the name of the node that pods come to be on, by default "node".
	Node string
	// Plan says what is to become of a pod, when it is first seen. It is called
	// for several pods at once. By default every pod runs as its spec says.
	Plan func(*corev1.Pod) Plan
	// Entrypoints are the commands of images, for containers that give none.
	Entrypoints map[string][]string
	// Env is added to the environment of every container, as in os.Environ.
	Env []string
	// Serve registers the node, so that kubectl's exec, logs and port-forward work.
	Serve bool
	// Ports are the addresses at which processes listen in place of ports of pods.
	Ports map[int32]string
}

// Kubelet plays the scheduler, the only node, and the container runtime: it
// binds each pod, runs its containers' commands as local processes, reports
// their state, and honours the pod's deletion with its grace period.
//
// A process has the environment of the pod's spec and little else, and starts in
// a directory of its container, its HOME. There is no separate file system, and so
// a volume's mountPath is not there: where an environment variable, an argument
// or the command is such a path or one below it, it is rewritten to the
// directory that stands for it. Volumes are made once, of the types emptyDir,
// secret, configMap and hostPath. Probes, lifecycle hooks and limits are ignored:
// a container that runs is ready.
type Kubelet struct {
	options KubeletOptions
	plane   *ControlPlane
	client  kubernetes.Interface
	ctx     context.Context // ends with the kubelet
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	pods map[types.UID]*pod
}

// StartKubelet starts a kubelet for all pods of the control plane, which should
// have one only. The context bounds the start; the kubelet runs until its Stop or
// that of the control plane.
func (c *ControlPlane) StartKubelet(ctx context.Context, options KubeletOptions) (*Kubelet, error) {
	if options.Node == "" {
		options.Node = "node"
	}
	if options.Plan == nil {
		options.Plan = func(*corev1.Pod) Plan { return Plan{} }
	}
	client, err := kubernetes.NewForConfig(c.restConfig)
	if err != nil {
		return nil, err
	}
	k := &Kubelet{options: options, plane: c, client: client, pods: make(map[types.UID]*pod)}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	if err := k.watch(ctx); err != nil {
		k.Stop()
		return nil, fmt.Errorf("start a kubelet: %w", err)
	}
	if options.Serve {
		if err := k.serve(ctx); err != nil {
			k.Stop()
			return nil, fmt.Errorf("serve a node: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kubelets = append(c.kubelets, k)
	return k, nil
}

// watch starts the informer that starts the pods.
func (k *Kubelet) watch(ctx context.Context) error {
	if err := os.MkdirAll(k.podsDir(), 0o750); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(k.client, 0)
	informer := factory.Core().V1().Pods().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.seen(object.(*corev1.Pod)) },
		UpdateFunc: func(_, object any) { k.seen(object.(*corev1.Pod)) },
		DeleteFunc: k.gone,
	}); err != nil {
		return err
	}
	k.running.Go(func() { informer.RunWithContext(k.ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return context.Cause(ctx)
	}
	return nil
}

// seen starts a pod at its first sight, and ends it once its deletion is asked
// for.
func (k *Kubelet) seen(object *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pods[object.UID]
	if p == nil {
		if k.ctx.Err() != nil {
			return
		}
		p = newPod(k, object.DeepCopy())
		k.pods[object.UID] = p
		k.running.Go(p.run)
	}
	if object.DeletionTimestamp != nil {
		p.terminate(object.DeletionGracePeriodSeconds)
	}
}

// gone kills what is left of a pod that was removed without its kubelet's doing.
func (k *Kubelet) gone(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	removed, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pods[removed.UID]; p != nil {
		p.removed()
		delete(k.pods, removed.UID)
	}
}

// Kill ends the processes of a pod by SIGKILL, as the loss of its node does. It is
// an error if the pod has none.
func (k *Kubelet) Kill(namespace, name string) error { return k.KillContainer(namespace, name, "") }

// KillContainer ends the processes of one container by SIGKILL, as the kernel does
// when memory is short.
func (k *Kubelet) KillContainer(namespace, name, container string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if p.spec.Namespace == namespace && p.spec.Name == name && p.kill(container) {
			return nil
		}
	}
	return fmt.Errorf("pod %s/%s runs no container %s", namespace, name, container)
}

// Stop kills all containers, and returns once none is left. Their pods stay as
// they were last reported, as those of a node that was lost.
func (k *Kubelet) Stop() {
	k.cancel()
	k.running.Wait()
}

// LogPath is the path of a container's log.
func (k *Kubelet) LogPath(pod *corev1.Pod, container string) string {
	return filepath.Join(k.plane.LogDir(), "pods", pod.Namespace, pod.Name+"_"+string(pod.UID), container+".log")
}

func (k *Kubelet) podsDir() string { return filepath.Join(k.plane.Dir(), "pods") }
