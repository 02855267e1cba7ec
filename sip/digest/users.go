package digest

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"os"
	"strconv"
)

// Table is Users in memory: the text of a users file and an index of its lines,
// about 100 octets a user. It does not change, so it needs no lock.
type Table struct {
	text  string
	seed  maphash.Seed
	slots []slot // open addressing, a power of two of them, at most half full
	users int
	algs  []Algorithm
}

// slot is where the lines of one user begin in text, plus one; 0 is none.
type slot struct{ md5, sha256 uint32 }

// User is one entry for NewTable; hashes are hexadecimal, "" for none.
type User struct{ Name, Realm, MD5, SHA256 string }

// LoadUsers reads a users file: "name:realm:HA1" lines as htdigest writes them. A
// second line for the same name with 64 digits is its SHA-256 (RFC 8760). Empty
// lines and those that begin with '#' are passed over. Errors name file and line.
func LoadUsers(file string) (*Table, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ParseUsers(file, text)
}

// NewTable makes a table of users given one by one.
func NewTable(users []User) (*Table, error) {
	var b bytes.Buffer
	for _, u := range users {
		for _, ha1 := range []string{u.MD5, u.SHA256} {
			if ha1 != "" {
				b.WriteString(u.Name + ":" + u.Realm + ":" + ha1 + "\n")
			}
		}
	}
	return ParseUsers("users", b.Bytes())
}

// ParseUsers is LoadUsers on text, which it keeps; file is for errors.
func ParseUsers(file string, text []byte) (*Table, error) {
	if len(text) >= 1<<32-1 {
		return nil, fmt.Errorf("%s: larger than 4 GiB", file)
	}
	size := 8
	for size < 2*(bytes.Count(text, []byte("\n"))+1) {
		size *= 2
	}
	t := &Table{seed: maphash.MakeSeed(), slots: make([]slot, size)}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	lines, err := checkLines(file, text)
	if err != nil {
		return nil, err
	}
	t.text = string(text)
	strong := 0
	for _, l := range lines {
		s, isNew := t.find(t.text[l.start:l.nameEnd], t.text[l.nameEnd+1:l.realmEnd])
		if isNew {
			t.users++
		}
		to := &s.md5
		if l.alg == SHA256 {
			to = &s.sha256
			strong++
		}
		if *to != 0 {
			return nil, fmt.Errorf("%s:%d: %s is there already, in line %d", file, l.number,
				t.text[l.start:l.realmEnd], 1+countLines(t.text[:*to]))
		}
		*to = uint32(l.start) + 1
	}
	t.algs = []Algorithm{SHA256, MD5}
	if strong < t.users || t.users == 0 {
		t.algs = t.algs[1:]
	}
	return t, nil
}

// line is one user's line: text[start:nameEnd] is the name, and so on.
type line struct {
	start, nameEnd, realmEnd, number int
	alg                              Algorithm
}

// checkLines finds the users' lines in text and puts their hashes into lower case.
func checkLines(file string, text []byte) ([]line, error) {
	lines := make([]line, 0, bytes.Count(text, []byte("\n"))+1)
	for start, number := 0, 1; start < len(text); number++ {
		end := start + bytes.IndexByte(text[start:], '\n')
		if end < start {
			end = len(text)
		}
		one := bytes.TrimSpace(text[start:end])
		if len(one) > 0 && one[0] != '#' {
			from := start + bytes.Index(text[start:end], one)
			l, why := checkLine(one, from, number)
			if why != "" {
				return nil, fmt.Errorf("%s:%d: %s", file, number, why)
			}
			lines = append(lines, l)
		}
		start = end + 1
	}
	return lines, nil
}

// checkLine reads one line that begins at text[from]; why says what is wrong.
func checkLine(one []byte, from, number int) (l line, why string) {
	name := bytes.IndexByte(one, ':')
	realm := bytes.LastIndexByte(one, ':')
	switch {
	case name < 0 || name == realm:
		return l, "not name:realm:HA1"
	case name == 0:
		return l, "no name"
	case realm == name+1:
		return l, "no realm"
	case bytes.IndexByte(one[name+1:realm], ':') >= 0:
		return l, "more than name:realm:HA1"
	}
	l = line{from, from + name, from + realm, number, MD5}
	ha1 := one[realm+1:]
	switch len(ha1) {
	case MD5.hexLen():
	case SHA256.hexLen():
		l.alg = SHA256
	default:
		return l, "HA1 has " + strconv.Itoa(len(ha1)) + " characters, not 32 (MD5) or 64 (SHA-256)"
	}
	for i, c := range ha1 {
		switch {
		case 'A' <= c && c <= 'F':
			ha1[i] = c | 0x20
		case ('0' > c || c > '9') && ('a' > c || c > 'f'):
			return l, "HA1 is not hexadecimal"
		}
	}
	return l, ""
}

func countLines(s string) (n int) {
	for i := range len(s) {
		if s[i] == '\n' {
			n++
		}
	}
	return n
}

// find is the slot of a user, free when isNew. Nobody else has the seed, so no
// choice of names makes it slow.
func (t *Table) find(name, realm string) (s *slot, isNew bool) {
	h := maphash.String(t.seed, name) ^ maphash.String(t.seed, realm)*31
	for i := h; ; i++ {
		s = &t.slots[i&uint64(len(t.slots)-1)]
		at := max(s.md5, s.sha256)
		if at == 0 {
			return s, true
		}
		if rest := t.text[at-1:]; len(rest) > len(name)+len(realm)+2 &&
			rest[:len(name)] == name && rest[len(name)] == ':' &&
			rest[len(name)+1:len(name)+1+len(realm)] == realm && rest[len(name)+1+len(realm)] == ':' {
			return s, false
		}
	}
}

// HA1 implements Users.
func (t *Table) HA1(user, realm string, alg Algorithm) (string, bool) {
	s, isNew := t.find(user, realm)
	at := s.md5
	if alg == SHA256 {
		at = s.sha256
	}
	if isNew || at == 0 {
		return "", false
	}
	start := int(at-1) + len(user) + len(realm) + 2
	return t.text[start : start+alg.hexLen()], true
}

// Algorithms implements Users.
func (t *Table) Algorithms() []Algorithm { return t.algs }

// Has reports whether there is such a user.
func (t *Table) Has(user, realm string) bool {
	_, isNew := t.find(user, realm)
	return !isNew
}

// Len is the number of users.
func (t *Table) Len() int { return t.users }
