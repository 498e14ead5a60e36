package source

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DamageError says that a capture is cut short or corrupt. Every packet before Offset has been handed out.
type DamageError struct {
	File   string
	Offset int64 // in the capture, after decompression if Gzip is set
	Reason string
	Gzip   bool
}

func (e *DamageError) Error() string {
	where := ""
	if e.Gzip {
		where = " of the decompressed capture"
	}
	return fmt.Sprintf("%s: damaged at byte %d%s: %s; all packets before that were read", e.File, e.Offset, where, e.Reason)
}

// FormatError says that the input is no capture this package reads.
type FormatError struct {
	File  string
	Found string // what it looks like: "text", "a zip archive"
	Gzip  bool   // Found is what the gzip file holds
}

func (e *FormatError) Error() string {
	found := e.Found
	if e.Gzip {
		found = "gzip of " + found
	}
	return fmt.Sprintf("%s: not a capture: it is %s; pcap and pcapng files are read, plain or compressed with gzip", e.File, found)
}

// describeLen is how many bytes describe looks at.
const describeLen = 256

var magics = []struct{ magic, name string }{
	{"\x7fELF", "an ELF executable"},
	{"MZ", "a Windows executable"},
	{"PK\x03\x04", "a zip archive (unpack it first)"},
	{"\x28\xb5\x2f\xfd", "a zstd file (use zstd -dc FILE | tocsin ... -r -)"},
	{"\xfd7zXZ\x00", "an xz file (use xz -dc FILE | tocsin ... -r -)"},
	{"BZh", "a bzip2 file (use bzip2 -dc FILE | tocsin ... -r -)"},
	{"\x04\x22\x4d\x18", "an lz4 file (use lz4 -dc FILE | tocsin ... -r -)"},
	{"\x1f\x8b", "gzip once more (unpack it first)"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive (unpack it first)"},
	{"snoop\x00\x00\x00", "a snoop capture (convert it with editcap)"},
	{"GMBU", "a Microsoft Network Monitor capture (convert it with editcap)"},
	{"RTSS", "a Microsoft Network Monitor capture (convert it with editcap)"},
	{"\x00asm", "a WebAssembly module"},
	{"SQLite format 3\x00", "an SQLite database"},
	{"%PDF", "a PDF document"},
	{"\x89PNG", "a PNG image"},
	{"\xcf\xfa\xed\xfe", "a Mach-O executable"},
}

// describe says what the beginning of a file looks like to a person.
func describe(head []byte) string {
	if len(head) == 0 {
		return "empty"
	}
	for _, m := range magics {
		if strings.HasPrefix(string(head), m.magic) {
			return m.name
		}
	}
	text := bytes.TrimSpace(head)
	switch {
	case len(text) > 0 && isText(head) && (text[0] == '{' || text[0] == '['):
		return "JSON text"
	case len(text) > 0 && isText(head) && text[0] == '<':
		return "XML or HTML text"
	case isText(head):
		return "text"
	case bytes.Count(head, []byte{0}) == len(head):
		return "all zero bytes"
	}
	return fmt.Sprintf("unknown data that begins with % x", head[:min(len(head), 8)])
}

func isText(b []byte) bool {
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 && len(b) >= utf8.UTFMax {
			return false
		}
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
		b = b[n:]
	}
	return true
}
