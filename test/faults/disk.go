package faults

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is the file system of the agents' folders.
func (t *Trial) disk() string { return filepath.Join(t.dir, "disk") }

// mount makes the disk, where the fault needs one.
func (t *Trial) mount(context.Context) (end func() error, err error) {
	if !t.setup.Disk {
		return nil, nil //nolint:nilnil // nothing to do, and nothing wrong
	}
	if err := os.MkdirAll(t.disk(), 0o750); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", t.disk(), "tmpfs", 0, "size=64m"); err != nil {
		return nil, err
	}
	return func() error { return unix.Unmount(t.disk(), unix.MNT_DETACH) }, nil
}

// fillDisk leaves no byte to write.
func fillDisk(_ context.Context, t *Trial) (func(context.Context) error, error) {
	ballast := filepath.Join(t.disk(), "ballast")
	file, err := os.Create(ballast)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(file, zeros{})
	if errors.Is(err, unix.ENOSPC) {
		err = nil
	}
	return func(context.Context) error { return os.Remove(ballast) }, errors.Join(err, file.Close())
}

// zeros are bytes without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
