package egress

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxSecretFile bounds a file that a reference names: whatever is larger is not a secret but a mistake.
const maxSecretFile = 64 << 10

// ErrReference is what every error of Resolve wraps.
var ErrReference = errors.New("secret reference")

// Resolve reads a parameter's value: "file:PATH" is the content of a file (relative to dir) without its last line break,
// "env:NAME" an environment variable, and everything else stands for itself. A value that itself begins with "file:" or
// "env:" has to be put into a file. "secret:NAME" is not for here: package app asks package secret. Errors name the reference
// and never the content.
//
// A file that others may write is refused. One that others may read is not: container secrets are mounted so.
func Resolve(ref, dir string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		v, set := os.LookupEnv(name)
		switch {
		case name == "":
			return "", fmt.Errorf("%w %q names no environment variable: write env:NAME", ErrReference, ref)
		case !set:
			return "", fmt.Errorf("%w %q: the environment variable %s is not set: set it where tocsin is started", ErrReference, ref, name)
		case v == "":
			return "", fmt.Errorf("%w %q: the environment variable %s is empty", ErrReference, ref, name)
		}
		return v, nil
	}
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return ref, nil
	}
	if path == "" {
		return "", fmt.Errorf("%w %q names no file: write file:PATH", ErrReference, ref)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	v, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("%w %q: %w", ErrReference, ref, err)
	}
	return v, nil
}

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s does not exist: create it, or correct the path", path)
	case err != nil:
		return "", err
	case !info.Mode().IsRegular(): // a pipe would block, a folder has no content
		return "", fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxSecretFile:
		return "", fmt.Errorf("%s has %d bytes, a secret at most %d: is this the right file?", path, info.Size(), maxSecretFile)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0:
		return "", fmt.Errorf("%s may be written by every user: run chmod o-w on it", path)
	}
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return "", fmt.Errorf("%w: let the user that runs tocsin read it", err)
		}
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case v == "":
		return "", fmt.Errorf("%s is empty", path)
	case len(b) > maxSecretFile:
		return "", fmt.Errorf("%s has more than %d bytes: is this the right file?", path, maxSecretFile)
	}
	return v, nil
}
