package sdkexamples

import (
	"embed"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// The files are listed one by one, so that what a build leaves beside them is not taken along.
//
//go:embed manifest/manifest.toml manifest/lint.schema.json manifest/templates/*.tmpl manifest/locales/*.toml vectors/*.json
//go:embed go/build.sh go/main.go go/main_test.go
//go:embed c/build.sh c/endpoint.c c/extism-pdk.h c/json.h
//go:embed assemblyscript/build.sh assemblyscript/package.json assemblyscript/package-lock.json assemblyscript/assembly/*.ts
//go:embed rust/build.sh rust/Cargo.toml rust/Cargo.lock rust/src/lib.rs
var files embed.FS

// Languages are the languages that the example is written in.
func Languages() []string { return []string{"go", "c", "assemblyscript", "rust"} }

// Files are the files of the example in a language, by their slash-separated paths in an author's folder: the source at the
// top, what goes into the package in manifest/.
func Files(language string) (map[string][]byte, error) {
	if !slices.Contains(Languages(), language) {
		return nil, errors.New("there is no example in " + language)
	}
	all := map[string][]byte{}
	for from, to := range map[string]string{language: "", "manifest": "manifest", "vectors": "manifest/vectors"} {
		err := fs.WalkDir(files, from, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := files.ReadFile(name)
			all[path.Join(to, strings.TrimPrefix(name, from+"/"))] = b
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
