package phone

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var demo = Config{
	WS:     "ws://127.0.0.1:5080/ws",
	Domain: "example.test",
	Users:  []User{{"alice", "a"}, {"bob", "b"}},
}

func get(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestPageIsServedOrSaysHowToGetIt(t *testing.T) {
	res := get(t, Handler(demo), http.MethodGet, "/")
	body, _ := io.ReadAll(res.Body)
	want := "make web"
	if Built() {
		want = `src="phone.js"`
	}
	if res.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
		t.Errorf("GET /: status %d, want a page with %q, got %.200s", res.StatusCode, want, body)
	}
	if got := res.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type of the page: %q", got)
	}
}

func TestConfigIsInjectedAndNeverCached(t *testing.T) {
	res := get(t, Handler(demo), http.MethodGet, "/config.json")
	var got Config
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatalf("config.json: %v", err)
	}
	if got.WS != demo.WS || got.Domain != demo.Domain || len(got.Users) != 2 || got.Users[1] != demo.Users[1] {
		t.Errorf("config.json: got %+v, want %+v", got, demo)
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control of passwords: %q", got)
	}
}

func TestPolicyAllowsTheGatewayAlone(t *testing.T) {
	for _, c := range []struct{ ws, connect string }{
		{"ws://127.0.0.1:5080/ws", "connect-src 'self' ws://127.0.0.1:5080;"},
		{"wss://gw.example.com/ws", "connect-src 'self' wss://gw.example.com;"},
		{"/ws", "connect-src 'self';"},
		{"https://elsewhere.example", "connect-src 'self';"},
		{"ws://x;script-src'/", "connect-src 'self';"},
	} {
		got := policy(c.ws)
		if !strings.Contains(got+";", c.connect) {
			t.Errorf("policy(%q) = %q, want %q in it", c.ws, got, c.connect)
		}
		if strings.Count(got, "script-src") != 1 || strings.Contains(got, "unsafe") {
			t.Errorf("policy(%q) = %q: scripts of others", c.ws, got)
		}
	}
}

func TestUnchangedFileIsNotSentAgain(t *testing.T) {
	h := Handler(demo)
	tag := get(t, h, http.MethodGet, "/").Header.Get("ETag")
	if res := get(t, h, http.MethodGet, "/", "If-None-Match", tag); tag == "" || res.StatusCode != http.StatusNotModified {
		t.Errorf("ETag %q: status %d, want 304", tag, res.StatusCode)
	}
}

func TestOtherMethodsAndPathsAreRefused(t *testing.T) {
	h := Handler(demo)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodHead, "/", http.StatusOK},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodGet, "/embed.go", http.StatusNotFound},
		{http.MethodGet, "/../config.json", http.StatusNotFound},
		{http.MethodGet, "/dist/", http.StatusNotFound},
	} {
		if res := get(t, h, c.method, c.path); res.StatusCode != c.want {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, res.StatusCode, c.want)
		}
	}
}
