package plugin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/recipe"
)

// A plug-in without code of its own has a [request] table in its manifest. Pack copies the table, as JSON, into the slot of the
// module that all such plug-ins share (plugins/recipe), so that a packed plug-in is a module as every other is and the host runs it
// without knowing of the table.
const (
	slotMark = "tocsin-recipe-slot-1\n"
	slotSize = 32 << 10 // with the mark
	slotFill = '.'
)

// slotOf finds the slot of a module: its room behind the mark, as a part of wasm. Nil: it has none.
func slotOf(wasm []byte) []byte {
	i := bytes.Index(wasm, []byte(slotMark))
	if i < 0 || len(wasm)-i < slotSize {
		return nil
	}
	return wasm[i+len(slotMark) : i+slotSize]
}

// fillSlot writes a table into a slot; nil empties it. What does not fit is an error.
func fillSlot(slot []byte, table map[string]any) error {
	var text []byte
	if table != nil {
		text = pdk.AppendJSON(nil, plainTable(table))
	}
	if len(text) >= len(slot) {
		return fmt.Errorf("%s: [request] has %d bytes as JSON; the most is %d", fileManifest, len(text), len(slot)-1)
	}
	n := copy(slot, text)
	for i := n; i < len(slot); i++ {
		slot[i] = slotFill
		if (i+len(slotMark)+1)%128 == 0 || i == len(slot)-1 {
			slot[i] = '\n'
		}
	}
	return nil
}

// plainTable is a table with the types that pdk.AppendJSON knows: TOML's lists of tables are lists.
func plainTable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plainTable(e)
		}
		return m
	case []map[string]any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = plainTable(e)
		}
		return list
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = plainTable(e)
		}
		return list
	}
	return v
}

// checkRecipe finds what is wrong with the [request] table, and with what stands around it.
func (c *manifestCheck) recipe() {
	m := c.p.Manifest
	slot := slotOf(c.p.Wasm)
	if m.Request == nil {
		if slot != nil {
			c.bad("request", "is missing, but the module is the one that is shared by plug-ins without code; say in [request] what is to be sent")
		}
		return
	}
	if m.World != "endpoint" {
		c.bad("request", "is for endpoints; a plug-in of the world %q needs code", m.World)
	}
	if slot == nil {
		c.problems = append(c.problems, Problem{Where: fileModule, Message: "the manifest has [request], which only the shared module obeys; " +
			"pack it with that: tocsin plugin pack FOLDER"})
	} else {
		want := bytes.Clone(slot)
		if err := fillSlot(want, m.Request); err != nil {
			c.bad("request", "is too large: %v", err)
		} else if !bytes.Equal(want, slot) {
			c.problems = append(c.problems, Problem{Where: fileModule, Message: "the module holds another [request] than the manifest; pack the plug-in again"})
		}
	}
	r, problems := recipe.Parse(m.Request)
	for _, p := range problems {
		c.bad(p.Field, "%s", p.Message)
	}
	for _, u := range r.Uses() {
		c.use(u)
	}
	for i, status := range r.Statuses() {
		covers := status
		if len(status) == 3 && m.Outcomes[status] == "" {
			covers = status[:1] + "xx"
		}
		if o := m.Outcomes[covers]; status != "" && o != "" {
			c.bad(fmt.Sprintf("request.answers[%d].status", i), "%q is answered by [outcomes] already, with %q, so that this rule is never asked; remove one of the two", status, o)
		}
	}
	if m.Features.EditOnRelease && !r.Releases() {
		c.bad("features.edit_on_release", "is true, but there is no [request.release] that says how")
	}
	if r.Batch() && m.Batch.Max <= 1 {
		c.warn("request.batch", "joins several alerts, but batch.max is 1; set how many a request may carry")
	}
	if m.Message.PassAlerts {
		c.bad("message.pass_alerts", "is not for plug-ins with [request]; write {alert} where the alert's JSON belongs")
	}
}

// use checks a value that the table puts in: that there is such a field or parameter, and that a secret stays whole.
func (c *manifestCheck) use(u recipe.Use) {
	part, name, dotted := strings.Cut(u.Name, ".")
	switch {
	case !dotted || name == "":
	case part == "alert":
		if !slices.Contains(alertKeys, name) {
			c.bad(u.Field, "%s", noField(name))
		}
	case part == "endpoint" || part == "recipient":
		f, ok := c.p.Lint.field(part, name)
		switch {
		case !ok && c.p.Lint.unread:
		case !ok:
			var known []string
			for _, f := range c.p.Lint.Fields() {
				known = append(known, f.Path())
			}
			if near := strict.Nearest(u.Name, known); near != "" {
				c.bad(u.Field, "%s does not have the parameter %s; did you mean {%s}?", fileLint, u.Name, near)
			} else {
				c.bad(u.Field, "%s does not have the parameter %s", fileLint, u.Name)
			}
		case f.Secret && slices.ContainsFunc(u.Filters, func(f string) bool { return f != "or" && f != "path" }):
			c.bad(u.Field, "%s is a secret, which the plug-in never sees: it can be sent, but not changed; remove the filters", u.Name)
		}
	}
}
