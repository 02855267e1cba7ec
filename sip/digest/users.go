package digest

import (
	"fmt"
	"hash/maphash"
)

// User is one entry of a Table. The hashes are H(A1) = H(name:realm:password) in
// lower-case hexadecimal (RFC 7616 §3.4.2), "" for none.
type User struct{ Name, Realm, MD5, SHA256 string }

// Table is Users in memory: the entries and an index of them. It does not change, so
// it needs no lock.
type Table struct {
	users []User
	seed  maphash.Seed
	slots []uint32 // index in users plus one; open addressing, a power of two of them, at most half full
	algs  []Algorithm
}

// NewTable makes a table of users, which it keeps. A name may stand once in a realm.
func NewTable(users []User) (*Table, error) {
	size := 8
	for size < 2*len(users) {
		size *= 2
	}
	t := &Table{users: users, seed: maphash.MakeSeed(), slots: make([]uint32, size), algs: []Algorithm{SHA256, MD5}}
	weak, md5 := len(users) == 0, len(users) == 0
	for i := range users {
		u := &users[i]
		s := t.find(u.Name, u.Realm)
		if *s != 0 {
			return nil, fmt.Errorf("user %s is in realm %s twice", u.Name, u.Realm)
		}
		*s = uint32(i) + 1
		weak, md5 = weak || u.SHA256 == "", md5 || u.MD5 != ""
	}
	switch {
	case weak:
		t.algs = t.algs[1:]
	case !md5:
		t.algs = t.algs[:1]
	}
	return t, nil
}

// find is the slot of a user, or the free one where it would be. Nobody else has the
// seed, so no choice of names makes it slow.
func (t *Table) find(name, realm string) *uint32 {
	h := maphash.String(t.seed, name) ^ maphash.String(t.seed, realm)*31
	for i := h; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if *s == 0 {
			return s
		}
		if u := &t.users[*s-1]; u.Name == name && u.Realm == realm {
			return s
		}
	}
}

// HA1 implements Users.
func (t *Table) HA1(user, realm string, alg Algorithm) (string, bool) {
	at := *t.find(user, realm)
	if at == 0 {
		return "", false
	}
	ha1 := t.users[at-1].MD5
	if alg == SHA256 {
		ha1 = t.users[at-1].SHA256
	}
	return ha1, ha1 != ""
}

// Algorithms implements Users.
func (t *Table) Algorithms() []Algorithm { return t.algs }

// Has reports whether there is such a user.
func (t *Table) Has(user, realm string) bool { return *t.find(user, realm) != 0 }

// Len is the number of users.
func (t *Table) Len() int { return len(t.users) }
