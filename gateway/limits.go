package gateway

import (
	"github.com/ringway/ringway/gateway/policy"
	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/relay"
	"github.com/ringway/ringway/gateway/ws"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/transaction"
	"github.com/ringway/ringway/sip/transport"
)

// What of the limits and timers goes to which room. The rest of a room's
// configuration is wiring.

func (c *Config) transactionLimits() transaction.Config {
	return transaction.Config{MaxPending: c.Limits.FlowTransactions}
}

func (c *Config) floodLimit() policy.FloodLimit {
	return policy.FloodLimit{Rate: c.Limits.UnprovenRate, Burst: c.Limits.UnprovenBurst}
}

func (c *Config) loginLimit() policy.LoginLimit {
	return policy.LoginLimit{Failures: c.Limits.FailedLogins, Penalty: c.Limits.FailedLoginPenalty}
}

// registrarLogins is how many logins may fail from one address, whosever they are, at registrars behind us.
func (c *Config) registrarLogins() policy.LoginLimit {
	return policy.LoginLimit{Failures: 10 * c.Limits.FailedLogins, Penalty: c.Limits.FailedLoginPenalty}
}

// secrets are the credentials of users and of those upstreams that have some.
func (c *Config) secrets() []digest.User {
	all := c.Users
	for i := range c.Upstreams {
		if u := c.Upstreams[i].Auth; u != nil {
			all = append(all[:len(all):len(all)], *u)
		}
	}
	return all
}

func (c *Config) nonceLimits() digest.Config { return digest.Config{TTL: c.Limits.NonceTTL} }

func (c *Config) registrarLimits() registrar.Config {
	return registrar.Config{
		MinExpires: c.Limits.MinExpires, MaxExpires: c.Limits.MaxExpires, MaxBindings: c.Limits.ContactsPerAOR,
		Grace: c.ReconnectGrace,
	}
}

func (c *Config) proxyLimits() proxy.Config {
	return proxy.Config{
		MaxBreadth: c.Limits.MaxBreadth, MaxInvites: c.Limits.UserInvites,
		Times: proxy.Times{Ring: c.RingTimeout, Try: c.TryTimeout, Grace: c.ReconnectGrace, DeadPeerBye: c.DeadPeerBye},
	}
}

func (c *Config) webLimits() ws.Config {
	l := &c.Limits
	return ws.Config{
		MaxMessage: l.MessageSize, SendQueue: l.SendQueue, WriteTime: l.WriteTimeout,
		MaxHalfOpen: l.HalfOpen, MaxPerAddr: l.FlowsPerAddress, HandshakeTime: l.Handshake, ProveTime: l.Unproven,
		PingInterval: c.Ping, PongTime: c.Pong,
	}
}

func (c *Config) socketLimits() transport.Config {
	l := &c.Limits
	return transport.Config{
		MaxMessage: l.MessageSize, SendQueue: l.SendQueue, WriteTime: l.WriteTimeout,
		MaxHalfOpen: l.HalfOpen, MaxPerAddr: l.FlowsPerAddress, HandshakeTime: l.Handshake, ProveTime: l.Unproven,
	}
}

func (c *Config) relayLimits() relay.Config {
	return relay.Config{MaxExpires: c.RelayExpires, Grace: c.ReconnectGrace, MaxBindings: c.Limits.ContactsPerAOR}
}
