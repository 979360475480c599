package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
)

// TestViewOutOfDate has no answer about a ScaledJob whose Jobs nobody knows: KEDA
// would create Jobs again that are there, or none for jobs that wait.
func TestViewOutOfDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := &slowQueue{}
		cluster := &lostView{}
		a := newAskerOf(t, queue, cluster)
		defer a.engine.Close()
		a.want(t, queue, 1, 1)
		cluster.err = errors.New("connection refused")
		_, err := a.ask(t)
		if _, ok := errors.AsType[*engine.ViewError](err); !ok {
			t.Errorf("got %v, want a ViewError", err)
		}
		if _, _, err := a.engine.Missing(t.Context(), a.scaledJob.Key); err == nil {
			t.Error("it says how many Jobs are missing")
		}
		cluster.err = nil
		a.want(t, queue, 1, 1)
	})
}

// lostView is a view of Kubernetes that may be out of date.
type lostView struct {
	view
	err error
}

func (v *lostView) OutOfDate() error { return v.err }
