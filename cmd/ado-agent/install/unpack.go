package install

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// unpack reads a zip or a tar.gz into a new folder. Nothing gets outside of it:
// os.Root refuses names that lead there, by links too.
func unpack(archive, folder string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // jobs may run as another user
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	to := &unpacker{root: root, left: maxUnpacked, entries: maxEntries}
	reader := bufio.NewReader(file)
	if magic, _ := reader.Peek(2); bytes.Equal(magic, []byte("PK")) {
		err = to.zip(file)
	} else {
		err = to.tar(reader)
	}
	if err != nil {
		return err
	}
	return to.checkLinks()
}

type unpacker struct {
	root    *os.Root
	left    int64 // bytes that may still come
	entries int
}

// checkLinks refuses links that lead out of the folder once all others are in
// place: a link may stay inside by its text, and not by way of another one.
func (u *unpacker) checkLinks() error {
	return fs.WalkDir(u.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if _, err := u.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the link %s points outside of the folder", name)
		}
		return nil
	})
}

func (u *unpacker) tar(from io.Reader) error {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return err
	}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// The checksum of the whole is behind the last entry.
			_, err = io.Copy(io.Discard, io.LimitReader(unzipped, maxUnpacked))
			return err
		}
		if err != nil {
			return err
		}
		if err := u.entry(header.Name); err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = u.root.MkdirAll(path.Clean(header.Name), 0o755)
		case tar.TypeReg:
			err = u.file(header.Name, header.FileInfo().Mode(), archive)
		case tar.TypeSymlink:
			err = u.symlink(header.Name, header.Linkname)
		case tar.TypeLink:
			err = u.root.Link(path.Clean(header.Linkname), path.Clean(header.Name))
		case tar.TypeXGlobalHeader:
		default:
			err = fmt.Errorf("%s is neither a file nor a folder nor a link", header.Name)
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) zip(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return err
	}
	for _, entry := range archive.File {
		if err := u.entry(entry.Name); err != nil {
			return err
		}
		if entry.FileInfo().IsDir() {
			if err := u.root.MkdirAll(path.Clean(entry.Name), 0o755); err != nil {
				return err
			}
			continue
		}
		if err := u.zipped(entry); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(entry *zip.File) error {
	if !entry.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", entry.Name)
	}
	from, err := entry.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	return u.file(entry.Name, entry.Mode(), from)
}

func (u *unpacker) entry(name string) error {
	u.entries--
	if u.entries < 0 {
		return fmt.Errorf("it holds more than %d entries", maxEntries)
	}
	if !fs.ValidPath(path.Clean(name)) {
		return fmt.Errorf("the entry %q is outside of the folder", name)
	}
	return nil
}

func (u *unpacker) file(name string, mode fs.FileMode, from io.Reader) error {
	name = path.Clean(name)
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	out, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm()|0o600)
	if err != nil {
		return err
	}
	size, err := io.Copy(out, io.LimitReader(from, u.left+1))
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	u.left -= size
	if u.left < 0 {
		return fmt.Errorf("it unpacks to more than %d MiB", maxUnpacked>>20)
	}
	return nil
}

// symlink makes one that stays in the folder.
func (u *unpacker) symlink(name, to string) error {
	name = path.Clean(name)
	if path.IsAbs(to) || !fs.ValidPath(path.Join(path.Dir(name), to)) {
		return fmt.Errorf("the link %s points outside of the folder", name)
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return u.root.Symlink(to, name)
}
