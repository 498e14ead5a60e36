package pdk

import (
	"slices"
	"strconv"
)

// Object writes a JSON object, member by member. Its methods leave out what is empty, but for Put and Int. Names are taken as they
// are: they must need no escape in a JSON string. The zero value is not ready; use NewObject. It is not safe for concurrent use.
type Object struct {
	// Tidy, where set, is applied to the texts that Text and List write: to cut them, for example.
	Tidy func(string) string

	b    []byte
	some bool // whether the innermost open object has a member
}

// NewObject begins an object behind dst.
func NewObject(dst []byte) *Object { return &Object{b: append(dst, '{')} }

// Done ends the object and gives what was written, with what stood in front of it.
func (o *Object) Done() []byte { return append(o.b, '}') }

func (o *Object) key(name string) {
	if o.some {
		o.b = append(o.b, ',')
	}
	o.some = true
	o.b = append(append(append(o.b, '"'), name...), '"', ':')
}

// Put writes a text as it is, even an empty one.
func (o *Object) Put(name, value string) {
	o.key(name)
	o.b = AppendJSONString(o.b, value)
}

// Text writes a text, tidied.
func (o *Object) Text(name, value string) {
	if o.Tidy != nil {
		value = o.Tidy(value)
	}
	if value != "" {
		o.Put(name, value)
	}
}

// Int writes a number, even 0.
func (o *Object) Int(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

// Count writes a number for which 0 means that it is unknown.
func (o *Object) Count(name string, n int64) {
	if n != 0 {
		o.Int(name, n)
	}
}

// Float writes a number other than 0.
func (o *Object) Float(name string, f float64) {
	if f != 0 {
		o.key(name)
		o.b = AppendJSON(o.b, f)
	}
}

// True writes true, or nothing.
func (o *Object) True(name string, v bool) {
	if v {
		o.Raw(name, "true")
	}
}

// Raw writes a value that is JSON already.
func (o *Object) Raw(name, json string) {
	if json != "" {
		o.key(name)
		o.b = append(o.b, json...)
	}
}

// List writes an array of the texts that are not empty, tidied, each once.
func (o *Object) List(name string, values ...string) {
	n := 0
	for i, v := range values {
		if slices.Contains(values[:i], v) {
			continue
		}
		if o.Tidy != nil {
			v = o.Tidy(v)
		}
		switch {
		case v == "":
			continue
		case n == 0:
			o.key(name)
			o.b = append(o.b, '[')
		default:
			o.b = append(o.b, ',')
		}
		o.b = AppendJSONString(o.b, v)
		n++
	}
	if n > 0 {
		o.b = append(o.b, ']')
	}
}

// In writes an object within, filled by fill, unless that writes nothing.
func (o *Object) In(name string, fill func()) {
	at, some := len(o.b), o.some
	o.key(name)
	o.b, o.some = append(o.b, '{'), false
	fill()
	if !o.some {
		o.b, o.some = o.b[:at], some
		return
	}
	o.b = append(o.b, '}')
}

// Each writes an array of n objects, each filled by fill.
func (o *Object) Each(name string, n int, fill func(i int)) {
	if n == 0 {
		return
	}
	o.key(name)
	o.b = append(o.b, '[')
	for i := range n {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b, o.some = append(o.b, '{'), false
		fill(i)
		o.b = append(o.b, '}')
	}
	o.b, o.some = append(o.b, ']'), true
}
