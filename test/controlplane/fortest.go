package controlplane

import "context"

// TB is what is asked of a test here. It is a [testing.TB], but that programs
// need not import the package testing.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(cleanup func())
	Failed() bool
	Fatal(args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// ForTest starts a control plane that is stopped when the test ends. If the test
// has failed by then, it says where the logs are kept.
func ForTest(t TB, options Options) *ControlPlane {
	t.Helper()
	c, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop := c.Stop
		if t.Failed() {
			stop = c.StopKeepingLogs
			t.Logf("the logs of the control plane and its pods are kept in %s", c.LogDir())
		}
		if err := stop(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	return c
}

// KubeletForTest starts a kubelet that ends with the control plane.
func KubeletForTest(t TB, c *ControlPlane, options KubeletOptions) *Kubelet {
	t.Helper()
	k, err := c.StartKubelet(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// FreeAddress returns an address on which nobody listens.
func FreeAddress(t TB) string {
	t.Helper()
	addresses, err := freeAddresses(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
}
