// Package store keeps what a host has to know of its plug-ins beside the files that people drop into the plug-in folder:
// the modules themselves, addressed by their SHA-256, so that nothing is ever run from the watched folder; which version
// of each plug-in runs; what each was granted, by whom and when; and which versions proved to be bad. It runs no plug-in
// and does not watch the plug-in folder.
//
// # Files
//
// Everything lies below one folder with mode 0700, in files with mode 0600 that are written beside and put in place by
// renaming:
//
//	modules/SHA256.wasm       the modules
//	records/NAME.json         which version runs, which is on trial, and which waits for what
//	grants/NAME.known         NAME was granted something once
//	grants/NAME.KEY.json      one thing that NAME may do; KEY is made of it
//	quarantine/SHA256.json    a version that failed, and why
//	index.json                what the files of plug-in folders held when they were read last; see Index
//
// There is one file for each fact, so the service and the command line may both write without waiting for each other.
//
// # Grants
//
// A plug-in's wishes are the entries of its manifest: one for each host, one for scripts. A wish for {endpoint.PARAMETER}
// stands for whatever host an administrator types there. The first version of a plug-in that a configuration uses is
// granted what it wishes by that act: who writes an endpoint of the type into tocsin.toml has seen `tocsin plugin
// inspect`, and there is nothing yet that it could be compared with. From then on only `tocsin plugin grant` adds to the
// grants. A version that wishes for more waits, whatever its author says the reason is, and the old one runs on. A wish
// that was revoked stays revoked until it is granted by hand.
package store
