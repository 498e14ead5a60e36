package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// verifier is what a receiver does with npm's standardwebhooks: the body must be signed, and changed by nobody. It tells
// what became of the body as it is, of one that was changed, and of a key that is not the sender's.
const verifier = `
const { Webhook } = require("standardwebhooks");
const { headers, body, key } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const tried = (key, body) => { try { new Webhook(key).verify(body, headers); return "good" } catch (e) { return "bad" } };
console.log([tried(key, body), tried(key, body + " "), tried("whsec_" + Buffer.from("another key of thirty-two bytes.").toString("base64"), body)].join(" "));
`

// TestWebhookSignature has npm's standardwebhooks, the specification's reference library, verify what a service sent.
func TestWebhookSignature(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(cache, "tocsin", "servers", "npm", "node_modules")
	node, nerr := exec.LookPath("node")
	if _, err := os.Stat(filepath.Join(modules, "standardwebhooks")); err != nil || nerr != nil {
		if os.Getenv("TOCSIN_SERVERS") == "required" {
			t.Fatal("node and npm's standardwebhooks are not installed: run .ci/servers")
		}
		t.Skip("node and npm's standardwebhooks are not installed: run .ci/servers")
	}
	const key = "whsec_dGhpcnR5LXR3byBieXRlcyBvZiBhIHNlY3JldCBrZXkuLg=="
	var mu sync.Mutex // mu guards what follows
	var headers map[string]string
	var body string
	url := serving(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		body, headers = string(b), map[string]string{}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			headers[name] = r.Header.Get(name)
		}
	}))
	service := newRoom(t, "webhook", fmt.Sprintf("webhook_url = %q, signing_secret = %q", url, key), "").start()
	service.raise(&alert.Alert{
		ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Tëst 🚨", Message: "A \"test\" \u2028 of <signatures>.", Flow: &alert.Flow{L4: "TCP"},
	})
	service.settled("ops", alert.Delivered, 1)

	mu.Lock()
	defer mu.Unlock()
	in, err := json.Marshal(map[string]any{"headers": headers, "body": body, "key": key})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", verifier)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "good bad bad\n" {
		t.Errorf("standardwebhooks says %q, %v of %v and %s", out, err, headers, body)
	}
}
