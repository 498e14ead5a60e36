// Package watch tells which files of a folder, such as the plug-in folder, have changed, once each is written to the end. It knows files and
// nothing of what is in them, except what its user tells it: a half-copied file that stands still for long enough is told like any other, and told
// again when it grows.
package watch
