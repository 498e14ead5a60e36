package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/plugin/scaffold"
	"github.com/tocsin-net/tocsin/host/report"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// NewPlugin are the flags of `tocsin plugin new`.
type NewPlugin struct {
	Streams
	Language, Name string
	Dir            string // empty: a folder with the plug-in's name
	Clone          string // empty: the clone that the working folder lies in, or that this program was built from
}

// PluginLanguages are the languages that NewPlugin takes.
func PluginLanguages() []string { return scaffold.Languages() }

// Run writes the folder.
func (n NewPlugin) Run() error {
	p := scaffold.Project{Language: n.Language, Name: n.Name, Dir: n.Dir, Clone: n.Clone}
	if p.Dir == "" {
		p.Dir = n.Name
	}
	if p.Clone == "" {
		p.Clone, p.Version = kit()
	}
	files, err := scaffold.Write(p)
	if wrong, ok := errors.AsType[*scaffold.ArgumentError](err); ok {
		return &UsageError{wrong}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(n.Out, "%s: %d files, an endpoint in %s that pushes messages through ntfy; README.md says what is what\n"+
		"next:  tocsin plugin test %s    builds it and runs its test vectors in the sandbox\n"+
		"       tocsin plugin dev %s     shows what it would send, again after each change\n",
		p.Dir, len(files), p.Language, p.Dir, p.Dir)
	return err
}

// release is the version of a tagged release; the go tool makes others up for builds of a clone.
var release = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)

// kit finds what Go plug-ins are built against: a clone, or the release that this program is.
func kit() (clone, version string) {
	if dir, err := build.Root("."); err == nil {
		return dir, ""
	}
	if info, ok := debug.ReadBuildInfo(); ok && release.MatchString(info.Main.Version) {
		return "", info.Main.Version
	}
	// Where this file was when the program was built, unless -trimpath took that out.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		if dir, err := build.Root(filepath.Dir(file)); err == nil {
			return dir, ""
		}
	}
	return "", ""
}

// TestPlugin are the flags of `tocsin plugin test`.
type TestPlugin struct {
	Streams
	Path, Format string
	NoBuild      bool // use a project's module.wasm as it is
}

var vectorColumns = []report.Column{{Name: "vector"}, {Name: "result"}, {Name: "ms", Right: true}, {Name: "what", Max: 90}}

type vectorRow struct {
	Plugin   string  `json:"plugin"`
	Vector   string  `json:"vector"`
	Function string  `json:"function"`
	Name     string  `json:"name"`
	Result   string  `json:"result"` // ok or failed
	MS       float64 `json:"ms"`
	At       string  `json:"at,omitempty"` // the first difference
	Error    string  `json:"error,omitempty"`
	Diff     string  `json:"diff,omitempty"` // unified, from what is wanted to what came
}

// Run builds the plug-in, if Path is an author's folder, and runs its vectors in the sandbox. The error says how many failed.
func (t TestPlugin) Run(ctx context.Context) error {
	terminal := report.Inspect(t.Out)
	format, err := report.ParseFormat(t.Format, terminal.IsTerminal)
	if err != nil {
		return &UsageError{err}
	}
	pkg, err := openPlugin(ctx, t.Path, !t.NoBuild)
	if err != nil {
		return err
	}
	return withEndpoint(ctx, t.Streams, pkg, func(typ *endpoint.Type) error {
		vectors, err := typ.Vectors()
		if err != nil {
			return err
		}
		if len(vectors) == 0 {
			return fmt.Errorf("%s carries no test vectors: put at least one .json file into its folder vectors (pdk/spec/ABI.md tells their form)", t.Path)
		}
		var paint func(int, string) string
		if terminal.Color {
			paint = paintResult
		}
		w := report.NewWriter(t.Out, format, vectorColumns, paint)
		var failed []vectorRow
		for _, v := range vectors {
			row := runVector(ctx, typ, v)
			if row.Result != resultOK {
				failed = append(failed, row)
			}
			if err := w.Row(func(b []byte) []byte { return appendJSON(b, row) }, func() []string {
				return []string{row.Vector, row.Result, fmt.Sprintf("%.1f", row.MS), row.Function + ": " + row.Name}
			}); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		if len(failed) == 0 {
			return nil
		}
		if format == report.Table {
			for _, row := range failed {
				if err := row.explain(t.Streams, terminal.Color); err != nil {
					return err
				}
			}
		}
		return fmt.Errorf("%d of %d test vectors failed", len(failed), len(vectors))
	})
}

const resultOK, resultFailed = "ok", "failed"

func paintResult(col int, cell string) string {
	switch {
	case col != 1:
		return cell
	case strings.TrimSpace(cell) == resultOK:
		return report.Good(true, cell)
	}
	return report.Bad(true, cell)
}

func runVector(ctx context.Context, typ *endpoint.Type, v *spec.Vector) vectorRow {
	start := time.Now()
	err := typ.RunVectors(ctx, []*spec.Vector{v})[v.File]
	row := vectorRow{
		Plugin: typ.Manifest().Name, Vector: v.File, Function: v.Function, Name: v.Name, Result: resultOK,
		MS: float64(time.Since(start).Microseconds()) / 1000,
	}
	if err == nil {
		return row
	}
	row.Result = resultFailed
	if m, ok := errors.AsType[*spec.Mismatch](err); ok {
		row.At, row.Error = m.At, "the output differs at "+m.At
		row.Diff = string(diff.Diff("want", []byte(m.Want+"\n"), "got", []byte(m.Got+"\n")))
	} else {
		row.Error = strings.TrimPrefix(err.Error(), v.File+": ")
	}
	return row
}

// explain prints why a vector failed.
func (r *vectorRow) explain(s Streams, color bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", report.Bold(color, r.Vector), r.Error)
	for line := range strings.Lines(r.Diff) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "diff "):
			continue
		case line[0] == '+':
			text = report.Bad(color, text)
		case line[0] == '-':
			text = report.Good(color, text)
		}
		b.WriteString(text + "\n")
	}
	_, err := fmt.Fprint(s.Out, b.String())
	return err
}

// openPlugin opens a package, a development folder, or an author's folder, which is built first if that is wanted. All that
// is wrong with it is in the error.
func openPlugin(ctx context.Context, path string, fresh bool) (*plugin.Package, error) {
	if err := there(path); err != nil {
		return nil, err
	}
	if !scaffold.IsProject(path) {
		return plugin.Load(path)
	}
	if fresh {
		if err := scaffold.Build(ctx, path); err != nil {
			return nil, err
		}
	}
	p, err := scaffold.Pack(path)
	if err != nil {
		return nil, err
	}
	bad := &plugin.Invalid{Name: p.Path}
	for _, problem := range p.Check() {
		if !problem.Warning {
			bad.Problems = append(bad.Problems, problem)
		}
	}
	if len(bad.Problems) > 0 {
		return nil, bad
	}
	return p, nil
}

// checkPlugin lists all that is wrong with a package, a development folder, or an author's folder as it was built last.
func checkPlugin(path string) []plugin.Problem {
	if scaffold.IsProject(path) {
		return scaffold.Check(path)
	}
	_, problems := plugin.CheckFile(path)
	return problems
}

// withEndpoint compiles an endpoint's module for the time of f. What the guest logs goes to standard error.
func withEndpoint(ctx context.Context, s Streams, pkg *plugin.Package, f func(*endpoint.Type) error) (err error) {
	rt, err := sandbox.New(sandbox.Options{Log: guestLog(s)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close(context.WithoutCancel(ctx))) }()
	typ, err := endpoint.Load(ctx, rt, pkg)
	if err != nil {
		return err
	}
	return f(typ)
}
