package sip

import (
	"slices"
	"strconv"
)

// editKind says what an edit is for, so that it can be found again, and ranks
// edits of one position: lines put in come before what is cut there.
type editKind uint8

const (
	viaLine editKind = iota // lines put in, in the order they take at one position
	recordRouteLine
	routeFirstLine
	routeLastLine
	maxForwardsLine
	addedLine
	lengthLine
	lineKinds // the kinds below put in lines, those above change what is there

	uriPiece
	valuePiece // a header value replaced
	lineCut    // a header line removed
	viaCut
	routeCut
	stampPiece
)

// edit replaces text[at:end] of the message, which is empty for what is only put
// in. A line is put in as "name: text", anything else as name and text together.
type edit struct {
	at, end  uint16
	num      uint16 // follows text when numbered
	kind     editKind
	numbered bool
	name     string
	text     string
}

func (e *edit) append(dst []byte) []byte {
	dst = append(dst, e.name...)
	if e.kind < lineKinds {
		dst = append(dst, ": "...)
	}
	dst = append(dst, e.text...)
	if e.numbered {
		dst = strconv.AppendUint(dst, uint64(e.num), 10)
	}
	if e.kind < lineKinds {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// edits is a list ordered by position and kind; a dozen needs no allocation.
// Of two that overlap the outer begins first or ranks first, and wins.
type edits struct {
	n      int
	inline [12]edit
	spill  []edit // all of them, once there are more
}

func (l *edits) all() []edit {
	if l.spill != nil {
		return l.spill
	}
	return l.inline[:l.n]
}

// insert puts e behind the edits of its position and kind, or ahead of them.
func (l *edits) insert(e edit, ahead bool) {
	all := l.all()
	i := len(all)
	for i > 0 && (all[i-1].at > e.at || all[i-1].at == e.at &&
		(all[i-1].kind > e.kind || ahead && all[i-1].kind == e.kind)) {
		i--
	}
	if l.spill == nil && l.n < len(l.inline) {
		copy(l.inline[i+1:l.n+1], l.inline[i:l.n])
		l.inline[i] = e
		l.n++
		return
	}
	if l.spill == nil {
		l.spill = append(make([]edit, 0, 2*len(l.inline)), all...)
	}
	l.spill = slices.Insert(l.spill, i, e)
}

// find is the edit of that kind and position, or nil.
func (l *edits) find(kind editKind, at uint16) *edit {
	all := l.all()
	for i := range all {
		if all[i].kind == kind && all[i].at == at {
			return &all[i]
		}
	}
	return nil
}

// set puts e in, or in the place of the one of its kind and position.
func (l *edits) set(e edit) {
	if old := l.find(e.kind, e.at); old != nil {
		*old = e
		return
	}
	l.insert(e, false)
}

// drop takes out all edits of a kind.
func (l *edits) drop(kind editKind) {
	is := func(e edit) bool { return e.kind == kind }
	if l.spill != nil { // apart from inline, or the list would hold on to itself and escape
		l.spill = slices.DeleteFunc(l.spill, is)
	} else {
		l.n = len(slices.DeleteFunc(l.inline[:l.n], is))
	}
}

// appendRange writes text[from:to] with the edits that begin in it; lines are put in only if asked for.
func (l *edits) appendRange(dst []byte, text string, from, to uint16, lines bool) []byte {
	all := l.all()
	for i := range all {
		e := &all[i]
		if e.at >= to {
			break
		}
		if e.at < from || e.kind < lineKinds && !lines { // before, or within what is cut already
			continue
		}
		dst = append(dst, text[from:e.at]...)
		dst = e.append(dst)
		from = e.end
	}
	if from < to {
		dst = append(dst, text[from:to]...)
	}
	return dst
}

// growth is how much longer than the message its copy can be.
func (l *edits) growth() (n int) {
	all := l.all()
	for i := range all {
		n += len(all[i].name) + len(all[i].text) + len(": 65535\r\n")
	}
	return n
}
