package ws

import (
	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

// closeWords are the code (RFC 6455 §7.4.1 and its registry) and the text that
// tell a client why we close. Reasons without an entry have no client to tell.
var closeWords = map[sip.CloseReason]struct {
	code int
	text string
}{
	sip.CloseNormal:      {websocket.CloseNormalClosure, ""},
	sip.CloseGoingAway:   {websocket.CloseGoingAway, ""},
	sip.CloseAdmin:       {websocket.CloseNormalClosure, "closed by the operator"},
	sip.CloseProtocol:    {websocket.CloseProtocolError, "bad WebSocket frame"},
	sip.CloseEncoding:    {websocket.CloseInvalidFramePayloadData, "text message is not UTF-8"},
	sip.CloseFlood:       {websocket.ClosePolicyViolation, "too many messages, frames or errors"},
	sip.CloseUnproven:    {websocket.ClosePolicyViolation, "neither authenticated nor registered in time"},
	sip.CloseUnsupported: {websocket.ClosePolicyViolation, "this is not SIP"},
	sip.CloseTooBig:      {websocket.CloseMessageTooBig, "message too large"},
	sip.ClosePanic:       {websocket.CloseInternalServerErr, ""},
	sip.CloseShutdown:    {websocket.CloseServiceRestart, "restarting"},
	sip.CloseOverload:    {websocket.CloseTryAgainLater, "overloaded"},
}

// reasonOf is what a close code from the client means. SIP.js sends 1000 also
// when it only reconnects; Chromium sends 1001 when the page goes away.
func reasonOf(code int) sip.CloseReason {
	switch code {
	case websocket.CloseNormalClosure:
		return sip.CloseNormal
	case websocket.CloseGoingAway:
		return sip.CloseGoingAway
	case websocket.CloseProtocolError:
		return sip.CloseProtocol
	case websocket.CloseInvalidFramePayloadData:
		return sip.CloseEncoding
	case websocket.CloseMessageTooBig:
		return sip.CloseTooBig
	}
	if code >= 3000 && code <= 4999 { // the page's own words: it closed deliberately
		return sip.CloseNormal
	}
	return sip.CloseLost
}
