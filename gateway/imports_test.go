package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ringway/ringway"

// goPackage is what go list says of a package, without its tests' imports.
type goPackage struct {
	ImportPath string
	Imports    []string
}

// floors says what of this module a room may import: the first row whose room fits
// counts. "x/..." is x and all below it. Siblings are not among them, so they never
// import each other; rooms that only tests use are in no row's list.
var floors = []struct {
	room string
	may  []string
}{
	{"cmd/ringway", []string{"gateway", "web/phone"}},
	{"gateway", []string{"gateway/ws", "gateway/proxy", "gateway/policy", "gateway/relay", "gateway/route", "gateway/trunk", "gateway/admin", "registrar", "registrar/redis", "sip", "sip/fault", "sip/flow", "sip/transaction", "sip/transport", "sip/ua", "sip/digest"}},
	{"gateway/trunk", []string{"gateway/trunk/locate", "sip", "sip/fault", "sip/transaction", "sip/digest"}},
	{"gateway/trunk/locate/...", []string{"sip", "sip/fault"}},
	{"gateway/...", []string{"sip", "sip/fault", "sip/flow", "sip/transaction", "sip/transport", "sip/ua", "sip/digest"}},
	{"registrar/storetest", []string{"registrar", "sip", "sip/flow"}},
	{"registrar/redis", []string{"registrar"}},
	{"registrar", []string{"sip", "sip/flow", "sip/digest"}},
	{"sip", nil},
	{"sip/siptest", []string{"sip/..."}},
	{"sip/fault", nil},
	{"sip/cmac", nil},
	{"sip/...", []string{"sip", "sip/fault", "sip/cmac", "sip/flow", "sip/transaction", "sip/digest"}},
	{"web/phone", nil},
	{".ci/...", nil},
}

// homes says where a foreign library may be imported, by the start of its path.
var homes = []struct{ library, room string }{
	{"github.com/emiago/sipgo", "sip/..."},
	{"github.com/gorilla/websocket", "gateway/ws/..."},
	{"github.com/pion/sdp", "gateway/policy"},
	{"github.com/miekg/dns", "gateway/trunk/locate/..."},
	{"github.com/goccy/go-yaml", "gateway"},
	{"github.com/prometheus/", "gateway/admin"},
	{"github.com/redis/", "registrar/redis"},
	{"github.com/alecthomas/kong", "cmd/ringway"},
	{"golang.org/x/term", "cmd/ringway"},
}

func within(room, pattern string) bool {
	if base, tree := strings.CutSuffix(pattern, "/..."); tree {
		return room == base || strings.HasPrefix(room, base+"/")
	}
	return room == pattern
}

// violations lists the imports that the floors and homes do not allow.
func violations(pkgs []goPackage) (bad []string) {
	for _, p := range pkgs {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		row := slices.IndexFunc(floors, func(f struct {
			room string
			may  []string
		}) bool {
			return within(room, f.room)
		})
		if row < 0 {
			bad = append(bad, room+" is on no floor")
			continue
		}
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
				if !slices.ContainsFunc(floors[row].may, func(m string) bool { return within(ours, m) }) {
					bad = append(bad, room+" imports "+ours)
				}
				continue
			}
			for _, h := range homes {
				if strings.HasPrefix(imported, h.library) && !within(room, h.room) {
					bad = append(bad, fmt.Sprintf("%s imports %s, whose place is %s", room, imported, h.room))
				}
			}
		}
	}
	return bad
}

func goList(t *testing.T, patterns ...string) (pkgs []goPackage) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Imports"}, patterns...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportsPointDown(t *testing.T) {
	pkgs := goList(t, "./...")
	if len(pkgs) < 10 {
		t.Fatalf("go list found %d packages", len(pkgs))
	}
	for _, v := range violations(pkgs) {
		t.Error(v)
	}
}

// TestForbiddenImportsAreNoticed is the check of the check: real packages that break the
// rules, and one case for each of them.
func TestForbiddenImportsAreNoticed(t *testing.T) {
	got := violations(goList(t, "./gateway/testdata/imports/sideways"))
	want := []string{
		"gateway/testdata/imports/sideways imports github.com/gorilla/websocket, whose place is gateway/ws/...",
		"gateway/testdata/imports/sideways imports gateway/trunk",
		"gateway/testdata/imports/sideways imports registrar",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the fixture's violations are %q, want %q", got, want)
	}
	for _, c := range []struct{ room, imports string }{
		{"gateway/ws", module + "/gateway/proxy"}, {"gateway/proxy", module + "/gateway"}, {"gateway/proxy", module + "/registrar"}, {"gateway/relay", module + "/registrar"}, {"gateway/relay", module + "/gateway/proxy"},
		{"registrar", module + "/gateway/trunk"}, {"registrar/redis", module + "/sip/transaction"}, {"sip", module + "/sip/flow"},
		{"sip/transport", module + "/registrar"}, {"sip/flow", module + "/gateway"}, {"cmd/ringway", module + "/sip"}, {"web/phone", module + "/gateway"},
		{"gateway", module + "/sip/siptest"}, {"gateway/ws", module + "/registrar/storetest"}, {"attic", "fmt"},
		{"gateway/proxy", "github.com/emiago/sipgo/sip"}, {"gateway", "github.com/gorilla/websocket"}, {"sip", "github.com/pion/sdp/v3"},
		{"cmd/ringway", "github.com/goccy/go-yaml/ast"}, {"gateway", "github.com/prometheus/client_golang/prometheus"},
		{"registrar", "github.com/redis/go-redis/v9"}, {"gateway", "github.com/alecthomas/kong"}, {"gateway", "golang.org/x/term"},
		{"gateway/trunk", "github.com/miekg/dns"}, {"gateway", module + "/gateway/trunk/locate"}, {"gateway/trunk/locate", module + "/gateway/trunk"},
		{"gateway/trunk/locate", module + "/sip/flow"}, {"gateway/trunk", module + "/gateway/trunk/locate/dnstest"},
	} {
		if bad := violations([]goPackage{{module + "/" + c.room, []string{c.imports}}}); len(bad) != 1 {
			t.Errorf("%s may import %s: %q", c.room, c.imports, bad)
		}
	}
}
