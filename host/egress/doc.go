// Package egress does all input and output of deliveries: it sends HTTP requests, mails and syslog messages, runs scripts and
// has fail2ban ban addresses on behalf of plug-ins, which have neither sockets nor secrets. Grants, private addresses,
// redirects, time limits, size limits, signatures and the replacement of secrets are kept here, once for every plug-in. It
// knows no plug-in, no queue and no retry.
package egress
