package route

import "regexp/syntax"

// dial is an anchored pattern without alternatives: one set of bytes per
// position, then perhaps a repeated one.
type dial struct {
	at     []byteSet
	tail   *byteSet // repeated 0 or more times after at
	anyEnd bool     // no $: whatever follows
}

// byteSet has a bit per ASCII byte.
type byteSet [2]uint64

func (s *byteSet) add(c rune)      { s[c>>6] |= 1 << (c & 63) }
func (s *byteSet) has(c byte) bool { return c < 0x80 && s[c>>6]&(1<<(c&63)) != 0 }

// MatchString reports whether s fits.
func (d *dial) MatchString(s string) bool {
	if len(s) < len(d.at) {
		return false
	}
	for i := range d.at {
		if !d.at[i].has(s[i]) {
			return false
		}
	}
	if d.anyEnd {
		return true
	}
	rest := s[len(d.at):]
	if d.tail == nil {
		return rest == ""
	}
	for i := range len(rest) {
		if !d.tail.has(rest[i]) {
			return false
		}
	}
	return true
}

// dialOf is a simplified pattern as a dial, or nil when it is not of that kind.
func dialOf(re *syntax.Regexp) *dial {
	if re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText {
		return nil
	}
	d := &dial{anyEnd: true}
	for _, part := range re.Sub[1:] {
		if !d.add(part) {
			return nil
		}
	}
	return d
}

// add appends one part; false when it is not of the simple kind.
func (d *dial) add(re *syntax.Regexp) bool {
	if re.Flags&syntax.FoldCase != 0 || !d.anyEnd || d.tail != nil && re.Op != syntax.OpEndText {
		return false
	}
	switch re.Op {
	case syntax.OpConcat, syntax.OpCapture:
		for _, part := range re.Sub {
			if !d.add(part) {
				return false
			}
		}
		return true
	case syntax.OpEndText:
		d.anyEnd = false
		return true
	case syntax.OpLiteral, syntax.OpCharClass:
		sets := bytesOf(re)
		d.at = append(d.at, sets...)
		return sets != nil
	case syntax.OpPlus, syntax.OpStar:
		sets := bytesOf(re.Sub[0])
		if len(sets) != 1 {
			return false
		}
		if re.Op == syntax.OpPlus {
			d.at = append(d.at, sets[0])
		}
		d.tail = &sets[0]
		return true
	}
	return false
}

// bytesOf is the sets of a literal or character class, nil if it has more than ASCII.
func bytesOf(re *syntax.Regexp) []byteSet {
	var sets []byteSet
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if c >= 0x80 {
				return nil
			}
			var s byteSet
			s.add(c)
			sets = append(sets, s)
		}
	case syntax.OpCharClass:
		var s byteSet
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i+1] >= 0x80 {
				return nil
			}
			for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
				s.add(c)
			}
		}
		sets = []byteSet{s}
	}
	return sets
}

// dialOfPrefix is the dial of all texts that begin with prefix; nil where it is not ASCII.
func dialOfPrefix(prefix string) *dial {
	d := &dial{anyEnd: true}
	for _, c := range prefix {
		if c >= 0x80 {
			return nil
		}
		var s byteSet
		s.add(c)
		d.at = append(d.at, s)
	}
	return d
}

// covers reports whether whatever fits o fits d.
func (d *dial) covers(o *dial) bool {
	if len(o.at) < len(d.at) {
		return false
	}
	for i := range d.at {
		if !d.at[i].covers(&o.at[i]) {
			return false
		}
	}
	rest := o.at[len(d.at):]
	switch {
	case d.anyEnd:
		return true
	case o.anyEnd:
		return false
	case d.tail == nil:
		return len(rest) == 0 && o.tail == nil
	}
	for i := range rest {
		if !d.tail.covers(&rest[i]) {
			return false
		}
	}
	return o.tail == nil || d.tail.covers(o.tail)
}

// covers reports whether s has all of o.
func (s *byteSet) covers(o *byteSet) bool { return o[0]&^s[0] == 0 && o[1]&^s[1] == 0 }
