package siptest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// always are the headers that a script shows of each message that has them.
var always = []string{"Reason", "Retry-After", "Warning", "Unsupported", "Min-Expires"}

// masks are the random parts of what a gateway writes. Each text that one of them
// finds gets a number, so that a script shows which are the same.
var masks = []struct {
	word string
	re   *regexp.Regexp
}{
	{"TGRUU", regexp.MustCompile(`([A-Za-z0-9_-]{64,})@[^">;]*;gr\b`)},
	{"BRANCH", regexp.MustCompile(`z9hG4bK[0-9a-f]{32}\b`)},
	{"TOKEN", regexp.MustCompile(`([A-Za-z0-9_-]{48})@`)},
	{"ALIAS", regexp.MustCompile(`sip:([A-Za-z0-9_-]{20})@`)},
	{"TAG", regexp.MustCompile(`;tag=([0-9a-f]{16})\b`)},
	{"NONCE", regexp.MustCompile(`nonce="([^"]*)"`)},
}

var retryAfter = regexp.MustCompile(`(Retry-After: )\d+`)

// Masker replaces random parts by words with numbers: TOKEN1, TOKEN2.
type Masker struct {
	words map[string]string
	count map[string]int
}

// NewMasker makes a Masker that has seen nothing.
func NewMasker() *Masker { return &Masker{make(map[string]string), make(map[string]int)} }

// Mask replaces what is random in s.
func (k *Masker) Mask(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllStringFunc(s, func(found string) string {
			sub := m.re.FindStringSubmatch(found)
			part := sub[len(sub)-1]
			return strings.Replace(found, part, k.word(m.word, part), 1)
		})
	}
	return retryAfter.ReplaceAllString(s, "${1}N")
}

var masked = regexp.MustCompile(`\b(BRANCH|TOKEN|ALIAS|TAG|NONCE|TGRUU)[0-9]+\b`)

// Unmask puts what was masked back for its word, so that a script can use it.
func (k *Masker) Unmask(s string) string {
	return masked.ReplaceAllStringFunc(s, func(word string) string {
		for part, w := range k.words {
			if w == word {
				return part
			}
		}
		return word
	})
}

func (k *Masker) word(kind, part string) string {
	w := k.words[part]
	if w == "" {
		k.count[kind]++
		w = kind + strconv.Itoa(k.count[kind])
		k.words[part] = w
	}
	return w
}

// Show is the short form of a message: start line without version, CSeq method of a
// response, and the headers asked for, each on a line of its own. headers may name "body".
func Show(text string, headers []string) []string {
	m, err := sip.Parse(text, sip.Datagram)
	if err != nil {
		return []string{fmt.Sprintf("%q", text)}
	}
	_, method := m.CSeq()
	first := fmt.Sprintf("%d %s (%s)", m.Status(), m.ReasonPhrase(), method)
	if m.IsRequest() {
		first = m.Method() + " " + m.RequestURI()
	}
	lines := []string{first}
	for _, h := range append(always[:len(always):len(always)], headers...) {
		for _, f := range m.Fields() {
			if strings.EqualFold(m.Name(f), h) {
				lines = append(lines, "    "+h+": "+m.FieldValue(f))
			}
		}
		if h == "body" && m.Body() != "" {
			lines = append(lines, "    "+strconv.Quote(m.Body()))
		}
	}
	return lines
}
