package msteams

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed validate.js
var validateJS []byte

// ErrNoValidator means that Node.js or the package adaptivecards is not there: `.ci/servers` installs it.
var ErrNoValidator = errors.New("node and npm's adaptivecards are not installed: run .ci/servers")

// Validate has npm's adaptivecards 3.0.6 judge Adaptive Cards and gives what is wrong with each, nothing if they are all right.
func Validate(ctx context.Context, cards []string) ([]string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, ErrNoValidator
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, ErrNoValidator
	}
	library := filepath.Join(base, "tocsin", "servers", "npm", "node_modules", "adaptivecards", "dist", "adaptivecards.js")
	if _, err := os.Stat(library); err != nil {
		return nil, ErrNoValidator
	}
	dir, err := os.MkdirTemp("", "tocsin-cards-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "validate.js")
	if err := os.WriteFile(script, validateJS, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, node, script, library)
	cmd.Stdin = strings.NewReader("[" + strings.Join(cards, ",") + "]")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("adaptivecards: %w: %s", err, stderr.String())
	}
	var found [][]string
	if err := json.Unmarshal(stdout.Bytes(), &found); err != nil || len(found) != len(cards) {
		return nil, fmt.Errorf("adaptivecards judged %d of %d cards: %w", len(found), len(cards), err)
	}
	var problems []string
	for i, list := range found {
		for _, p := range list {
			problems = append(problems, fmt.Sprintf("card %d: %s", i+1, p))
		}
	}
	return problems, nil
}
