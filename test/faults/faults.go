// Package faults does to the scaler, as a process, what broken parts and hostile
// callers can do to it.
//
// All is the suite of faults of Azure DevOps, Kubernetes, KEDA and our own
// processes. A [Lab] tries each on a real cluster, while jobs are queued before, during
// and after it, and accounts for every Job that KEDA made, for every pipeline job
// and for every answer that KEDA got.
package faults

import (
	"context"
	"time"
)

// Fault is something that breaks and works again.
type Fault struct {
	Name string
	// Begin causes the fault and returns a function that repairs it.
	Begin func(ctx context.Context, t *Trial) (repair func(context.Context) error, err error)
	// Lasts is the time between both, by default usualTime.
	Lasts time.Duration
	// Hold is for how long the last answer before the repair says to wait.
	Hold time.Duration
	// Pause is what KEDA waits for before it connects again, the scaler after Jobs that
	// fail, or Azure DevOps before it takes a request back from an agent that is gone.
	Pause time.Duration
	// JobTime is how long most jobs run, by default usualJobTime.
	JobTime time.Duration
	// Lists reports that lists of jobs are answered as usual. All others that come
	// with an answer of 200 meanwhile are none.
	Lists bool

	// Setup changes the environment before it is made.
	Setup func(*Setup)
	// Alone is for what breaks the whole cluster: nothing else is tried beside it.
	Alone bool
	// Long takes minutes, and is left out of a short run.
	Long bool
	// Root needs the rights of root.
	Root bool
}

// usualTime is long enough for several polls, and for retries to slow down.
const usualTime = 6 * time.Second

func (f Fault) lasts() time.Duration {
	if f.Lasts > 0 {
		return f.Lasts
	}
	return usualTime
}

// usualJobTime is longer than the time between two lists, since nobody can know that
// a job had its Job if no list has it.
const usualJobTime = 2500 * time.Millisecond

func (f Fault) jobTime() time.Duration {
	if f.JobTime > 0 {
		return f.JobTime
	}
	return usualJobTime
}

// outlasting is how long a job runs that is not to end, unseen, before lists are read
// again.
func (f Fault) outlasting() time.Duration { return f.lasts() + f.Hold + f.Pause + 4*time.Second }

// All returns the suite.
func All() []Fault {
	var all []Fault
	for _, part := range [][]Fault{{control}, throttled(), broken(), credentials(), processes(), kubernetes(), agents()} {
		all = append(all, part...)
	}
	return all
}

// control is no fault. It shows the speed of the machine.
var control = Fault{
	Name: "nothing", Lists: true,
	Begin: func(context.Context, *Trial) (func(context.Context) error, error) { return nothing, nil },
}

func nothing(context.Context) error { return nil }
