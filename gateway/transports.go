package gateway

import (
	"github.com/ringway/ringway/gateway/ws"
	"github.com/ringway/ringway/sip/transport"
)

// wireTransports makes the listeners of the configuration; nothing is opened yet.
func (g *Gateway) wireTransports() error {
	var cert *transport.Certificate
	if c := g.cfg.TLS; c.Cert != "" {
		var err error
		if cert, err = transport.LoadCertificate(c.Cert, c.Key); err != nil {
			return err
		}
	}
	web, sockets := g.cfg.webLimits(), g.cfg.socketLimits()
	web.Table, web.Receive, web.Bad, web.Panicked = g.flows, g.receive, g.transactions.ReceiveBad, g.panicked
	web.Pages = g.cfg.Page
	sockets.Accepted = g.source.Mark
	sockets.Table, sockets.Receive, sockets.Bad, sockets.Panicked = g.flows, g.receive, g.transactions.ReceiveBad, g.panicked
	for i := range g.cfg.Listen {
		e := &g.cfg.Listen[i]
		if e.Transport.WebSocket() {
			web.Listen = append(web.Listen, ws.Listen{
				URL: e.bind(), Advertise: e.Advertise, Origins: g.cfg.Origins, RequireOrigin: g.cfg.RequireOrigin,
				Certificate: cert, Index: i,
			})
		} else {
			sockets.Listen = append(sockets.Listen, transport.Listen{URL: e.bind(), Advertise: e.Advertise, Certificate: cert, Index: i})
		}
	}
	var err error
	if g.transports, err = transport.New(sockets); err != nil {
		return err
	}
	g.web, err = ws.New(web)
	return err
}

// panicked logs a panic that a reader caught; its connection is closed.
func (g *Gateway) panicked(v any, stack []byte) {
	g.count.panics.Add(1)
	g.log.Error().Interface("panic", v).Bytes("stack", stack).Msg("a handler panicked; its connection is closed")
}
