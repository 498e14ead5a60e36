package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/tocsin-net/tocsin/host/check"
	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/report"
)

var checkColumns = []report.Column{
	{Name: "check"},
	{Name: "severity"},
	{Name: "score", Right: true},
	{Name: "on"},
	{Name: "category"},
	{Name: "id", Right: true},
	{Name: "title", Max: 60},
	{Name: "parameter", Max: 48},
}

// checkRow is the JSON shape of a check.
type checkRow struct {
	Check       string `json:"check"`
	AlertID     int    `json:"alert_id"`
	Entity      string `json:"entity"`
	Category    string `json:"category"`
	Severity    string `json:"severity"`
	Score       int    `json:"score"`
	On          bool   `json:"default_on"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Parameter   string `json:"parameter,omitempty"`
	Default     string `json:"default,omitempty"`
	Period      string `json:"period"`
}

func rowOf(i check.Info) checkRow {
	return checkRow{
		Check: i.Key, AlertID: i.AlertID, Entity: i.Entity.String(), Category: i.Category.String(), Severity: i.Severity.String(),
		Score: i.Score, On: i.DefaultOn, Title: i.Title, Description: i.Description, Parameter: i.Parameter,
		Default: i.Default, Period: i.Period,
	}
}

// ListChecks prints the checks that this build has.
func ListChecks(s Streams, format string) error {
	term := report.Inspect(s.Out)
	f, err := report.ParseFormat(format, term.IsTerminal)
	if err != nil {
		return &UsageError{err}
	}
	w := report.NewWriter(s.Out, f, checkColumns, paintSeverity(term.Color))
	for _, info := range check.All() {
		r := rowOf(info)
		err := w.Row(func(dst []byte) []byte { return appendJSON(dst, r) }, func() []string {
			on := "off"
			if r.On {
				on = "on"
			}
			param := r.Parameter
			if param != "" && r.Default != "" {
				param += " = " + r.Default
			}
			return []string{r.Check, r.Severity, strconv.Itoa(r.Score), on, r.Category, strconv.Itoa(r.AlertID), r.Title, param}
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// ShowCheck prints all about one check.
func ShowCheck(s Streams, key string) error {
	var keys []string
	for _, info := range check.All() {
		keys = append(keys, info.Key)
		if info.Key != key {
			continue
		}
		r := rowOf(info)
		state := "off unless enabled"
		if r.On {
			state = "on unless disabled"
		}
		_, err := fmt.Fprintf(s.Out, "%s — %s\n\n%s\n\nseverity  %s (score %d)\ncategory  %s\nalert id  %d\nlooks at  %s, %s\nstate     %s\n",
			r.Check, r.Title, r.Description, r.Severity, r.Score, r.Category, r.AlertID, r.Entity, r.Period, state)
		if err == nil && r.Parameter != "" {
			_, err = fmt.Fprintf(s.Out, "parameter %s, default %s\n          set it with [checks.parameters.%q] in tocsin.toml\n", r.Parameter, orNone(r.Default), r.Check)
		}
		return err
	}
	if near := strict.Nearest(key, keys); near != "" {
		return usage("there is no check %q: did you mean %q?", key, near)
	}
	return usage("there is no check %q: tocsin checks list shows them all", key)
}

func orNone(s string) string {
	if s == "" {
		return "(empty)"
	}
	return s
}

func appendJSON(dst []byte, v any) []byte {
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(errors.Join(errors.New("app: a row that cannot be JSON"), err)) // a programming mistake
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// CheckKeys lists the keys of all checks, for completion.
func CheckKeys() []string {
	var keys []string
	for _, i := range check.All() {
		keys = append(keys, i.Key)
	}
	return keys
}
