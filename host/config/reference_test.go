package config

import (
	"slices"
	"testing"
)

func TestReference(t *testing.T) {
	for text, want := range map[string][2]string{
		"file:/run/secrets/a": {"file", "/run/secrets/a"}, "env:A": {"env", "A"}, "secret:a": {"secret", "a"}, "secret:": {"secret", ""},
		"https://a.example": {}, "files:a": {}, "secret": {}, "": {}, "Secret:a": {},
	} {
		if kind, name := Reference(text); kind != want[0] || name != want[1] {
			t.Errorf("Reference(%q) = %q, %q", text, kind, name)
		}
	}
}

func TestSecretUses(t *testing.T) {
	c, err := Parse("tocsin.toml", []byte(`[egress]
proxy = "secret:proxy"
[[endpoint]]
name = "hook"
type = "webhook"
[endpoint.parameters]
webhook_url = "https://a.example"
webhook_password = "secret:pw"
signing_secret = "env:SIGN"
[[recipient]]
name = "all"
endpoint = "hook"
parameters = { token = "secret:pw" }
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []SecretUse{
		{"pw", `endpoint "hook"`, "webhook_password", 8},
		{"pw", `recipient "all"`, "token", 13},
		{"proxy", "egress", "proxy", 2},
	}
	if got := c.SecretUses(); !slices.Equal(got, want) {
		t.Errorf("SecretUses = %v, want %v", got, want)
	}
}
