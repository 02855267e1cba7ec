package flow

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ringway/ringway/sip/cmac"
)

const (
	// keyLife is how long a key signs before Rotate replaces it, and how long it
	// still verifies after that: dialogs outlive a rotation, a leaked key does not live for ever.
	keyLife  = 24 * time.Hour
	keyBytes = 32
	keysName = "flow.keys"
	// tokenPurpose is what the AES key of tokens is derived for; the stored one serves HMAC alone.
	tokenPurpose = "flow token AES-128-CMAC"
)

// ring is one immutable set of keys, newest last.
type ring struct {
	nameKey []byte // never changes: the hashes in living tokens must stay comparable
	names   *macer
	keys    []tokenKey
}

type tokenKey struct {
	id    byte
	since time.Time // when it began to sign
	key   []byte    // as stored
	mac   *cmac.MAC
}

func (r *ring) newest() *tokenKey { return &r.keys[len(r.keys)-1] }

func (r *ring) find(id byte) *tokenKey {
	for i := range r.keys {
		if r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// keyFile is where the keys are kept; "" keeps none.
type keyFile string

// OpenKeys reads the keys kept in dir ("flow.keys", readable by the owner alone),
// making them when there are none; dir "" keeps them in memory, so that calls
// do not survive a restart.
func OpenKeys(dir string) (*Keys, error) {
	k := &Keys{}
	if dir != "" {
		k.store = keyFile(filepath.Join(dir, keysName))
	}
	r, err := k.store.load()
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = &ring{nameKey: random()}
		r.names = newMacer(r.nameKey)
	}
	k.ring.Store(r)
	if err := k.Rotate(time.Now()); err != nil {
		return nil, err
	}
	return k, nil
}

// Rotate brings in a new signing key when the newest is a day old, and drops keys
// that were replaced more than a day ago. Call it now and then (once an hour).
func (k *Keys) Rotate(now time.Time) error {
	old := k.ring.Load()
	if len(old.keys) > 0 && now.Sub(old.newest().since) < keyLife {
		return nil
	}
	r := &ring{nameKey: old.nameKey, names: old.names}
	for i := range old.keys {
		last := i == len(old.keys)-1
		if last || now.Sub(old.keys[i+1].since) < keyLife {
			r.keys = append(r.keys, old.keys[i])
		}
	}
	var id byte
	if len(r.keys) > 0 {
		id = r.newest().id + 1
	}
	key := random()
	r.keys = append(r.keys, tokenKey{id: id, since: now, key: key, mac: cmac.Derive(key, tokenPurpose)})
	if err := k.store.save(r); err != nil {
		return err
	}
	k.ring.Store(r)
	return nil
}

func random() []byte {
	b := make([]byte, keyBytes)
	rand.Read(b)
	return b
}

// load reads lines "name HEX" and "token ID UNIX-SECONDS HEX"; nil without a file.
func (f keyFile) load() (*ring, error) {
	if f == "" {
		return nil, nil
	}
	b, err := os.ReadFile(string(f))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("flow keys: %w", err)
	}
	r := &ring{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		if err := r.read(strings.Fields(lines.Text())); err != nil {
			return nil, fmt.Errorf("flow keys: %s:%d: %w; delete the file to start with new keys (calls in progress then lose their routes)", string(f), n, err)
		}
	}
	if r.names == nil {
		return nil, fmt.Errorf("flow keys: %s: no name key; delete the file to start with new keys", string(f))
	}
	return r, nil
}

func (r *ring) read(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "name":
		key, err := decodeKey(words[1])
		if err != nil {
			return err
		}
		r.nameKey, r.names = key, newMacer(key)
	case len(words) == 4 && words[0] == "token":
		id, err1 := strconv.ParseUint(words[1], 10, 8)
		since, err2 := strconv.ParseInt(words[2], 10, 64)
		key, err := decodeKey(words[3])
		if err != nil || err1 != nil || err2 != nil {
			return fmt.Errorf("bad token key")
		}
		r.keys = append(r.keys, tokenKey{byte(id), time.Unix(since, 0), key, cmac.Derive(key, tokenPurpose)})
	default:
		return fmt.Errorf("not a key line")
	}
	return nil
}

func decodeKey(s string) ([]byte, error) {
	key, err := hex.DecodeString(s)
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("key is not %d hexadecimal bytes", keyBytes)
	}
	return key, nil
}

// save replaces the file whole, so that a crash leaves the old or the new one.
func (f keyFile) save(r *ring) error {
	if f == "" {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "name %x\n", r.nameKey)
	for _, k := range r.keys {
		fmt.Fprintf(&b, "token %d %d %x\n", k.id, k.since.Unix(), k.key)
	}
	tmp, err := os.CreateTemp(filepath.Dir(string(f)), keysName+".*") // made 0600
	if err != nil {
		return fmt.Errorf("flow keys: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b.Bytes())
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), string(f))
	}
	if err != nil {
		return fmt.Errorf("flow keys: %w", err)
	}
	return nil
}
