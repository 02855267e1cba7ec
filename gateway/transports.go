package gateway

import (
	"cmp"
	"crypto/x509"
	"fmt"

	"github.com/ringway/ringway/gateway/trunk"
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
		g.watchCertificate(cert, c.Key, "tls")
	}
	var clients *x509.CertPool
	if ca := g.cfg.TLS.ClientCA; ca != "" {
		var err error
		if clients, err = transport.LoadRoots(ca); err != nil {
			return err
		}
	}
	if err := g.loadHopTLS(); err != nil {
		return err
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
			sockets.Listen = append(sockets.Listen, transport.Listen{
				URL: e.bind(), Advertise: e.Advertise, Certificate: cert, ClientCAs: clients, Index: i,
			})
		}
	}
	var err error
	if g.transports, err = transport.New(sockets); err != nil {
		return err
	}
	g.web, err = ws.New(web)
	return err
}

// loadHopTLS reads what the operator gave for the TLS connections to upstreams.
func (g *Gateway) loadHopTLS() error {
	g.hopTLS = map[*trunk.HopTLS]*transport.ClientTLS{}
	for i := range g.cfg.Upstreams {
		for j := range g.cfg.Upstreams[i].Hops {
			t := g.cfg.Upstreams[i].Hops[j].TLS
			if t == nil {
				continue
			}
			path := fmt.Sprintf("upstreams.%s.hops[%d].tls", g.cfg.Upstreams[i].Name, j)
			c, err := transport.LoadClientTLS(t.CA, t.Cert, t.Key)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if own := c.Certificate(); own != nil {
				g.watchCertificate(own, t.Key, path)
			}
			g.hopTLS[t] = c
		}
	}
	return nil
}

// dialled is how the transports reach an address of an upstream. A certificate has to be for the
// domain that the operator named, whatever DNS made of it (RFC 5922 §4).
func (g *Gateway) dialled(t *trunk.Target) transport.Hop {
	h := transport.Hop{Addr: t.Addr, Transport: t.Transport}
	if !t.Hop.Addr.IsValid() {
		h.Host = t.Hop.Host
	}
	if own := t.Hop.TLS; own != nil {
		h.TLS = g.hopTLS[own]
		h.Host = cmp.Or(own.ServerName, h.Host)
	}
	return h
}
