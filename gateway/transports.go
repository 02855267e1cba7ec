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
	l := &g.cfg.Limits
	web := ws.Config{
		Table: g.flows, Receive: g.receive, Bad: g.transactions.ReceiveBad, Panicked: g.panicked, Pages: g.cfg.Page,
		MaxMessage: l.MessageSize, SendQueue: l.SendQueue, WriteTime: l.WriteTimeout,
		MaxHalfOpen: l.HalfOpen, MaxPerAddr: l.FlowsPerAddress, HandshakeTime: l.Handshake, ProveTime: l.Unproven,
		PingInterval: g.cfg.Ping, PongTime: g.cfg.Pong,
	}
	sockets := transport.Config{
		Table: g.flows, Receive: g.receive, Bad: g.transactions.ReceiveBad, Panicked: g.panicked,
		MaxMessage: l.MessageSize, SendQueue: l.SendQueue, WriteTime: l.WriteTimeout,
		MaxHalfOpen: l.HalfOpen, MaxPerAddr: l.FlowsPerAddress, HandshakeTime: l.Handshake, ProveTime: l.Unproven,
	}
	for i := range g.cfg.Listen {
		e := &g.cfg.Listen[i]
		if e.Transport.WebSocket() {
			web.Listen = append(web.Listen, ws.Listen{
				URL: e.URL, Advertise: e.Advertise, Origins: g.cfg.Origins, RequireOrigin: g.cfg.RequireOrigin,
				Certificate: cert, Index: i,
			})
		} else {
			sockets.Listen = append(sockets.Listen, transport.Listen{URL: e.URL, Advertise: e.Advertise, Certificate: cert, Index: i})
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
