package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/scaffold"
)

// PluginForm are the flags of `tocsin plugin form`.
type PluginForm struct {
	Streams
	Path string
	Part string   // endpoint or recipient
	Lang string   // a language such as "it"
	Set  []string // NAME=VALUE
	File string   // empty: standard output
}

// FormParts are the values that PluginForm.Part can have.
func FormParts() []string { return []string{"endpoint", "recipient"} }

// PluginLanguagesOf lists the languages of a package, for completion; nil if it cannot be read.
func PluginLanguagesOf(path string) []string {
	p, err := unbuilt(path)
	if err != nil {
		return nil
	}
	return p.Languages()
}

// Run writes the page. What is wrong with the given values is shown in it and told on standard error, as it is no failure.
func (f PluginForm) Run() error {
	if !slices.Contains(FormParts(), f.Part) {
		return usage("%s", unlike("form", f.Part, FormParts()))
	}
	if err := knownLanguage("--lang", f.Lang); err != nil {
		return err
	}
	pkg, err := unbuilt(f.Path)
	if err != nil {
		return err
	}
	in := plugin.FormInput{Locale: f.Lang}
	if len(f.Set) > 0 {
		values, err := f.values(pkg)
		if err != nil {
			return err
		}
		in.Values, in.Problems = pkg.ParseForm(f.Part, f.Lang, values, nil)
		for _, p := range in.Problems {
			_, _ = fmt.Fprintf(f.Err, "%s: %s\n", f.Part, p.Named())
		}
	}
	page, err := pkg.Page(f.Part, in)
	if err != nil {
		return err
	}
	if f.File == "" {
		_, err = f.Out.Write(page)
		return err
	}
	if err := writeOut(f.File, page); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f.Out, "%s: the %s form of %s; open it in a browser\n", f.File, f.Part, pkg.Name())
	return err
}

// values reads --set as what a browser would send.
func (f PluginForm) values(pkg *plugin.Package) (url.Values, error) {
	form := url.Values{}
	var known []string
	for _, field := range pkg.Lint.Fields() {
		if field.Part == f.Part {
			known = append(known, field.Name)
		}
	}
	for _, set := range f.Set {
		name, value, ok := strings.Cut(set, "=")
		name = strings.TrimPrefix(name, f.Part+".")
		if !ok {
			return nil, usage("--set %s: write NAME=VALUE", set)
		}
		if !slices.Contains(known, name) {
			return nil, usage("--set %s: %s", set, unlike("parameter of the "+f.Part, name, known))
		}
		path := f.Part + "." + name
		if old := form.Get(path); old != "" { // again: the next line of a list
			value = old + "\n" + value
		}
		form.Set(path, value)
	}
	return form, nil
}

// unlike says that a name is unknown, with the nearest one or all.
func unlike(what, name string, known []string) string {
	text := fmt.Sprintf("there is no %s %q", what, name)
	if near := strict.Nearest(name, known); near != "" {
		return text + fmt.Sprintf("; did you mean %q?", near)
	}
	if len(known) == 0 {
		return text + ", nor any other"
	}
	return text + "; there are " + strings.Join(known, ", ")
}

func knownLanguage(flag, lang string) error {
	if _, err := language.Parse(lang); err != nil {
		return usage("%s %s: this is no language; write its tag, such as en, it or pt-BR", flag, lang)
	}
	return nil
}

// unbuilt opens a package, or a folder with a manifest, whose module need not be there: nothing is going to run.
func unbuilt(path string) (*plugin.Package, error) {
	dir := path
	if scaffold.IsProject(path) {
		dir = filepath.Join(path, "manifest")
	}
	if err := there(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return plugin.Open(path)
	}
	return plugin.OpenDir(dir, nil)
}

// there tells of a plug-in's file or folder that does not exist.
func there(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return usage("%s does not exist: name a plug-in's file or folder", path)
	}
	return nil
}
