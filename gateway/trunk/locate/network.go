package locate

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxStrays is how many datagrams that answer another question are passed over
	// while waiting: a flood of guesses ends the try.
	maxStrays = 100
	// udpBuffer takes answers of servers that send more than they were told to.
	udpBuffer = 4096
)

var errFlooded = errors.New("too many datagrams that answer nothing")

// overNetwork asks over UDP, and again over TCP when the answer is cut (RFC 7766 §5).
func (c *client) overNetwork(ctx context.Context, server string, q *dns.Msg) (*dns.Msg, error) {
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	a, err := c.over(ctx, "udp", server, func(conn net.Conn) (*dns.Msg, error) { return c.udp(conn, q, wire) })
	if err != nil || !a.Truncated {
		return a, err
	}
	c.counters.truncated.Add(1)
	return c.over(ctx, "tcp", server, func(conn net.Conn) (*dns.Msg, error) { return tcp(conn, wire) })
}

// over runs talk on a new socket that dies with ctx.
func (c *client) over(ctx context.Context, network, server string, talk func(net.Conn) (*dns.Msg, error)) (*dns.Msg, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return talk(conn)
}

// udp waits for the datagram that answers q; others do not end the wait, or a guess
// with a wrong id would (RFC 5452 §9.1).
func (c *client) udp(conn net.Conn, q *dns.Msg, wire []byte) (*dns.Msg, error) {
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, udpBuffer)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		var a dns.Msg
		if n >= 12 && binary.BigEndian.Uint16(buf) == q.Id && (a.Unpack(buf[:n]) == nil || cut(&a)) && answersTo(q, &a) {
			return &a, nil
		}
		c.counters.strays.Add(1)
	}
	return nil, errFlooded
}

// cut reports whether a broken datagram is one that was cut short on its way, by its TC bit.
func cut(a *dns.Msg) bool { return a.Truncated && len(a.Question) == 1 }

func tcp(conn net.Conn, wire []byte) (*dns.Msg, error) {
	co := dns.Conn{Conn: conn}
	if _, err := co.Write(wire); err != nil {
		return nil, err
	}
	return co.ReadMsg()
}
