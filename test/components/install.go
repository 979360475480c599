package components

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// install returns the directory of the module's programs, building them first
// if necessary.
func (m module) install(ctx context.Context, progress io.Writer) (string, error) {
	flags, err := m.flags(ctx)
	if err != nil {
		return "", err
	}
	key, err := m.key(ctx, flags)
	if err != nil {
		return "", err
	}
	return once(key, func(target string) error {
		folder, err := m.folder(ctx)
		if err != nil {
			return err
		}
		for _, p := range m.programs {
			fmt.Fprintf(progress, "building %s, once: about %s on two cores\n", p.name, p.takes)
			began := time.Now()
			args := append([]string{"build"}, flags...)
			if _, err := goCommand(ctx, folder, append(args, "-o", filepath.Join(target, p.name), p.pkg)...); err != nil {
				return err
			}
			fmt.Fprintf(progress, "built %s in %s\n", p.name, time.Since(began).Round(time.Second))
		}
		return nil
	})
}

// once returns a directory of the cache, filled first if it is not there. It
// appears in one step, so that a build that was cut short leaves nothing that
// looks like one.
func once(key string, fill func(target string) error) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, key)
	if present(target) {
		return target, nil
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, key+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another process may have made it while this one waited.
	if present(target) {
		return target, nil
	}
	work, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := fill(work); err != nil {
		return "", err
	}
	return target, os.Rename(work, target)
}

func present(dir string) bool {
	_, err := os.Stat(dir)
	return !errors.Is(err, fs.ErrNotExist)
}

// lock waits for a lock among processes. The kernel lets go of it with the
// process that holds it, however that ends.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}
