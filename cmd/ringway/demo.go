package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"strconv"

	"github.com/ringway/ringway/gateway"
	"github.com/ringway/ringway/web/phone"
)

const (
	demoDomain = "demo.localhost"
	demoPort   = 8080 // or the next free one
)

// demo runs a gateway on loopback with two users and a page that has a phone for each.
func (a *app) demo() error {
	port, err := freePort(demoPort)
	if err != nil {
		return err
	}
	users := []phone.User{{Name: "alice", Password: rand.Text()}, {Name: "bob", Password: rand.Text()}}
	cfg, err := demoConfig(port, users)
	if err != nil {
		return err
	}
	cfg.Page = phone.Handler(phone.Config{WS: "/ws", Domain: demoDomain, Users: users})
	return a.serve(cfg, a.logger(cfg.Log), func() {
		fmt.Fprintf(a.stdout, "Two phones that can call each other: http://127.0.0.1:%d/ (Ctrl-C ends it)\n", port)
	})
}

func demoConfig(port int, users []phone.User) (*gateway.Config, error) {
	yaml := fmt.Sprintf("domain: %s\nlisten: [ \"ws://127.0.0.1:%d/ws\" ]\nadmin: off\nlog: { level: warn }\nusers:\n", demoDomain, port)
	for _, u := range users {
		ha1, ha1SHA256 := gateway.HashUser(u.Name, demoDomain, u.Password)
		yaml += fmt.Sprintf("  %s: { ha1: \"%s\", ha1_sha256: \"%s\" }\n", u.Name, ha1, ha1SHA256)
	}
	return gateway.Parse("demo", []byte(yaml))
}

// freePort is the first port from first on that nobody listens on.
func freePort(first int) (int, error) {
	for port := first; port < first+100; port++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d on 127.0.0.1", first, first+99)
}
