package pdk

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// message is what every message type has.
type message interface {
	AppendJSON([]byte) []byte
	DecodeJSON([]byte) error
}

func messages() map[string]func() message {
	return map[string]func() message{
		"RenderInput":    func() message { return new(RenderInput) },
		"RenderOutput":   func() message { return new(RenderOutput) },
		"ClassifyInput":  func() message { return new(ClassifyInput) },
		"ClassifyOutput": func() message { return new(ClassifyOutput) },
		"LintInput":      func() message { return new(LintInput) },
		"LintOutput":     func() message { return new(LintOutput) },
		"ProbeInput":     func() message { return new(ProbeInput) },
		"ProbeOutput":    func() message { return new(ProbeOutput) },
		"Alert":          func() message { return new(Alert) },
	}
}

// fill sets every field of a message to random values, hostile ones among them.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	texts := []string{"", "plain", "quote \" back \\ slash /", "tab\tnl\ncr\r\b\f", "\x00\x1f\x7f", "é 漢 🚨 \u2028\u2029", "<b>&amp;", "bad \xff\xfe utf8 \xed\xa0\x80", "placeholder"}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{0, 1, -1, 42, math.MaxInt64, math.MinInt64, 1 << 53, 1<<53 + 1}[r.IntN(8)])
	case reflect.Uint16:
		v.SetUint(uint64(r.IntN(65536)))
	case reflect.Uint64:
		v.SetUint([]uint64{0, 1, math.MaxUint64, 1<<53 + 1}[r.IntN(4)])
	case reflect.Float64:
		v.SetFloat([]float64{0, -1, 0.1, 1e-7, 1e21, 1.5e300, math.MaxFloat64, 5e-324, 123456789}[r.IntN(9)])
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, 1+r.IntN(9)) // none and empty are told apart by encoding/json only
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			v.SetBytes(b)
			return
		}
		n := 1 + r.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i), depth)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), depth)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(4) {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(r, e, depth+1)
			v.SetMapIndex(reflect.ValueOf(strings.ToValidUTF8(texts[r.IntN(len(texts))], "?")), e)
		}
	case reflect.Interface:
		any := []any{"text \xff", true, nil, 1.5, -3.0, []any{"a", 1.0, nil, []any{}}, map[string]any{"k": "v", "n": map[string]any{}}}
		if x := any[r.IntN(len(any))]; x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.Struct:
		for f, field := range v.Fields() {
			if f.Tag.Get("json") != "-" { // Alert.Raw
				fill(r, field, depth)
			}
		}
	default:
		panic("a message has a field of kind " + v.Kind().String() + ": teach fill, reader and writer")
	}
}

// TestLikeEncodingJSON holds the codec against encoding/json with the types' tags: each reads what the other writes, and
// both read the same.
func TestLikeEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, make := range messages() {
		for range 300 {
			m := make()
			fill(r, reflect.ValueOf(m).Elem(), 0)
			ours := m.AppendJSON(nil)
			theirs, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			want := make()
			if err := json.Unmarshal(theirs, want); err != nil {
				t.Fatal(err)
			}
			for by, b := range map[string][]byte{"pdk": ours, "encoding/json": theirs} {
				got := make()
				if err := got.DecodeJSON(b); err != nil {
					t.Fatalf("%s, written by %s: %v\n%s", name, by, err, b)
				}
				dropRaw(reflect.ValueOf(got).Elem())
				if !same(got, want) {
					t.Fatalf("%s, written by %s:\n%s\ngot  %s\nwant %s", name, by, b, dump(got), dump(want))
				}
				back := make()
				if err := json.Unmarshal(b, back); err != nil || !same(back, want) {
					t.Fatalf("%s, written by %s, read by encoding/json: %v\n%s", name, by, err, b)
				}
			}
		}
	}
}

func dump(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// same compares by content: an empty and a missing list or map are the same.
func same(a, b any) bool { return dump(a) == dump(b) }

func dropRaw(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if f := v.FieldByName("Raw"); f.IsValid() {
			f.SetBytes(nil)
		}
		for _, field := range v.Fields() {
			dropRaw(field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			dropRaw(v.Index(i))
		}
	default:
	}
}

func TestRawIsExact(t *testing.T) {
	raw := `{ "id" : "x",  "new": [1, 2.50, 9007199254740993], "score":12 }`
	var in RenderInput
	if err := in.DecodeJSON([]byte(`{"deliveries":[{"id":"d","alert":  ` + raw + ` ,"attempt":1}]}`)); err != nil {
		t.Fatal(err)
	}
	if got := string(in.Deliveries[0].Alert.Raw); got != raw {
		t.Errorf("Raw is %q, want %q", got, raw)
	}
	if out := string(in.AppendJSON(nil)); !strings.Contains(out, raw) {
		t.Errorf("the alert was not passed on as it is: %s", out)
	}
	var a Alert
	if err := a.DecodeJSON([]byte(raw)); err != nil || a.Score != 12 || string(a.Raw) != raw {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestDecodeErrors(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, c := range []struct{ in, want string }{
		{``, `JSON: want an object, got the end of the text (byte 0)`},
		{`[]`, `JSON: want an object, got a list (byte 0)`},
		{`{"now":"x"}`, `JSON: now: want a number, got a string (byte 7)`},
		{`{"now":1.5}`, `JSON: now: want a whole number of 64 bits, got 1.5 (byte 10)`},
		{`{"now":9223372036854775808}`, `JSON: now: want a whole number of 64 bits, got 9223372036854775808 (byte 26)`},
		{`{"deliveries":[{},{"alert":{"client_port":65536}}]}`, `JSON: deliveries[1].alert.client_port: want a whole number of 16 bits, got 65536 (byte 47)`},
		{`{"deliveries":[{"id":"a"},7]}`, `JSON: deliveries[1]: want an object, got a number (byte 26)`},
		{`{"endpoint":{"x":` + deep + `}}`, `nested deeper than 64 levels`},
		{`{"unknown":{"a":[1,}]}}`, `JSON: unknown.a[1]: want a number, got no JSON value`},
		{`{"unknown":tru}`, `JSON: unknown: want true`},
		{`{"now":01}`, `JSON: now: want a comma or the end of an object`},
		{`{"now":-}`, `JSON: now: a number is not complete`},
		{`{"locale":"a` + "\n" + `b"}`, `JSON: locale: a control character in a string must be escaped (byte 12)`},
		{`{"locale":"\x"}`, `JSON: locale: a backslash sequence that JSON does not have`},
		{`{"locale":"abc`, `JSON: locale: a string has no end`},
		{`{"locale" "a"}`, `want a colon after a name`},
		{`{"locale":"a" "now":1}`, `want a comma or the end of an object`},
		{`{"locale":"a",}`, `want a name in double quotes`},
		{`{} x`, `JSON: more text after the value (byte 3)`},
		{"{}\x00", `JSON: more text after the value (byte 2)`},
		{`{"endpoint":{"a":1e999}}`, `JSON: endpoint.a: the number 1e999 is out of range`},
	} {
		err := new(RenderInput).DecodeJSON([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.in, err, c.want)
		}
	}
}

func TestStrings(t *testing.T) {
	for in, want := range map[string]string{
		`"\u00e9\ud83d\udea8"`: "é🚨", `"\ud800x"`: "\ufffdx", `"\ud800\ud800"`: "\ufffd\ufffd", `"\udea8"`: "\ufffd",
		"\"\xff\xc3\"": "\ufffd\ufffd", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"a\u0000b"`: "a\x00b",
	} {
		v, err := ParseJSON([]byte(in))
		if err != nil || v != want {
			t.Errorf("%s: got %q, %v, want %q", in, v, err, want)
		}
	}
}

// FuzzDecode feeds hostile text to every message: no panic, nothing accepted that is no JSON, nothing refused that
// encoding/json takes (but for depth and range, and what follows from its reading keys in any case), and what was read
// survives being written and read again.
func FuzzDecode(f *testing.F) {
	for _, make := range messages() {
		m := make()
		fill(rand.New(rand.NewPCG(3, 4)), reflect.ValueOf(m).Elem(), 0)
		f.Add(m.AppendJSON(nil))
	}
	f.Add([]byte(`{"requests":[{"smtp":{"attachments":[{"data":"AP8="},{"data":""},{"data":null}],"verify":null},"ban":null,"syslog":{"messages":[{}]}}]}`))
	f.Add([]byte(`{"deliveries":[{"alert":{"packets":[1,2,3],"bytes":[1]},"plain":null}],"now":-0,"x":{"\u0061":[[[]]]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, make := range messages() {
			m := make()
			if err := m.DecodeJSON(b); err != nil {
				continue
			}
			if !json.Valid(b) {
				t.Fatalf("%s took what is no JSON: %q", name, b)
			}
			out := m.AppendJSON(nil)
			again := make()
			if err := again.DecodeJSON(out); err != nil {
				t.Fatalf("%s does not read what it wrote: %v\n%s", name, err, out)
			}
			if second := again.AppendJSON(nil); string(second) != string(out) {
				t.Fatalf("%s changes when written again:\n%s\n%s", name, out, second)
			}
		}
		v, err := ParseJSON(b)
		var want any
		wantErr := json.Unmarshal(b, &want)
		if err == nil && wantErr != nil {
			t.Fatalf("ParseJSON took %q, encoding/json says %v", b, wantErr)
		}
		if err != nil && wantErr == nil && !strings.Contains(err.Error(), "nested deeper") {
			t.Fatalf("ParseJSON refused %q: %v", b, err)
		}
		if err == nil && !reflect.DeepEqual(v, want) {
			t.Fatalf("ParseJSON read %#v, encoding/json %#v", v, want)
		}
	})
}

func batch(n int) *RenderInput {
	in := &RenderInput{Now: 1718000100000, Locale: "en", Endpoint: Params{"webhook_url": "https://alerts.example.org/hook"}}
	for range n {
		a := Alert{
			ID: "0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a44", Entity: "flow", EntityID: 4, EntityValue: "192.0.2.7:50312 -> 198.51.100.9:443",
			AlertID: 26, Check: "flow/tls_certificate_expired", Title: "TLS certificate expired", Category: "security", Severity: "error",
			SeverityID: 5, Score: 100, Action: "store", Tstamp: 1718000000, Time: "2024-06-10T06:13:20.000000Z", L4: "TCP",
			Message: "The certificate of intranet.example expired 12 days ago", Client: "192.0.2.7", ClientPort: 50312,
			Server: "198.51.100.9", ServerPort: 443, Protocol: "TLS", Packets: [2]uint64{12, 14}, Bytes: [2]uint64{1830, 9214},
		}
		in.Deliveries = append(in.Deliveries, Delivery{ID: "0192f0c1-a000-7000-8000-000000000001", Alert: a, Text: a.Message, Subject: a.Title, Attempt: 1})
	}
	return in
}

func BenchmarkEncode(b *testing.B) {
	in := batch(10)
	b.Run("pdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in.AppendJSON(nil)
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(in)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	text := batch(10).AppendJSON(nil)
	b.Run("pdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = new(RenderInput).DecodeJSON(text)
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = json.Unmarshal(text, new(RenderInput))
		}
	})
}
