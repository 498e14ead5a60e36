package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

// Controls are what the control socket can make a service do.
type Controls interface {
	// Retry queues dead deliveries again: those named, or all if all is set. It returns how many.
	Retry(ctx context.Context, ids []string, all bool) (int, error)
}

// Options say where a server listens. An empty address or path means not at all.
type Options struct {
	// Listen is a TCP address for monitoring, such as "127.0.0.1:9464": /metrics and /healthz, read only.
	Listen string
	// Socket is the path of the control socket, a Unix socket that only its owner may use.
	Socket   string
	Metrics  *Metrics
	Controls Controls
	Log      *slog.Logger
}

// Server serves a service's monitoring address and control socket.
type Server struct {
	log       *slog.Logger
	servers   []*http.Server
	listeners []net.Listener
}

// New listens, and refuses at once what cannot be listened on; Serve answers.
func New(o Options) (*Server, error) {
	s := &Server{log: o.Log}
	if o.Listen != "" {
		l, err := net.Listen("tcp", o.Listen)
		if err != nil {
			return nil, fmt.Errorf("[api] listen: %w: is another tocsin, or another program, using this address?", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", o.Metrics.Handler())
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintln(w, "ok")
		})
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintln(w, "tocsin: /metrics for Prometheus, /healthz for health checks")
		})
		s.add(l, mux)
	}
	if o.Socket != "" {
		l, err := listenSocket(o.Socket)
		if err != nil {
			s.Close()
			return nil, err
		}
		mux := http.NewServeMux()
		mux.Handle("POST /v1/deliveries/retry", retryHandler(o.Controls))
		s.add(l, mux)
	}
	return s, nil
}

func (s *Server) add(l net.Listener, h http.Handler) {
	s.listeners = append(s.listeners, l)
	s.servers = append(s.servers, &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	})
}

// Addr is where monitoring is served, or nil.
func (s *Server) Addr() net.Addr {
	for _, l := range s.listeners {
		if l.Addr().Network() == "tcp" {
			return l.Addr()
		}
	}
	return nil
}

// Serve answers in the background until Stop or Close.
func (s *Server) Serve() {
	for i, srv := range s.servers {
		go func() {
			if err := srv.Serve(s.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("no more answers for monitoring or control", "address", s.listeners[i].Addr().String(), "error", err)
			}
		}()
	}
}

// Stop ends the answers under way within ctx.
func (s *Server) Stop(ctx context.Context) error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Shutdown(ctx))
	}
	s.Close() // a server that never served does not close its listener
	return errors.Join(errs...)
}

// Close ends everything at once.
func (s *Server) Close() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// listenSocket makes the control socket. One that a dead process left behind is replaced; that no second service runs is
// known before, by the lock of the database.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	// Until here the socket has the mode that the umask leaves. Who is let in by that must get into the folder, too: one that
	// tocsin made is closed to others (0700).
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

const maxControl = 1 << 20 // bytes of a request or an answer over the control socket

type retryRequest struct {
	IDs []string `json:"ids,omitempty"`
	All bool     `json:"all,omitempty"`
}

type retryAnswer struct {
	Queued int    `json:"queued"`
	Error  string `json:"error,omitempty"`
}

func retryHandler(c Controls) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q retryRequest
		var a retryAnswer
		status := http.StatusOK
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl))
		dec.DisallowUnknownFields()
		err := dec.Decode(&q)
		if err == nil {
			a.Queued, err = c.Retry(r.Context(), q.IDs, q.All)
		}
		if err != nil {
			status, a.Error = http.StatusBadRequest, err.Error()
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(a)
	})
}
