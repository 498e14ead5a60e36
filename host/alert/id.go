package alert

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// ID is a UUID of version 7 (RFC 9562): it sorts by the time it was made.
type ID [16]byte

var lastID struct {
	mu sync.Mutex // mu guards ms and seq
	ms int64
	sq uint16
}

// NewID makes an ID from the clock and the system's random source. IDs made by one process sort in the order they were
// made. Safe for concurrent use.
func NewID() ID {
	var id ID
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	lastID.mu.Lock()
	ms := time.Now().UnixMilli()
	if ms <= lastID.ms {
		lastID.sq++
		if lastID.sq > 0x0fff {
			lastID.ms, lastID.sq = lastID.ms+1, 0
		}
	} else {
		lastID.ms, lastID.sq = ms, 0
	}
	ms, sq := lastID.ms, lastID.sq
	lastID.mu.Unlock()
	binary.BigEndian.PutUint32(id[0:], uint32(ms>>16))
	binary.BigEndian.PutUint16(id[4:], uint16(ms))
	binary.BigEndian.PutUint16(id[6:], 0x7000|sq)
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String writes the ID in the usual form of a UUID.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// ParseID reads the form that String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("%q is not an alert id: want a UUID such as 0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a44", s)
	}
	if _, err := hex.Decode(id[:], []byte(s[0:8]+s[9:13]+s[14:18]+s[19:23]+s[24:36])); err != nil {
		return ID{}, fmt.Errorf("%q is not an alert id: %w", s, err)
	}
	return id, nil
}
