// Package archtest holds the rules of the repository as tests: which package may import which, that every folder says in
// one package comment what lives there, and how long a file may be. It holds no other code.
package archtest
