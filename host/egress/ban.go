package egress

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	maxBanned = 1000 // addresses in one request
	// exitUsage is EX_USAGE of sysexits.h: no address was left, so fail2ban was not asked.
	exitUsage = 64
)

// jailName is what a jail may be called: a section of jail.conf that cannot be taken for an option.
var jailName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// doBan has fail2ban ban or unban addresses, by its client: the socket speaks Python's pickle, which is no protocol for others.
func (x *Executor) doBan(ctx context.Context, r *pdk.BanRequest, p *Policy) (*pdk.Response, *pdk.TransportError) {
	if !p.Ban {
		return nil, denied("this endpoint may not ban addresses: the manifest must ask for it with [ban], and tocsin plugin grant must allow it")
	}
	var actions [][]string
	switch r.Action {
	case "ban", "unban":
		if !jailName.MatchString(r.Jail) {
			return nil, invalid("%q is not the name of a jail: it has letters, digits, _, - and . only", pdk.TruncateBytes(r.Jail, 80))
		}
		actions = [][]string{{"set", r.Jail, r.Action + "ip"}}
	case "verify":
		actions = [][]string{{"ping"}}
		if r.Jail != "" {
			if !jailName.MatchString(r.Jail) {
				return nil, invalid("%q is not the name of a jail: it has letters, digits, _, - and . only", pdk.TruncateBytes(r.Jail, 80))
			}
			actions = append(actions, []string{"status", r.Jail})
		}
	default:
		return nil, invalid("the action %q is none of ban, unban and verify", pdk.TruncateBytes(r.Action, 40))
	}
	if terr := noBanSecrets(r, p.Secrets); terr != nil {
		return nil, terr
	}
	var parts []pdk.Part
	if r.Action != "verify" {
		var addresses []string
		var terr *pdk.TransportError
		if parts, addresses, terr = x.banParts(r); terr != nil {
			return nil, terr
		}
		if len(addresses) == 0 {
			return &pdk.Response{Status: exitUsage, Stderr: "no address is left to " + r.Action + "; the parts say why", Parts: parts}, nil
		}
		actions[0] = append(actions[0], addresses...)
	}
	path, terr := x.fail2ban()
	if terr != nil {
		return nil, terr
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	var out *pdk.Response
	for _, args := range actions {
		if out, terr = x.runFail2ban(ctx, path, args, p); terr != nil || out.Status != 0 {
			break
		}
	}
	if terr != nil {
		return nil, terr
	}
	reason := ""
	if out.Status != 0 {
		var problem string
		reason, problem = fail2banReason(out.Body, out.Stderr)
		switch problem {
		case "no_server":
			reason = "the fail2ban server does not answer; does it run, and is its socket right? (" + reason + ")"
		case "no_permission":
			reason = "tocsin may not use fail2ban's socket; run it as root, or let its user reach the socket (" + reason + ")"
		}
		out.Headers = map[string]string{"problem": problem, "reason": oneLine(reason)}
	}
	for i := range parts {
		if parts[i].OK && out.Status != 0 {
			parts[i].OK, parts[i].Message = false, reason
		}
	}
	out.Parts = parts
	return out, nil
}

func noBanSecrets(r *pdk.BanRequest, s *Secrets) *pdk.TransportError {
	for _, v := range append(append([]string{r.Jail}, r.Addresses...), r.NeverBan...) {
		if _, found := s.replace(v, func(string) string { return "" }); found {
			return invalid("a request to ban holds a secret's placeholder, which every user of this machine could see")
		}
	}
	return nil
}

// banParts checks each address. Those that are left are in their usual form, without repeats.
func (x *Executor) banParts(r *pdk.BanRequest) (parts []pdk.Part, left []string, terr *pdk.TransportError) {
	if len(r.Addresses) > maxBanned {
		return nil, nil, invalid("there are %d addresses; at most %d are possible", len(r.Addresses), maxBanned)
	}
	n, err := x.neverBan(r)
	if err != nil {
		return nil, nil, denied("%v", err)
	}
	seen := map[string]bool{}
	for _, text := range r.Addresses {
		part := pdk.Part{Name: pdk.TruncateBytes(text, 80), OK: true}
		a, err := banAddress(text)
		if err == nil && r.Action == "ban" {
			err = n.check(a)
		}
		switch {
		case err != nil:
			part.OK, part.Message = false, err.Error()
		case !seen[a.String()]:
			seen[a.String()] = true
			left = append(left, a.String())
		}
		parts = append(parts, part)
	}
	return parts, left, nil
}

// fail2ban finds fail2ban-client.
func (x *Executor) fail2ban() (string, *pdk.TransportError) {
	name := x.opt.Fail2ban
	if name == "" {
		name = "fail2ban-client"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &pdk.TransportError{
			Stage:   StageStart,
			Message: fmt.Sprintf("%s cannot be run (%s): install fail2ban, or set fail2ban in the section egress of tocsin.toml to the path of fail2ban-client", name, lookError(err)),
		}
	}
	return path, nil
}

func lookError(err error) string {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		return "it may not be executed"
	}
	return plain(err)
}

func (x *Executor) runFail2ban(ctx context.Context, path string, args []string, p *Policy) (*pdk.Response, *pdk.TransportError) {
	if x.opt.Fail2banSocket != "" {
		args = append([]string{"-s", x.opt.Fail2banSocket}, args...)
	}
	stdout, stderr := &capped{max: p.MaxResponse}, &capped{max: p.MaxResponse}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = "/", environment()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	start := time.Now()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		p.Trace.Step(StepConnect, path, time.Since(start), err)
		return nil, &pdk.TransportError{Stage: StageStart, Message: fmt.Sprintf("%s cannot be started: %s", path, lookError(err))}
	}
	status := exitStatus(cmd.ProcessState)
	p.Trace.Step(StepAnswer, "exit code "+strconv.Itoa(status), time.Since(start), nil)
	x.opt.Log.DebugContext(ctx, "fail2ban-client ended", "state", cmd.ProcessState.String(), "took", time.Since(start))
	// To ban and to unban twice is harmless, so none of this is ambiguous in what matters.
	switch {
	case ctx.Err() != nil && status != 0 && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &pdk.TransportError{Stage: StageTimeout, Message: fmt.Sprintf("fail2ban-client did not end within %s and was stopped; is the fail2ban server stuck?", p.Timeout)}
	case ctx.Err() != nil && status != 0:
		return nil, &pdk.TransportError{Stage: StageRead, Message: "fail2ban-client was stopped before it ended"}
	}
	return &pdk.Response{
		Status: status, Body: strings.TrimRight(stdout.String(), "\n"), Stderr: strings.TrimRight(stderr.String(), "\n"),
		Truncated: stdout.over || stderr.over,
	}, nil
}

// logPrefix is what fail2ban's log puts before a message.
var logPrefix = regexp.MustCompile(`^[0-9-]+ [0-9:,]+ fail2ban\S*\s*\[[0-9]+\]:?\s*[A-Z]+\s*`)

// fail2banReason draws from a client's output why it failed, and a word for it that classify can compare: no_jail, no_server,
// no_permission, or nothing.
func fail2banReason(stdout, stderr string) (reason, problem string) {
	for _, text := range []string{stdout, stderr} {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(logPrefix.ReplaceAllString(strings.TrimSpace(line), ""))
			if line != "" && !strings.HasPrefix(line, "NOK:") {
				reason = line
			}
		}
		if reason != "" {
			break
		}
	}
	low := strings.ToLower(stdout + "\n" + stderr)
	switch {
	case strings.Contains(low, "permission denied"):
		problem = "no_permission"
	case strings.Contains(low, "is fail2ban running"), strings.Contains(low, "failed to access socket"), strings.Contains(low, "connection refused"):
		problem = "no_server"
	case strings.Contains(low, "does not exist") && strings.Contains(low, "jail"), strings.Contains(low, "unknownjail"):
		problem = "no_jail"
	}
	if reason == "" {
		reason = "fail2ban-client gave no reason"
	}
	return pdk.TruncateBytes(reason, maxPartMessage), problem
}
