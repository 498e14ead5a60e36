// Command shell is the plug-in that runs a script of the scripts folder for each alert. Nothing but this endpoint lives
// here; its manifest, schema, templates and texts are in manifests/shell.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// tempFail is EX_TEMPFAIL of sysexits.h: the script asks to be run again later.
const tempFail = 75

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// render makes one run for each delivery: options are arguments as they stand, no shell reads them, and the alert goes to
// standard input as the host wrote it.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	when := in.Recipient.String("shell_script_execution", "always")
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		released := d.Alert.Action == "release"
		if when == "engage" && released || when == "release" && !released {
			out.Rejected = append(out.Rejected, pdk.Verdict{
				Delivery: d.ID,
				Outcome:  pdk.Skipped,
				Reason:   "shell_script_execution is \"" + when + "\" and the alert's action is " + d.Alert.Action,
			})
			continue
		}
		out.Requests = append(out.Requests, pdk.Request{
			Deliveries: []string{d.ID},
			Exec: &pdk.ExecRequest{
				Script:    in.Endpoint.String("shell_script", ""),
				Args:      in.Recipient.Strings("shell_script_options"),
				Stdin:     string(d.Alert.Raw) + "\n",
				TimeoutMS: in.Recipient.Int("timeout", 0) * 1000,
			},
		})
	}
	return out, nil
}

// probe asks whether the script could be run, without running it: running it may have effects.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{
		Title:   "Is the script there, and may it be run?",
		Request: pdk.Request{Exec: &pdk.ExecRequest{Script: in.Endpoint.String("shell_script", ""), Verify: true}},
	}}}, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

// verdict reads the exit code. A script that failed is not run a second time by itself, because running it may have had
// effects: the alert becomes a dead letter, which can be replayed.
func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	switch e := in.Error; {
	case e == nil:
	case e.Stage == "start", e.Stage == "denied":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: e.Message}
	case e.Stage == "timeout":
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: e.Message}
	default:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: e.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "the script's end is not known"}
	}
	switch code := in.Response.Status; code {
	case 0:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case tempFail:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: ended(code, in.Response)}
	default:
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: ended(code, in.Response)}
	}
}

// ended says how the script ended, with the last line that it wrote to standard error, or else to standard output.
func ended(code int, r *pdk.Response) string {
	said := "the script ended with exit code " + strconv.Itoa(code)
	for _, text := range []string{r.Stderr, r.Body} {
		text = strings.TrimSpace(text)
		if line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]); line != "" {
			return said + ": " + pdk.TruncateRunes(line, 200)
		}
	}
	return said
}
