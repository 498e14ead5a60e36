// Package endpoint joins a plug-in package with the sandbox: it turns the messages of package pdk into calls of an endpoint
// module and does not believe a word of the answers until it has checked them. It runs no request, keeps no state of
// deliveries and knows no endpoint type by name.
//
// A Type is one version of a plug-in, compiled. A Handle is what deliveries use: an endpoint type whose versions may change
// while it is in use. A Registry finds plug-ins and hands out handles; a Reloader follows the plug-in folder and the grants
// and takes new versions in:
//
//	file stands still -> parse and check -> quarantine? -> copy into the store -> wishes granted? -> compile beside the
//	running version -> run its vectors -> do the configured parameters fit? -> swap -> trial -> drain and close the old
//
// What fails on that way leaves the running version as it is. During the trial the old version stands by: a call that
// fails on the new one is made on the old one, so a bad version costs no delivery an attempt. There is no forced end of
// calls under way: the meter bounds each, so the old version drains by itself, and nothing has to be queued again.
//
// The folder is how a version comes in; the store is what runs. A file that is deleted, damaged or out of reach therefore
// takes nothing away, not even at a restart: tocsin plugin remove does.
package endpoint
