package plugin

import (
	"encoding/binary"
	"os"
)

// Whole tells whether a file looks like all of a plug-in, going by the headers of its sections alone: they lead to the file's
// very end, and tocsin.abi is among them, which Pack writes after all others but the signature. A file that
// is still being copied is not whole, even where the copy has come to the border of a section. One that is no module
// at all is, since waiting for more of it would not help.
func Whole(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err == nil
	}
	const magic = "\x00asm\x01\x00\x00\x00"
	var head [32]byte // of a section: its id, its size and its name
	read := func(at int64) []byte {
		n, _ := f.ReadAt(head[:], at)
		return head[:n]
	}
	if b := read(0); len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return len(b) >= len(magic)
	}
	done := false
	for at, n := int64(len(magic)), 0; at < info.Size(); n++ {
		b := read(at)
		if len(b) < 2 || n > 1000 {
			return n > 1000 // no plug-in has so many; what is wrong will be said
		}
		size, k := binary.Uvarint(b[1:])
		if k <= 0 || k > 5 {
			return len(b) == len(head) // a number that is no number, rather than half of one
		}
		name := append([]byte{byte(len(sectionABI))}, sectionABI...)
		if rest := b[1+k:]; b[0] == 0 && len(rest) >= len(name) && string(rest[:len(name)]) == string(name) {
			done = true
		}
		if at += int64(1+k) + int64(min(size, 1<<32)); at > info.Size() {
			return false
		}
	}
	return done
}
