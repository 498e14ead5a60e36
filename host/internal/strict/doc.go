// Package strict decodes TOML that people write by hand and refuses what it does not know: each unknown key is named with
// its line and the key that was probably meant. It knows no particular file; manifests and configurations both use it.
package strict
