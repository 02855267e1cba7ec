package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/ringway/ringway/gateway/admin"
	"github.com/ringway/ringway/sip/transport"
)

// adminServer is the operator's HTTP listener; without an address it does nothing.
type adminServer struct {
	addr   string
	http   *http.Server
	opened net.Listener
}

func newAdmin(g *Gateway) *adminServer {
	return &adminServer{addr: g.cfg.Admin, http: &http.Server{
		Handler: admin.Handler(admin.Options{
			Source: g, Version: g.cfg.Version, Pprof: g.cfg.AdminPprof,
			Ready: func() string { return *g.state.Load() },
		}),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
	}}
}

func (a *adminServer) listen() (err error) {
	if a.addr == "" {
		return nil
	}
	if a.opened, err = net.Listen("tcp", a.addr); err != nil {
		return fmt.Errorf("admin %s: %w", a.addr, adminError(err))
	}
	return nil
}

// adminError is err of a listening call in few words.
func adminError(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return errors.New("address already in use; give admin another, or off")
	}
	return transport.ListenError(err)
}

func (a *adminServer) run(ctx context.Context) error {
	if a.opened == nil {
		<-ctx.Done()
		return nil
	}
	stop := context.AfterFunc(ctx, func() { a.http.Close() })
	defer stop()
	if err := a.http.Serve(a.opened); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}
