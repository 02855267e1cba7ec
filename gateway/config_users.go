package gateway

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/ringway/ringway/sip/digest"
)

// HashUser is H(name:domain:password) by MD5 and by SHA-256, in lower-case hex
// (RFC 7616 §3.4.2): the two secrets of a user's lines in a users file.
func HashUser(name, domain, password string) (ha1, ha1SHA256 string) {
	return digest.HA1(digest.MD5, name, domain, password), digest.HA1(digest.SHA256, name, domain, password)
}

// CheckUserName says why name cannot be a user's: it stands before ':' in digests
// and before '@' in addresses.
func CheckUserName(name string) error {
	switch {
	case name == "":
		return errors.New("an empty user name")
	case strings.ContainsAny(name, ":@\"\\ \t\r\n"):
		return fmt.Errorf("user name %q has a character that SIP or the users file cannot hold", name)
	}
	return nil
}

// readUsers reads users: NAME or NAME@DOMAIN → { ha1, ha1_sha256 } or { password }.
// The domain of a bare name is settled by finishUsers: domain may stand further down.
func (c *Config) readUsers(d *decoder) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		d.mapping(path, n, func(name, path string, v ast.Node) {
			u := User{}
			u.Name, u.Realm, _ = strings.Cut(name, "@")
			if err := CheckUserName(u.Name); err != nil {
				d.problem(path, "%v", err)
			}
			switch v.(type) {
			case nil, *ast.MappingNode, *ast.MappingValueNode:
			default:
				d.addf(v, path, "want { ha1: …, ha1_sha256: … }, have %s; `ringway user hash %s` prints the values", kind(v), name)
				return
			}
			var password string
			k := keys{}
			d.secret(k, "password", func(s string) error { password = s; return nil })
			d.secret(k, "ha1", hexOf(&u.MD5, md5.Size))
			d.secret(k, "ha1_sha256", hexOf(&u.SHA256, sha256.Size))
			before := len(d.problems)
			d.object(path, v, k)
			c.Users = append(c.Users, u)
			d.users = append(d.users, pendingUser{path: path, password: password, ok: len(d.problems) == before})
		})
	}
}

// pendingUser is what a user of the file still lacks until all keys are read.
type pendingUser struct {
	path, password string
	ok             bool // nothing was wrong so far
}

// secret adds key and key_file: the value itself, or the file that holds it.
func (d *decoder) secret(k keys, key string, set func(string) error) {
	k[key] = d.parsed(set)
	k[key+"_file"] = d.parsed(func(name string) error {
		data, err := os.ReadFile(d.relative(name))
		if err != nil {
			return err
		}
		return set(strings.TrimRight(string(data), "\r\n"))
	})
}

func hexOf(dst *string, size int) func(string) error {
	return func(s string) error {
		s = strings.ToLower(s)
		if b, err := hex.DecodeString(s); err != nil || len(b) != size {
			return fmt.Errorf("want %d hexadecimal digits; `ringway user hash NAME@DOMAIN` prints them", 2*size)
		}
		*dst = s
		return nil
	}
}

// userKey tells users apart.
type userKey struct{ name, realm string }

// finishUsers gives the users of the file their domain and secrets, and adds those
// of users_file.
func (c *Config) finishUsers(d *decoder) {
	index := make(map[userKey]int, len(c.Users))
	for i := range c.Users {
		u, p := &c.Users[i], d.users[i]
		if u.Realm == "" && len(c.Domains) > 0 {
			u.Realm = c.Domains[0].Name
		}
		u.Realm = hostKey(u.Realm)
		c.finishUser(d, u, &p)
		if _, known := index[userKey{u.Name, u.Realm}]; known {
			d.problem(p.path, "%s@%s stands here already; drop one of the two", u.Name, u.Realm)
		}
		index[userKey{u.Name, u.Realm}] = i
	}
	if c.UsersFile == "" {
		return
	}
	data, err := os.ReadFile(c.UsersFile)
	if err != nil {
		d.problem("users_file", "%v%s", err, fileForm)
		return
	}
	d.usersFile(c, string(data), index)
}

// finishUser wants one secret of a user in a domain of ours.
func (c *Config) finishUser(d *decoder, u *User, p *pendingUser) {
	switch {
	case !p.ok:
	case p.password != "" && (u.MD5 != "" || u.SHA256 != ""):
		d.problem(p.path, "has a password and a hash of it; drop the password")
	case p.password != "":
		u.MD5, u.SHA256 = HashUser(u.Name, u.Realm, p.password)
	case u.MD5 == "" && u.SHA256 == "":
		d.problem(p.path, "has no secret; write { ha1: … } as `ringway user hash %s@%s` prints it", u.Name, u.Realm)
	}
	if len(c.Domains) > 0 && !c.hasDomain(u.Realm) {
		d.problem(p.path, "domain %s is none of ours", u.Realm)
	}
}

// usersFile reads name:realm:HA1 lines as htdigest writes them. A second line of the
// same name with 64 digits is the SHA-256 one. index is of c.Users.
func (d *decoder) usersFile(c *Config, text string, index map[userKey]int) {
	number := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, domain, hash, err := splitUser(line)
		if err == nil && !c.hasDomain(domain) {
			d.foreign = append(d.foreign, Problem{File: c.UsersFile, Line: number,
				Text: fmt.Sprintf("user %s is of %s, which is none of our domains: nobody can log in with this line", name, domain)})
			continue
		}
		if err == nil {
			at, known := index[userKey{name, domain}]
			if !known {
				at = len(c.Users)
				index[userKey{name, domain}] = at
				c.Users = append(c.Users, User{Name: name, Realm: domain})
			}
			err = setHash(&c.Users[at], hash)
		}
		if err != nil {
			d.problems = append(d.problems, Problem{File: c.UsersFile, Line: number, Text: err.Error()})
		}
	}
}

// splitUser takes a line of a users file apart.
func splitUser(line string) (name, domain, hash string, err error) {
	name, rest, _ := strings.Cut(line, ":")
	domain, hash, ok := strings.Cut(rest, ":")
	if !ok || strings.IndexByte(hash, ':') >= 0 {
		return "", "", "", errors.New("is no NAME:DOMAIN:HASH line; `ringway user hash NAME@DOMAIN` prints one")
	}
	return name, hostKey(domain), hash, CheckUserName(name)
}

// setHash enters a hash of a users file; its length says the algorithm.
func setHash(u *User, s string) error {
	dst, size := &u.MD5, md5.Size
	if len(s) == 2*sha256.Size {
		dst, size = &u.SHA256, sha256.Size
	}
	var hash string
	if err := hexOf(&hash, size)(s); err != nil {
		return fmt.Errorf("user %s: the hash has %d characters, want 32 (MD5) or 64 (SHA-256) hexadecimal digits", u.Name, len(s))
	}
	if *dst != "" && *dst != hash {
		return fmt.Errorf("user %s: has another hash of this kind already; drop one of the two", u.Name)
	}
	*dst = hash
	return nil
}

func (c *Config) hasDomain(name string) bool {
	for i := range c.Domains {
		if c.Domains[i].Name == name {
			return true
		}
	}
	return false
}
