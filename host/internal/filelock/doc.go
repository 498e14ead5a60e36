// Package filelock keeps two processes from writing the same file: one lock of the operating system for a file, dropped
// with the process that held it, and the question whether a file's mode keeps others out. What is locked, and what to say
// when it is, is the caller's.
package filelock
