package route

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// untouchable are header fields that a rule must leave alone: they route the
// request, make it part of its transaction and dialog, say what its body is, or
// prove who sent it. From, P-Asserted-Identity and Privacy have keys of their own.
var untouchable = []string{
	"Via", "Route", "Record-Route", "Path", "Service-Route", "Contact", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Max-Breadth",
	"Content-Length", "Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "MIME-Version",
	"Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info",
	"Require", "Proxy-Require", "Supported", "Unsupported", "RAck", "RSeq", "Replaces", "Join", "Target-Dialog",
	"Session-Expires", "Min-SE", "Expires", "Event", "Refer-To", "Subscription-State",
	"P-Asserted-Identity", "P-Preferred-Identity", "Privacy",
}

// rewrite checks what a rule changes.
func (c *compiler) rewrite(r *Route) {
	w := &r.Rewrite
	c.rewriteUser(r)
	c.party("rewrite.from", &w.From)
	c.party("rewrite.asserted", &w.Asserted)
	if w.Privacy == PrivacyID && w.From != (Party{}) {
		c.errorf("rewrite.from", "privacy: id makes From anonymous; drop one of them")
	}
	for _, name := range w.Remove {
		c.header("rewrite.remove", name, "")
	}
	for _, h := range w.Set {
		c.header("rewrite.set", h.Name, h.Value)
	}
	for _, h := range w.Add {
		c.header("rewrite.add", h.Name, h.Value)
	}
	switch changes := w.changesUser(); {
	case r.Reject.Status != 0 && (changes || w.changesHeader()):
		c.errorf("rewrite", "nothing leaves by a rule that rejects; drop rewrite")
	case r.To == Location && w.changesHeader():
		c.errorf("rewrite", "towards the location service only the user can be rewritten")
	}
}

func (w *Rewrite) changesUser() bool {
	return w.Replace != "" || w.Strip != 0 || w.E164 != (E164{}) || w.Prefix != ""
}

func (w *Rewrite) changesHeader() bool {
	return w.From != (Party{}) || w.Asserted != (Party{}) || w.Privacy != 0 || len(w.Remove)+len(w.Set)+len(w.Add) > 0
}

// Alters reports whether a request that leaves by the rule needs a Change, an identity to assert apart.
func (r *Route) Alters() bool { return r.Rewrite.changesHeader() }

func (c *compiler) rewriteUser(r *Route) {
	w := &r.Rewrite
	if w.Strip < 0 {
		c.errorf("rewrite.strip", "cannot be negative")
	}
	if !plain(w.Prefix) {
		c.errorf("rewrite.prefix", "has control characters")
	}
	if e := &w.E164; *e != (E164{}) {
		c.e164(e)
	}
	if w.Replace == "" {
		return
	}
	if !plain(w.Replace) {
		c.errorf("rewrite.replace", "has control characters")
	}
	if r.Match.User == "" {
		c.errorf("rewrite.replace", "replaces what match.user fits, and there is none; write match: { user: … }")
		return
	}
	re, err := regexp.Compile(r.Match.User)
	if err != nil {
		return // said already
	}
	if name := missingGroup(re, w.Replace); name != "" {
		c.errorf("rewrite.replace", "match.user has no group "+name+"; groups are ( ) and numbered from 1, and ${1}0 is the first with a 0 behind it")
		return
	}
	r.replace = re
}

// missingGroup is the first group that a template names and re has not, "" for none.
func missingGroup(re *regexp.Regexp, template string) string {
	for i := 0; i < len(template); i++ {
		if template[i] != '$' {
			continue
		}
		rest := template[i+1:]
		if strings.HasPrefix(rest, "$") {
			i++
			continue
		}
		braced := strings.HasPrefix(rest, "{")
		rest = strings.TrimPrefix(rest, "{")
		n := 0
		for n < len(rest) && (rest[n] == '_' || rest[n] >= '0' && rest[n] <= '9' || rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z') {
			n++
		}
		name := rest[:n]
		if braced && (n == len(rest) || rest[n] != '}') {
			return "$" + "{" + name
		}
		if number, err := strconv.Atoi(name); err == nil && number <= re.NumSubexp() || err != nil && name != "" && re.SubexpIndex(name) >= 0 {
			continue
		}
		return "$" + name
	}
	return ""
}

func (c *compiler) e164(e *E164) {
	if n := len(e.Country); n < 1 || n > 3 || strings.Trim(e.Country, "0123456789") != "" || e.Country[0] == '0' {
		c.errorf("rewrite.e164.country", quote(e.Country)+" is no country code; write its 1 to 3 digits, such as 49")
	}
	if strings.Trim(e.International, "0123456789*#") != "" {
		c.errorf("rewrite.e164.international", quote(e.International)+" is nothing that one dials")
	}
	if strings.Trim(e.National, "0123456789*#") != "" {
		c.errorf("rewrite.e164.national", quote(e.National)+" is nothing that one dials")
	}
	if e.National != "" && e.National == e.International {
		c.errorf("rewrite.e164.national", "is the same as international")
	}
}

func (c *compiler) party(key string, p *Party) {
	if !plain(p.Display) {
		c.errorf(key+".display", "has control characters")
	}
	if !plain(p.User) {
		c.errorf(key+".user", "has control characters")
	}
	if p.Domain == "" {
		return
	}
	if u, err := sip.ParseURI("sip:" + p.Domain); err != nil || u.User != "" || u.Params != "" || u.Headers != "" {
		c.errorf(key+".domain", quote(p.Domain)+" is no host; write such as example.com or example.com:5070")
	}
}

func (c *compiler) header(key, name, value string) {
	switch {
	case !token(name):
		c.errorf(key, quote(name)+" is no name of a header")
	case !oneLine(value):
		c.errorf(key, name+": the value has control characters")
	default:
		for _, u := range untouchable {
			if sameName(u, name) {
				c.errorf(key, name+cure(u))
				return
			}
		}
	}
}

// cure says what to do about a header that rules cannot change.
func cure(name string) string {
	switch name {
	case "From":
		return " has a key of its own: rewrite.from"
	case "P-Asserted-Identity":
		return " has a key of its own: rewrite.asserted"
	case "Privacy":
		return " has a key of its own: rewrite.privacy"
	}
	return " is not a rule's to change: the request would be lost or refused"
}
