package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// ErrNoService means that nothing answers at the control socket.
var ErrNoService = errors.New("no service answers")

// Client talks to the service that owns a control socket. Safe for concurrent use.
type Client struct {
	path string
	http http.Client
}

// NewClient makes a client; it connects when it is used.
func NewClient(path string) *Client {
	return &Client{path: path, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// Retry asks the service to queue dead deliveries again; see Controls. The error wraps ErrNoService if it cannot be asked.
func (c *Client) Retry(ctx context.Context, ids []string, all bool) (int, error) {
	body, err := json.Marshal(retryRequest{IDs: ids, All: all})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tocsin/v1/deliveries/retry", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("%w at %s: %w", ErrNoService, c.path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var a retryAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxControl)).Decode(&a); err != nil {
		return 0, fmt.Errorf("the service's answer at %s (%s) cannot be read: %w", c.path, resp.Status, err)
	}
	if a.Error != "" {
		return 0, errors.New(a.Error)
	}
	return a.Queued, nil
}
