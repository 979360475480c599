package pair

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
)

// socketName is the socket's in the folder that the containers share.
const socketName = "keeper.sock"

// Listen opens the keeper's socket in a folder, in place of an earlier keeper's.
func Listen(folder string) (net.Listener, error) {
	if err := os.RemoveAll(filepath.Join(folder, socketName)); err != nil {
		return nil, fmt.Errorf("remove an earlier socket: %w", err)
	}
	var listener net.Listener
	err := within(folder, func(path string) (err error) {
		var config net.ListenConfig
		listener, err = config.Listen(context.Background(), "unix", path)
		if err == nil {
			// The runner may be another user.
			err = os.Chmod(path, 0o666) //nolint:gosec // the folder is the pod's
		}
		return err
	})
	if err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return nil, fmt.Errorf("open the socket for the runner: %w", err)
	}
	return listener, nil
}

// Dial connects to the keeper's socket in a folder.
func Dial(ctx context.Context, folder string) (conn net.Conn, err error) {
	err = within(folder, func(path string) (err error) {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, "unix", path)
		return err
	})
	return conn, err
}

// within calls do with the socket's path. Addresses of sockets are short, paths of
// volumes may be long: on Linux the folder is named by a descriptor.
func within(folder string, do func(path string) error) error {
	if runtime.GOOS != "linux" {
		return do(filepath.Join(folder, socketName))
	}
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer opened.Close()
	return do(fmt.Sprintf("/proc/self/fd/%d/%s", opened.Fd(), socketName))
}
