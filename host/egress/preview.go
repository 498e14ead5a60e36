package egress

import (
	"errors"

	"github.com/tocsin-net/tocsin/pdk"
)

// SyslogFrames gives the messages of a request as they would be written, each with its framing and without the line break
// that may end it. Nothing is sent, and no grant is asked for. The error says what is wrong with the request.
func SyslogFrames(r *pdk.SyslogRequest) ([]string, error) {
	x := &Executor{opt: Options{MaxBody: defaultMaxBody}}
	f, _, terr := x.encodeSyslog(r)
	if terr != nil {
		return nil, errors.New(terr.Message)
	}
	out := make([]string, len(f.ends))
	start := 0
	for i, end := range f.ends {
		text := f.buf[start:end]
		if f.lf {
			text = text[:len(text)-1]
		}
		out[i], start = string(text), end
	}
	return out, nil
}
