package locate

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// fileTTL is how often the files of the machine are looked at for a change.
	fileTTL = 5 * time.Second
	// maxHostsFile is how much of a hosts file is read; ad blockers' are the long ones.
	maxHostsFile = 8 << 20
)

// hosts is the machine's own names, of hosts(5).
type hosts struct {
	path string

	mu    sync.Mutex
	file  watched
	names map[string][]netip.Addr
}

// lookup yields the addresses of a name with its final dot; none if the file is silent.
func (h *hosts) lookup(fqdn string) []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file.changed(h.path) {
		h.names = nil
		if f, err := os.Open(h.path); err == nil {
			h.names = readHosts(f)
			f.Close()
		}
	}
	return h.names[fqdn]
}

func readHosts(r io.Reader) map[string][]netip.Addr {
	names := map[string][]netip.Addr{}
	lines := bufio.NewScanner(io.LimitReader(r, maxHostsFile))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if a = a.Unmap(); err != nil || !reachable(a) {
			continue // 0.0.0.0 is how blocked names are written
		}
		for _, f := range fields[1:] {
			if n, ok := hostName(f); ok && len(names[n]) < maxAddrs && !slices.Contains(names[n], a) {
				names[n] = append(names[n], a)
			}
		}
	}
	for _, addrs := range names {
		slices.SortFunc(addrs, netip.Addr.Compare)
	}
	return names
}

// watched notices that a file is another than before.
type watched struct {
	checked, modified time.Time
	size              int64
}

// changed looks at the file at most once per fileTTL; the first time it is always true.
func (w *watched) changed(path string) bool {
	now := time.Now()
	first := w.checked.IsZero()
	if !first && now.Sub(w.checked) < fileTTL {
		return false
	}
	w.checked = now
	var modified time.Time
	var size int64 = -1
	if info, err := os.Stat(path); err == nil {
		modified, size = info.ModTime(), info.Size()
	}
	same := modified.Equal(w.modified) && size == w.size
	w.modified, w.size = modified, size
	return first || !same
}
