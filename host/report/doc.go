// Package report is how tocsin shows things on a terminal and to scripts: rows as table, JSON lines or CSV, a progress
// line on standard error, and colours where they are wanted. It decides nothing about what is shown.
package report
