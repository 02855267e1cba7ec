// Package registrar is RFC 3261 §10 with Path (RFC 3327), Outbound (RFC 5626)
// and GRUU (RFC 5627): it keeps where users are, and tells routing.
//
// A Registrar is given authenticated REGISTERs and the flows they came by; it
// answers with a *sip.Reply or a *sip.StatusError and never writes to the wire.
// All contacts of a REGISTER are applied or none. A binding dies with its
// connection: at once when the page is gone (WebSocket 1001), after a grace
// otherwise, unless the user agent is back by then.
//
// Where things are: register.go walks §10.3; contact.go reads Contact values;
// merge.go applies them; outbound.go and gruu.go are RFC 5626 and RFC 5627;
// lookup.go answers routing; lifetime.go lets bindings end.
package registrar
