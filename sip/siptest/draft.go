package siptest

import (
	"strconv"
	"strings"
)

// draft is a message in the making.
type draft struct {
	start   string
	headers []string // "Name: value"
	body    string
}

// set replaces the first header of that name, or adds it; the value "-" removes it.
func (d *draft) set(line string) {
	name, value, _ := strings.Cut(line, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	for i, h := range d.headers {
		if old, _, _ := strings.Cut(h, ":"); strings.EqualFold(old, name) {
			if value == "-" {
				d.headers = append(d.headers[:i:i], d.headers[i+1:]...)
			} else {
				d.headers[i] = name + ": " + value
			}
			return
		}
	}
	if value != "-" {
		d.headers = append(d.headers, name+": "+value)
	}
}

// apply sets what a script wrote below its command: headers, a body after "body:", or
// "+Name: value" for one more header of a name.
func (d *draft) apply(lines []string) {
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "body:"):
			d.body = strings.ReplaceAll(strings.TrimSpace(l[len("body:"):]), `\n`, "\r\n")
		case strings.HasPrefix(l, "+"):
			d.headers = append(d.headers, l[1:])
		default:
			d.set(l)
		}
	}
}

// value is the value of the first header of that name.
func (d *draft) value(name string) string {
	for _, h := range d.headers {
		if n, v, _ := strings.Cut(h, ":"); strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// all are the values of the headers of that name.
func (d *draft) all(name string) []string {
	var all []string
	for _, h := range d.headers {
		if n, v, _ := strings.Cut(h, ":"); strings.EqualFold(n, name) {
			all = append(all, strings.TrimSpace(v))
		}
	}
	return all
}

func (d *draft) clone() *draft {
	c := *d
	c.headers = append([]string(nil), d.headers...)
	return &c
}

// method is the request's.
func (d *draft) method() string {
	m, _, _ := strings.Cut(d.start, " ")
	return m
}

func (d *draft) text() string {
	lines := append([]string{d.start}, d.headers...)
	if d.value("Content-Length") == "" {
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(d.body)))
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + d.body
}
