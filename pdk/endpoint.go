package pdk

import "errors"

// The names of an endpoint module's exports. Each has the WebAssembly type () -> i32; see spec/ABI.md.
const (
	ExportRender   = "render"
	ExportClassify = "classify"
	ExportLint     = "lint"
	ExportProbe    = "probe"
)

// The numbers that an export returns.
const (
	CodeOK         int32 = 0 // the output is set
	CodeFailed     int32 = 1 // the error text is set
	CodeNotOffered int32 = 2 // the module has no such function; the host goes on as if the export were missing
)

// ErrNotOffered is Endpoint.Call's error for a function that the endpoint does not have.
var ErrNotOffered = errors.New("the endpoint does not offer this function")

// Endpoint is an endpoint type: its author fills in the functions and calls Serve. They are pure: the same input gives
// the same output, on whatever machine, at whatever time. The host runs requests, keeps secrets, time and retries.
type Endpoint struct {
	// Render turns deliveries into requests. An error is meant for a batch that cannot be rendered at all; the host
	// then tries its deliveries one by one. For a single delivery use RenderOutput.Rejected.
	Render func(*RenderInput) (*RenderOutput, error)
	// Classify says what an answer means. It may be nil where the manifest's [outcomes] and the host's own rules do.
	Classify func(*ClassifyInput) (*ClassifyOutput, error)
	// Lint finds mistakes in parameters that the schema cannot state. Optional.
	Lint func(*LintInput) (*LintOutput, error)
	// Probe gives requests that test a configuration. Optional.
	Probe func(*ProbeInput) (*ProbeOutput, error)
}

// Call runs the function behind an export on the JSON of its input and gives the JSON of its output, as the host would
// see it. A panic becomes an error. It is how both a module and a native test run an endpoint.
func (e *Endpoint) Call(export string, input []byte) (output []byte, err error) {
	return e.appendCall(nil, export, input)
}

// appendCall is Call that writes its output behind dst, or to a new slice if that has too little room. The output shares nothing
// with the input.
func (e *Endpoint) appendCall(dst []byte, export string, input []byte) (output []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			output, err = nil, errors.New("panic: "+panicText(p))
		}
	}()
	switch {
	case export == ExportRender && e.Render != nil:
		return call(dst, input, new(RenderInput), e.Render)
	case export == ExportClassify && e.Classify != nil:
		return call(dst, input, new(ClassifyInput), e.Classify)
	case export == ExportLint && e.Lint != nil:
		return call(dst, input, new(LintInput), e.Lint)
	case export == ExportProbe && e.Probe != nil:
		return call(dst, input, new(ProbeInput), e.Probe)
	}
	return nil, ErrNotOffered
}

func call[In interface{ DecodeJSON([]byte) error }, Out any, P interface {
	*Out
	AppendJSON([]byte) []byte
}](dst, input []byte, in In, f func(In) (P, error)) ([]byte, error) {
	if err := in.DecodeJSON(input); err != nil {
		return nil, err
	}
	out, err := f(in)
	if err != nil {
		return nil, err
	}
	if out == nil {
		return nil, errors.New("the function returned neither a result nor an error")
	}
	if cap(dst)-len(dst) < 2*len(input) {
		dst = append(make([]byte, 0, len(dst)+2*len(input)), dst...)
	}
	return out.AppendJSON(dst), nil
}

func panicText(p any) string {
	switch v := p.(type) {
	case error:
		return v.Error()
	case string:
		return v
	}
	return "of a value that is neither an error nor a text"
}

// served is what the exports run. Serve sets it while the module is initialised, before the first call.
var served *Endpoint //nolint:unused // read by the exports, which only a module has

// Serve makes e the module's endpoint. Call it from an init function: the host calls a module's init functions, then
// its exports, and never main.
func Serve(e *Endpoint) { served = e }
