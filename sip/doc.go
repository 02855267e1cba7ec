// Package sip holds what every floor above speaks: a SIP message as the text
// that arrived plus an index over it, typed values read from it on demand, and
// the splices that make forwarded copies and replies of it.
//
// A Message is an immutable Go string and an array of offsets (docs/adr/0002).
// Whatever an accessor returns is a substring of that text: it costs nothing,
// and it keeps the whole message alive, so long-lived state clones what it keeps.
//
// This is the only floor that imports sipgo.
package sip
