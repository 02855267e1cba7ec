// Package phone is the demo page: two browser phones that call each other
// through the gateway. The page is built by npm (make web); without it the
// binary still builds and serves a page that says how to get it.
package phone

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// The pattern names the built directory where there is one, and always the
// page that stands in for it: a pattern that matches nothing is no build.
//
//go:embed dist*
var files embed.FS

const (
	built   = "dist"
	missing = "dist.missing.html"
)

// User is one line of the page: a user name and its password in the clear, so
// nothing but a demonstration's.
type User struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// Config is what the page is told. The page shows the first two users.
type Config struct {
	// WS is the gateway's WebSocket: a ws: or wss: URL, or a path ("/ws") on
	// the host that serves the page.
	WS string `json:"ws"`
	// Domain is the domain of the users' addresses.
	Domain string `json:"domain"`
	Users  []User `json:"users"`
}

// Built tells whether the page is in this binary.
func Built() bool {
	_, err := fs.Stat(files, built+"/index.html")
	return err == nil
}

// Handler serves the page, its files and /config.json with cfg. It answers GET
// and HEAD; everything else is 405, an unknown path 404.
func Handler(cfg Config) http.Handler {
	config, err := json.Marshal(cfg)
	if err != nil {
		panic(err) // strings only
	}
	h := &handler{files: map[string]file{}, policy: policy(cfg.WS)}
	h.files["/config.json"] = file{body: config, kind: "application/json", cache: "no-store"}
	if !Built() {
		h.files["/"] = read(files, missing)
		return h
	}
	dist, _ := fs.Sub(files, built)
	_ = fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			h.files["/"+name] = read(dist, name)
		}
		return err
	})
	h.files["/"] = h.files["/index.html"]
	return h
}

type file struct {
	body  []byte
	kind  string
	etag  string
	cache string
}

// read takes a file of the binary: it is there, or the build is broken.
func read(from fs.FS, name string) file {
	body, err := fs.ReadFile(from, name)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(body)
	return file{
		body: body,
		kind: contentType(name),
		etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		// Names carry no version: keep a copy, ask each time.
		cache: "no-cache",
	}
}

// contentType does not ask the machine's own tables where ours will do.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	default:
		if kind := mime.TypeByExtension(ext); kind != "" {
			return kind
		}
		return "application/octet-stream"
	}
}

type handler struct {
	files  map[string]file
	policy string
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f, ok := h.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header.Set("Content-Type", f.kind)
	header.Set("Cache-Control", f.cache)
	header.Set("Content-Security-Policy", h.policy)
	header.Set("Referrer-Policy", "no-referrer")
	if f.etag != "" {
		header.Set("ETag", f.etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// policy lets the page load its own files and talk to the gateway, and no more.
func policy(ws string) string {
	connect := "'self'"
	if u, err := url.Parse(ws); err == nil && (u.Scheme == "ws" || u.Scheme == "wss") && plain(u.Host) {
		connect += " " + u.Scheme + "://" + u.Host
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		"media-src 'self' blob: mediastream:",
		"connect-src " + connect,
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")
}

// plain: nothing in a host may end a source or a directive of the policy.
func plain(host string) bool {
	return host != "" && !strings.ContainsAny(host, " ;,'\"\t\r\n")
}
