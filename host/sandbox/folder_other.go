//go:build !unix

package sandbox

import (
	"fmt"
	"io/fs"
)

// ownFolder leaves access to the system's own rules where files have no Unix mode.
func ownFolder(dir string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("the cache folder %s is a file: remove it, or name another folder", dir)
	}
	return nil
}
