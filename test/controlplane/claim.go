package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// claimPath is the file by which a directory is one control plane's. It holds
// the id of that.
func claimPath(dir string) string { return filepath.Join(dir, "control-plane") }

// claim fails if the directory holds a control plane already.
func (c *ControlPlane) claim() error {
	file, err := os.OpenFile(claimPath(c.dir), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s holds one already", c.dir)
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(c.id)
	return errors.Join(err, file.Close())
}

// Processes lists the ids of the live processes of the control plane, those of
// its pods too.
func (c *ControlPlane) Processes() ([]int, error) { return planeMark(c.id).pids() }
