package plugin

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxEntries bounds the files of one section.
const maxEntries = 512

// writeTar puts files in a tar archive that depends on their names and contents alone: sorted, with the same owner, mode
// and time for all. No files make no archive.
func writeTar(files map[string][]byte) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := checkName(name); err != nil {
			return nil, err
		}
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o644,
			ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// readTar reads an archive of plain files. The archive is in memory and its section capped, so its files are bounded too.
func readTar(data []byte) (map[string][]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	files := map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if len(files) == 0 {
				return nil, errors.New("the archive holds no file; leave the section out or pack it again with tocsin plugin pack")
			}
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the archive cannot be read; pack it again with tocsin plugin pack: %w", err)
		}
		if err := checkName(h.Name); err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%s: only plain files may be in the archive, no folders and no links", h.Name)
		}
		if _, ok := files[h.Name]; ok {
			return nil, fmt.Errorf("%s: stands twice in the archive", h.Name)
		}
		if len(files) >= maxEntries {
			return nil, fmt.Errorf("the archive has more than %d files", maxEntries)
		}
		if h.Size > int64(len(data)) {
			return nil, fmt.Errorf("%s: claims %d bytes, more than the archive has", h.Name, h.Size)
		}
		if files[h.Name], err = io.ReadAll(io.LimitReader(r, int64(len(data)))); err != nil {
			return nil, fmt.Errorf("%s: the archive is cut short: %w", h.Name, err)
		}
	}
}

// checkName accepts names of one or more plain path elements, which name the same file on every system.
func checkName(name string) error {
	bad := !fs.ValidPath(name) || name == "." || name != path.Clean(name) || len(name) > 100 || !utf8.ValidString(name) ||
		strings.ContainsAny(name, `\:*?"<>|`) || strings.ContainsFunc(name, unicode.IsControl)
	if bad {
		return fmt.Errorf("%q is not a name for a file in a plug-in: use letters, digits, dots, dashes and /, no .., 100 bytes at most", name)
	}
	return nil
}
