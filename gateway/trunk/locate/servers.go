package locate

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxServers = 8
	maxSearch  = 6
	// lostFor is how long a server that was silent is asked last.
	lostFor = 30 * time.Second
)

// servers is the list of DNS servers, and which of them were silent lately.
type servers struct {
	// Static after construction.
	fixed []string // of Config; empty: those of the file
	path  string

	mu    sync.Mutex // a leaf
	file  watched
	conf  *dns.ClientConfig // of the file; nil: not readable
	lists []string
	until map[string]time.Time // server → asked last until then
}

func newServers(cfg Config) *servers {
	s := &servers{path: cfg.ResolvConf, until: map[string]time.Time{}}
	for _, text := range cfg.Servers[:min(len(cfg.Servers), maxServers)] {
		if addr, err := ParseServer(text); err == nil {
			text = addr.String()
		}
		s.fixed = append(s.fixed, text) // one that is no address fails when it is asked, by name
	}
	s.lists = s.fixed
	return s
}

// ParseServer reads a DNS server of the configuration: an IP address, with or without port.
func ParseServer(text string) (netip.AddrPort, error) {
	if a, ok := literal(text); ok {
		return netip.AddrPortFrom(a, 53), nil
	}
	a, err := netip.ParseAddrPort(text)
	if err == nil && a.Port() == 0 {
		err = errors.New("no server listens at port 0")
	}
	return a, err
}

// order is the list with those last that were silent lately.
func (s *servers) order() []string {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	out := make([]string, 0, len(s.lists))
	for _, lost := range []bool{false, true} {
		for _, server := range s.lists {
			if now.Before(s.until[server]) == lost {
				out = append(out, server)
			}
		}
	}
	return out
}

func (s *servers) refreshLocked() {
	if len(s.fixed) > 0 || !s.file.changed(s.path) {
		return
	}
	s.lists, s.until = nil, map[string]time.Time{}
	conf, err := dns.ClientConfigFromFile(s.path)
	if err != nil {
		conf = nil
	}
	s.conf = conf
	if conf != nil {
		conf.Search = conf.Search[:min(len(conf.Search), maxSearch)]
		for _, text := range conf.Servers[:min(len(conf.Servers), maxServers)] {
			if addr, err := ParseServer(text); err == nil {
				s.lists = append(s.lists, addr.String())
			}
		}
	}
	if len(s.lists) == 0 { // resolv.conf(5): the server on this machine
		s.lists = []string{"127.0.0.1:53", "[::1]:53"}
	}
}

func (s *servers) lost(server string) {
	s.mu.Lock()
	s.until[server] = time.Now().Add(lostFor)
	s.mu.Unlock()
}

func (s *servers) heard(server string) {
	s.mu.Lock()
	delete(s.until, server)
	s.mu.Unlock()
}

// candidates are the names to try for a host as the URI writes it: itself, and with
// the machine's search domains by the rules of resolv.conf(5).
func (s *servers) candidates(host, fqdn string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked()
	if s.conf == nil || strings.HasSuffix(host, ".") {
		return []string{fqdn}
	}
	var out []string
	for _, text := range s.conf.NameList(strings.TrimSuffix(fqdn, ".")) {
		if n, ok := hostName(text); ok {
			out = append(out, n)
		}
	}
	return out
}
