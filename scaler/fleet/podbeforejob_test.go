package fleet

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPodBeforeItsJob has the event of a pod come before that of its Job, which is
// just when forgotten pods are dropped.
func TestPodBeforeItsJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := NewIndex(2 * time.Minute)
		time.Sleep(2*time.Minute - time.Second)
		x.SetPod(Pod{Name: "build-bcdfg-22222", JobUID: "1"})
		time.Sleep(time.Second)
		job := Job{UID: "1", Namespace: "ado", Name: "build-bcdfg", ScaledJob: "build"}
		x.SetJob(job)
		if pods := x.JobsOf(job.Owner())[0].Pods; len(pods) != 1 {
			t.Errorf("the Job has the pods %v, want one", pods)
		}
	})
}
