package deliver

import (
	"errors"
	"fmt"
	"strings"
)

// A plug-in that passes alerts on as they are is given stand-ins, which the host replaces in what it rendered: see
// plugin.Message.PassAlerts. A stand-in is a JSON object, so that it can stand wherever an alert can.
const standInHead, standInTail = `{"tocsin_alert":"`, `"}`

func standIn(delivery string) string { return standInHead + delivery + standInTail }

// stoodFor tells whether a delivery was given to the plug-in as a stand-in.
func (it *item) stoodFor() bool {
	raw := it.in.Alert.Raw
	return len(raw) == len(standInHead)+len(it.in.ID)+len(standInTail) && strings.HasPrefix(string(raw), standInHead)
}

// putAlerts puts the alerts of a job in the places of their stand-ins: in the body of an HTTP request, or in what a script
// reads. Each has to be there exactly once, or another version of the plug-in rendered this than the one it was meant for.
func putAlerts(j *job) error {
	of := make(map[string]*item, len(j.items))
	size := 0
	for _, it := range j.items {
		if it.stoodFor() {
			of[it.in.ID] = it
			size += len(it.Alert)
		}
	}
	if len(of) == 0 {
		return nil
	}
	var text *string
	switch {
	case j.request.HTTP != nil:
		text = &j.request.HTTP.Body
	case j.request.Exec != nil:
		text = &j.request.Exec.Stdin
	default:
		return errors.New("the request has no body that could hold the alerts which pass_alerts promises")
	}
	var b strings.Builder
	b.Grow(len(*text) + size)
	rest := *text
	for {
		before, after, found := strings.Cut(rest, standInHead)
		b.WriteString(before)
		if !found {
			break
		}
		id, after, found := strings.Cut(after, standInTail)
		it := of[id]
		if !found || it == nil {
			return errors.New("the request holds a stand-in of no alert in it, or the same one twice")
		}
		delete(of, id)
		b.Write(it.Alert)
		rest = after
	}
	if len(of) > 0 {
		return fmt.Errorf("the request lacks %d of the alerts that pass_alerts promises", len(of))
	}
	*text = b.String()
	return nil
}
