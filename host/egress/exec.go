package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	maxArgs     = 256
	maxArgBytes = 64 << 10
)

// doExec runs a script of the scripts folder: no shell, a process group of its own, little environment, capped output.
func (x *Executor) doExec(ctx context.Context, r *pdk.ExecRequest, p *Policy) (*pdk.Response, *pdk.TransportError) {
	if !p.Exec {
		return nil, denied("this endpoint may not run scripts")
	}
	if terr := x.checkExec(r, p.Secrets); terr != nil {
		return nil, terr
	}
	path, err := x.findScript(r.Script)
	if err != nil {
		return nil, &pdk.TransportError{Stage: StageStart, Message: err.Error()}
	}
	if r.Verify {
		if !hasInterpreter(path) {
			return nil, &pdk.TransportError{Stage: StageStart, Message: startMessage(r.Script, fs.ErrNotExist)}
		}
		return &pdk.Response{Status: 0}, nil
	}
	stdin, _ := p.Secrets.replace(r.Stdin, bodyEscape("", r.Stdin))
	timeout := p.Timeout
	if r.TimeoutMS > 0 {
		timeout = time.Duration(min(r.TimeoutMS, maxScriptTime.Milliseconds())) * time.Millisecond
	}
	run, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var cmd *exec.Cmd
	var stdout, stderr *capped
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		stdout, stderr = &capped{max: p.MaxResponse}, &capped{max: p.MaxResponse}
		cmd = exec.CommandContext(run, path, r.Args...)
		cmd.Dir, cmd.Env = filepath.Dir(path), environment()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), stdout, stderr
		cmd.WaitDelay = time.Second // for pipes that a child in the background keeps open
		ownGroup(cmd)
		err = cmd.Start()
		// A file that was written a moment ago is "busy" while any child, forked at that moment, still holds it.
		if err == nil || !isBusy(err) || wait > 200*time.Millisecond {
			break
		}
		select {
		case <-run.Done():
		case <-time.After(wait):
		}
	}
	if err != nil {
		return nil, &pdk.TransportError{Stage: StageStart, Message: startMessage(r.Script, err)}
	}
	start := time.Now()
	err = cmd.Wait()
	x.opt.Log.DebugContext(ctx, "script ended", "script", r.Script, "state", cmd.ProcessState.String(), "took", time.Since(start))
	switch {
	case run.Err() != nil && !cmd.ProcessState.Success() && ctx.Err() != nil:
		return nil, &pdk.TransportError{Stage: StageRead, Ambiguous: true, Message: fmt.Sprintf("script %s was stopped before it ended", r.Script)}
	case run.Err() != nil && !cmd.ProcessState.Success():
		return nil, &pdk.TransportError{
			Stage: StageTimeout, Ambiguous: true,
			Message: fmt.Sprintf("script %s was still running after %s and was killed: make it faster, or raise its timeout", r.Script, timeout),
		}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, &pdk.TransportError{Stage: StageRead, Ambiguous: true, Message: fmt.Sprintf("script %s: %v", r.Script, err)}
	}
	return &pdk.Response{
		Status: exitStatus(cmd.ProcessState), Body: stdout.String(), Stderr: stderr.String(),
		Truncated: stdout.over || stderr.over,
	}, nil
}

func (x *Executor) checkExec(r *pdk.ExecRequest, s *Secrets) *pdk.TransportError {
	total := 0
	for i, a := range r.Args {
		if strings.ContainsRune(a, 0) {
			return invalid("argument %d of the script has a NUL character", i+1)
		}
		if _, secret := s.replace(a, func(v string) string { return v }); secret {
			return denied("argument %d of the script is a secret, which every user of this machine could see: pass it on standard input", i+1)
		}
		total += len(a)
	}
	if len(r.Args) > maxArgs || total > maxArgBytes {
		return invalid("the script has %d arguments of %d bytes in all; at most %d of %d are passed", len(r.Args), total, maxArgs, maxArgBytes)
	}
	if int64(len(r.Stdin)) > x.opt.MaxBody {
		return invalid("the script's input has %d bytes; at most %d are passed", len(r.Stdin), x.opt.MaxBody)
	}
	return nil
}

// findScript gives the path of a script that may be run. Its errors say what to do.
func (x *Executor) findScript(name string) (string, error) {
	switch {
	case x.opt.ScriptsDir == "":
		return "", errors.New("no scripts folder is configured: set scripts in the section egress of tocsin.toml")
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\:\x00") || strings.HasPrefix(name, "-"):
		return "", fmt.Errorf("%q is not the name of a script: write the name of a file in the scripts folder, without a path", name)
	}
	dir, err := filepath.Abs(x.opt.ScriptsDir)
	if err != nil {
		return "", fmt.Errorf("scripts folder %s: %w", x.opt.ScriptsDir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("the scripts folder %s does not exist: create it and put %s into it", dir, name)
		}
		return "", fmt.Errorf("the scripts folder %s cannot be read: %w", dir, err)
	}
	defer root.Close()
	// The script is started by its path, as many look for their own folder in $0. Between this look and the start only those
	// can change it who may write to the folder, and they can put any script there; so that is whom it depends on.
	if info, err := root.Stat("."); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0 {
		return "", fmt.Errorf("the scripts folder %s may be changed by every user: run chmod o-w %s", dir, dir)
	}
	info, err := root.Stat(name) // follows a link within the folder and refuses one that leads out
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no script %s in the scripts folder %s", name, dir)
	case err != nil:
		if l, lerr := root.Lstat(name); lerr == nil && l.Mode()&fs.ModeSymlink != 0 {
			return "", fmt.Errorf("script %s is a link that leads out of the scripts folder %s: put the file itself there", name, dir)
		}
		return "", fmt.Errorf("script %s in %s: %w", name, dir, err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("script %s in %s is not a regular file", name, dir)
	}
	path := filepath.Join(dir, name)
	if runtime.GOOS == "windows" {
		switch ext := strings.ToLower(filepath.Ext(name)); ext {
		case ".exe", ".com":
		default:
			return "", fmt.Errorf("script %s: on Windows only .exe and .com files are run, as arguments cannot be passed safely to others", path)
		}
		return path, nil
	}
	if info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("script %s is not executable: run chmod +x %s", name, path)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return "", fmt.Errorf("script %s may be changed by every user: run chmod o-w %s", name, path)
	}
	return path, nil
}

// hasInterpreter reports false for a script whose first line names an interpreter that is not there. Of programs of other
// kinds nothing is known before they are started.
func hasInterpreter(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true // a program may be executable and not readable
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 256)) // what Linux reads of it
	line, _, _ := strings.Cut(string(b), "\n")
	line, ok := strings.CutPrefix(line, "#!")
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if !ok || len(fields) == 0 {
		return true
	}
	_, err = os.Stat(fields[0])
	return !errors.Is(err, fs.ErrNotExist)
}

func startMessage(script string, err error) string {
	switch {
	case isNoExec(err):
		return fmt.Sprintf("script %s cannot be started: its first line must name an interpreter, such as #!/bin/sh", script)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("script %s cannot be started: the interpreter in its first line does not exist (or the line ends in a carriage return)", script)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("script %s cannot be started: the user that runs tocsin may not execute it, or its file system is mounted noexec", script)
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Sprintf("script %s cannot be started: %v", script, err)
}

// environment is all that a script gets of tocsin's own, which may hold secrets.
func environment() []string {
	env := []string{"LANG=C.UTF-8"}
	keep := []string{"PATH", "TZ", "TMPDIR"}
	if runtime.GOOS == "windows" {
		keep = []string{"PATH", "PATHEXT", "SystemRoot", "TEMP", "TMP"}
	}
	for _, name := range keep {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// capped keeps the first max bytes and lets the rest pass, so that a script that writes much does not block.
type capped struct {
	buf  []byte
	max  int64
	over bool
}

func (c *capped) Write(b []byte) (int, error) {
	room := max(0, min(int64(len(b)), c.max-int64(len(c.buf))))
	c.buf = append(c.buf, b[:room]...)
	c.over = c.over || room < int64(len(b))
	return len(b), nil
}

func (c *capped) String() string { return string(c.buf) }
