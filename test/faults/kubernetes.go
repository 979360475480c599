package faults

import (
	"context"
	"time"
)

// kubernetes are faults of Kubernetes and KEDA.
func kubernetes() []Fault {
	return []Fault{
		{Name: "the scaler's connections to Kubernetes are cut", Lists: true, Begin: func(_ context.Context, t *Trial) (func(context.Context) error, error) {
			t.API.Cut()
			return t.restoreAPI, nil
		}, Lasts: 10 * time.Second},
		{Name: "the scaler's connections to Kubernetes are silent", Lists: true, Begin: func(_ context.Context, t *Trial) (func(context.Context) error, error) {
			t.API.Stall()
			return t.restoreAPI, nil
		}, Lasts: 20 * time.Second},
		{Name: "KEDA's connections to the scaler are cut", Lists: true, Begin: func(_ context.Context, t *Trial) (func(context.Context) error, error) {
			t.KEDA.Cut()
			return func(context.Context) error {
				t.KEDA.Restore()
				return nil
			}, nil
		}, Pause: reconnect},
		{Name: "KEDA is restarted", Lists: true, Alone: true, Begin: func(ctx context.Context, t *Trial) (func(context.Context) error, error) {
			return t.Plane.StartKEDA, t.Plane.StopKEDA(ctx)
		}},
		{Name: "the API server is gone for 15 s", Lists: true, Alone: true, Lasts: 15 * time.Second, Begin: stopAPIServer},
		{Name: "the API server is gone for a minute", Lists: true, Alone: true, Lasts: time.Minute, Begin: stopAPIServer, Long: true},
	}
}

func (t *Trial) restoreAPI(context.Context) error {
	t.API.Restore()
	return nil
}

func stopAPIServer(_ context.Context, t *Trial) (func(context.Context) error, error) {
	return t.Plane.StartAPIServer, t.Plane.KillAPIServer()
}
