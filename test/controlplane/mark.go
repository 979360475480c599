package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// markVariable is set in the environment of every process started here. A
// process hands it down to its children, in whatever group or session they put
// themselves, and so all that a control plane or a container has brought about
// can be found and ended without a list of it.
const markVariable = "CONTROL_PLANE"

// A mark is CONTROL_PLANE=id, or for a container CONTROL_PLANE_POD=uid/name.
type mark string

func planeMark(id string) mark { return mark(markVariable + "=" + id) }

func containerMark(podUID, container string) mark {
	return mark(markVariable + "_POD=" + podUID + "/" + container)
}

// pids lists the live processes that carry the mark. One of another user, or
// one that ended in the meantime, cannot be read and carries none.
func (m mark) pids() ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for variable := range bytes.SplitSeq(environ, []byte{0}) {
			if string(variable) != string(m) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				return nil, err
			}
			found = append(found, pid)
			break
		}
	}
	return found, nil
}

// sweep kills every process that carries the mark. It looks again until there
// is none, as one may have had a child while the list was made.
func (m mark) sweep(ctx context.Context) error {
	for {
		pids, err := m.pids()
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("processes %v outlive SIGKILL: %w", pids, context.Cause(ctx))
		}
	}
}
