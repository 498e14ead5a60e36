package egress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

const standardWebhooks = "standard-webhooks"

// sign adds the signature headers that a request asks for. keys are the secrets themselves.
//
// Standard Webhooks 1.0: HMAC-SHA256 over "id.timestamp.body", keyed with the base64-decoded secret behind "whsec_";
// signatures for several keys stand side by side, separated by spaces.
func sign(h http.Header, s *pdk.Sign, keys []string, body string, now time.Time) error {
	if s.Scheme != standardWebhooks {
		return fmt.Errorf("signature scheme %q is unknown to this version; it knows %s", s.Scheme, standardWebhooks)
	}
	if s.ID == "" || strings.ContainsAny(s.ID, ". \t\r\n") {
		return errors.New("a signature needs an id without dots or spaces")
	}
	if len(keys) == 0 {
		return errors.New("a signature needs at least one key")
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	sigs := make([]string, 0, len(keys))
	for i, k := range keys {
		key, err := decodeKey(k)
		if err != nil {
			return fmt.Errorf("signing secret %d %w", i+1, err)
		}
		m := hmac.New(sha256.New, key)
		for _, part := range []string{s.ID, ".", stamp, ".", body} {
			m.Write([]byte(part))
		}
		sigs = append(sigs, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	h.Set("Webhook-Id", s.ID)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", strings.Join(sigs, " "))
	return nil
}

// decodeKey reads "whsec_" and base64. Its errors hold nothing of the key.
func decodeKey(k string) ([]byte, error) {
	raw := strings.TrimRight(strings.TrimPrefix(strings.TrimSpace(k), "whsec_"), "=")
	key, err := base64.RawStdEncoding.DecodeString(raw)
	if err != nil || len(key) == 0 {
		return nil, errors.New(`is not in base64: write it as "whsec_" and the base64 of 24 to 64 random bytes (openssl rand -base64 32)`)
	}
	return key, nil
}
