package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
)

// state is what another process has to know of a control plane.
type state struct {
	ID string `json:"id"`
}

func statePath(dir string) string { return filepath.Join(dir, "control-plane.json") }

// writeState fails if the directory holds a control plane already.
func (c *ControlPlane) writeState() error {
	content, err := json.Marshal(state{ID: c.id})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(statePath(c.dir), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s holds one already", c.dir)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

// Attach returns the detached control plane of a directory, for a process that
// did not start it. The error is fs.ErrNotExist if there is none.
func Attach(dir string) (*ControlPlane, error) {
	c, err := attach(dir)
	if err != nil {
		return nil, err
	}
	c.restConfig, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("attach to the control plane in %s: %w", dir, err)
	}
	c.restConfig.QPS = unlimited
	return c, nil
}

// attach needs no more than the state, which is the first file to be written.
func attach(dir string) (*ControlPlane, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(statePath(dir))
	if err != nil {
		return nil, fmt.Errorf("attach to a control plane: %w", err)
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", statePath(dir), err)
	}
	if s.ID == "" {
		return nil, fmt.Errorf("%s names no control plane", statePath(dir))
	}
	return &ControlPlane{dir: dir, id: s.ID, options: Options{Dir: dir, Detached: true}}, nil
}

// StopDetached ends the control plane of a directory, one that was started only
// in part as well, and removes the directory. The error is fs.ErrNotExist if it
// holds none.
func StopDetached(dir string) error {
	c, err := attach(dir)
	if err != nil {
		return err
	}
	return c.Stop()
}

// Processes lists the ids of the live processes of the control plane, those of
// its pods too.
func (c *ControlPlane) Processes() ([]int, error) { return planeMark(c.id).pids() }
