package components

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// installation says from where to where a module is built.
type installation struct {
	source, cache string
	progress      io.Writer
}

// install returns the directory of the module's programs, building them first
// if need be.
func (m module) install(ctx context.Context, in installation) (string, error) {
	flags, err := m.flags(ctx, in.source)
	if err != nil {
		return "", err
	}
	key, err := m.key(ctx, in.source, flags)
	if err != nil {
		return "", err
	}
	target := filepath.Join(in.cache, key)
	if present(target) {
		return target, nil
	}
	if err := os.MkdirAll(in.cache, 0o750); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(in.cache, key+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another process may have built it while this one waited.
	if present(target) {
		return target, nil
	}
	return target, m.build(ctx, in, buildOrder{flags: flags, target: target})
}

type buildOrder struct {
	flags  []string
	target string
}

// build makes the target in one step at its end, so that a build that was cut
// short leaves nothing that looks like one.
func (m module) build(ctx context.Context, in installation, order buildOrder) error {
	work, err := os.MkdirTemp(in.cache, "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, p := range m.programs {
		fmt.Fprintf(in.progress, "building %s, once: about %s on two cores, all of them about 15\n", p.name, p.takes)
		began := time.Now()
		args := append([]string{"build"}, order.flags...)
		if _, err := goCommand(ctx, in.source, append(args, "-o", filepath.Join(work, p.name), p.pkg)...); err != nil {
			return err
		}
		fmt.Fprintf(in.progress, "built %s in %s\n", p.name, time.Since(began).Round(time.Second))
	}
	if m.crds != "" {
		if err := m.copyCRDs(ctx, in.source, filepath.Join(work, crdFolder)); err != nil {
			return err
		}
	}
	return os.Rename(work, order.target)
}

// copyCRDs puts the CRDs beside the program, so that a cache that was restored
// needs no module to be downloaded.
func (m module) copyCRDs(ctx context.Context, source, target string) error {
	out, err := goCommand(ctx, source, "mod", "download", "-json", m.crds)
	if err != nil {
		return err
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &downloaded); err != nil {
		return fmt.Errorf("find the folder of %s: %w", m.crds, err)
	}
	return os.CopyFS(target, os.DirFS(filepath.Join(downloaded.Dir, m.crdPath)))
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
