// Package sdkexamples holds one endpoint, a push through ntfy, in each language that a plug-in is known to be written in:
// a folder for each language, and one manifest and one set of test vectors for all. `tocsin plugin new` writes copies of
// these files. Nothing else lives here, and nothing here is part of a running tocsin.
package sdkexamples
