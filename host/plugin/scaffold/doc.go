// Package scaffold writes the folder that the author of a plug-in starts from, and knows how such a folder is built and
// packed. What it writes is the example of folder sdk-examples under another name; nothing is kept here but what differs.
package scaffold
