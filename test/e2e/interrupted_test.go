package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
)

// TestCreationInterrupted edits the ScaledJob while KEDA creates its Jobs: KEDA
// cancels the loop that is at it, and only some of them come to be. The next
// poll must make the rest. It follows at once, and KEDA may not know then of the
// Job whose creation it has just cut off: that one can be made twice. Their pods
// do not start: ninety agents at once are of no interest here.
//
// It has a separate KEDA and no other test beside it, which so many Jobs at
// once would keep from being created in time.
func TestCreationInterrupted(t *testing.T) {
	notInShort(t)
	c := startCluster(t, controlplane.Options{})
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	s := newEnv(t, c, cluster.EnvOptions{Plan: func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Hold: hold} }})
	job := s.scaledJob()
	s.deploy(job)
	watch, err := s.Kube.BatchV1().Jobs(s.Namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	const n = 90
	s.queue(n, time.Second)
	select {
	case <-watch.ResultChan():
	case <-time.After(patience):
		t.Fatal("no Job was made")
	}
	job.PollingInterval = 2 * time.Second
	if err := s.Apply(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	s.eventually(func() string {
		if made := len(s.jobs()); made < n {
			return fmt.Sprintf("%d Jobs, want %d", made, n)
		}
		return ""
	})
	if events := s.events(); !strings.Contains(events, "context canceled") {
		t.Fatalf("KEDA was not interrupted: %s", events)
	}
	s.polledAgain(3)
	if made := len(s.jobs()); made > n+1 {
		t.Errorf("%d Jobs, want %d and perhaps the one that was cut off", made, n)
	}
}
