//go:build linux

package gateway_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/emiago/sipgo"
	sipgosip "github.com/emiago/sipgo/sip"

	"github.com/ringway/ringway/sip"
)

// desk is a desk phone: sipgo's user agent over UDP or TCP.
type desk struct {
	t         testing.TB
	ctx       context.Context
	transport string // as in a Via
	at        string
	client    *sipgo.Client
	calls     *sipgo.DialogServerCache
	called    *sipgo.DialogClientCache
	rings     chan *sipgo.DialogServerSession
	requests  chan string // ACK, BYE and CANCEL that came

	regID   sipgosip.CallIDHeader
	regCSeq uint32
}

// silent is sipgo's log: what is wrong shows in what it sends.
var silent = slog.New(slog.DiscardHandler)

func init() { sipgosip.SetDefaultLogger(silent) }

// deskPhone starts a desk phone of the user desk.
func (l *live) deskPhone(transport string) *desk {
	t := l.t
	t.Helper()
	at := l.free(75)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	d := &desk{
		t: t, ctx: ctx, transport: strings.ToUpper(transport), at: at.String(), regID: "desk-reg-" + sipgosip.CallIDHeader(at.String()),
		rings: make(chan *sipgo.DialogServerSession, 4), requests: make(chan string, 16),
	}
	ua, err := sipgo.NewUA(sipgo.WithUserAgent("desk"), sipgo.WithUserAgentHostname("example.com"))
	d.must(err)
	server, err := sipgo.NewServer(ua, sipgo.WithServerLogger(silent))
	d.must(err)
	// It listens nowhere: calls come over what it registered from.
	d.client, err = sipgo.NewClient(ua, sipgo.WithClientLogger(silent), sipgo.WithClientAddr(d.at), sipgo.WithClientConnectionAddr(d.at))
	d.must(err)
	contact := sipgosip.ContactHeader{Address: d.uri("sip:desk@" + d.at + ";transport=" + transport)}
	d.calls = sipgo.NewDialogServerCache(d.client, contact)
	d.called = sipgo.NewDialogClientCache(d.client, contact)
	d.handle(server)
	t.Cleanup(func() {
		cancel()
		ua.Close()
	})
	return d
}

func (d *desk) handle(server *sipgo.Server) {
	server.OnInvite(func(req *sipgosip.Request, tx sipgosip.ServerTransaction) {
		s, err := d.calls.ReadInvite(req, tx)
		if err != nil {
			d.t.Errorf("desk cannot read the INVITE: %v", err)
			return
		}
		d.rings <- s
		<-tx.Done()
	})
	server.OnAck(func(req *sipgosip.Request, tx sipgosip.ServerTransaction) {
		if err := d.calls.ReadAck(req, tx); err != nil {
			d.t.Errorf("desk: ACK: %v", err)
		}
		d.requests <- "ACK"
	})
	server.OnBye(func(req *sipgosip.Request, tx sipgosip.ServerTransaction) {
		err := d.calls.ReadBye(req, tx)
		if err != nil {
			err = d.called.ReadBye(req, tx)
		}
		if err != nil {
			d.t.Errorf("desk: BYE: %v", err)
		}
		d.requests <- "BYE"
	})
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) uri(s string) (u sipgosip.Uri) {
	d.t.Helper()
	d.must(sipgosip.ParseUri(s, &u))
	return u
}

// request is what the desk has been sent; an ACK may have come twice.
func (d *desk) request(want string) {
	d.t.Helper()
	select {
	case got := <-d.requests:
		if got != want {
			d.t.Fatalf("desk got %s instead of %s", got, want)
		}
	case <-d.ctx.Done():
		d.t.Fatalf("desk waited for %s", want)
	}
}

// ring is the next call to the desk.
func (d *desk) ring() *sipgo.DialogServerSession {
	d.t.Helper()
	select {
	case s := <-d.rings:
		return s
	case <-d.ctx.Done():
		d.t.Fatal("desk waited for an INVITE")
		return nil
	}
}

// register binds the desk, at first and again: the same Call-ID, CSeq going up (RFC 3261 §10.2.4).
func (d *desk) register(l *live) {
	d.t.Helper()
	req := sipgosip.NewRequest(sipgosip.REGISTER, d.uri("sip:"+l.sip.String()))
	req.SetTransport(d.transport)
	d.regCSeq++
	to := sipgosip.ToHeader{Address: d.uri("sip:desk@example.com")}
	req.AppendHeader(&to)
	req.AppendHeader(&d.regID)
	req.AppendHeader(&sipgosip.CSeqHeader{SeqNo: d.regCSeq, MethodName: sipgosip.REGISTER})
	req.AppendHeader(sipgosip.NewHeader("Contact", "<sip:desk@"+d.at+";transport="+strings.ToLower(d.transport)+">"))
	req.AppendHeader(sipgosip.NewHeader("Expires", "600"))
	res, err := d.client.Do(d.ctx, req)
	d.must(err)
	if res.StatusCode != 401 {
		d.t.Fatalf("REGISTER without credentials: %s", res.StartLine())
	}
	res, err = d.client.DoDigestAuth(d.ctx, req, res, sipgo.DigestAuth{Username: "desk", Password: password})
	d.must(err)
	d.regCSeq = req.CSeq().SeqNo
	contacts := res.GetHeaders("Contact")
	if res.StatusCode != 200 || len(contacts) != 1 || !strings.Contains(contacts[0].Value(), "expires=600") {
		d.t.Fatalf("REGISTER:\n%s", res)
	}
}

// call calls a user, and answers the challenge that UDP gets each time.
func (d *desk) call(l *live, user, offer string, challenges int) *sipgo.DialogClientSession {
	d.t.Helper()
	u := d.uri(l.uri(user))
	req := sipgosip.NewRequest(sipgosip.INVITE, u)
	req.SetTransport(d.transport)
	req.AppendHeader(sipgosip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody([]byte(offer))
	s, err := d.called.WriteInvite(d.ctx, req)
	d.must(err)
	err = s.WaitAnswer(d.ctx, sipgo.AnswerOptions{Username: "desk", Password: password, OnResponse: func(res *sipgosip.Response) error {
		if res.StatusCode == 407 {
			challenges--
		}
		return nil
	}})
	d.must(err)
	if challenges != 0 {
		d.t.Errorf("%d challenges too few", challenges)
	}
	d.must(s.Ack(d.ctx))
	return s
}

// A desk phone registers with digest and again, is called by a browser and calls it;
// each hangs up on the other.
func TestDeskPhone(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t).start("")
		alice, desk := l.browser("alice"), l.deskPhone(transport)
		desk.register(l)
		desk.register(l)
		if n := l.event("binding_registered"); n != 2 {
			t.Errorf("%d new bindings, want alice's and the desk's", n)
		}
		if n := l.event("binding_refreshed"); n != 1 {
			t.Errorf("%d refreshed bindings, want the desk's", n)
		}

		desk.isCalled(alice)
		alice.InDialog("BYE")
		desk.request("BYE")
		alice.want("200 BYE")

		s := desk.isCalled(alice)
		hungUp := make(chan error, 1)
		go func() { hungUp <- s.Bye(desk.ctx) }()
		alice.want("BYE")
		alice.Reply(200, "", "BYE")
		desk.must(<-hungUp)

		challenges := map[string]int{"udp": 1, "tcp": 0}[transport]
		for _, who := range []string{"caller", "callee"} {
			s := desk.answered(l, alice, challenges)
			if who == "callee" {
				alice.InDialog("BYE")
				desk.request("BYE")
				alice.want("200 BYE")
				continue
			}
			go func() { hungUp <- s.Bye(desk.ctx) }()
			alice.want("BYE")
			alice.Reply(200, "", "BYE")
			desk.must(<-hungUp)
		}
		l.over()
		alice.quiet()
	})
}

// isCalled is a call from a browser that the desk answers.
func (d *desk) isCalled(alice *phone) *sipgo.DialogServerSession {
	d.t.Helper()
	offer, answer := sdp("offer", 0), sdp("desk's answer", 0) // sipgo sends no datagram over 1500
	alice.Request("INVITE", "desk", body(offer))
	s := d.ring()
	if got := string(s.InviteRequest.Body()); got != offer {
		d.t.Errorf("the offer came as %q", got)
	}
	d.must(s.Respond(180, "Ringing", nil))
	alice.want("180 INVITE")
	answered := make(chan error, 1) // sipgo returns when the ACK has come
	go func() { answered <- s.RespondSDP([]byte(answer)) }()
	if m := alice.wantBody("200 INVITE", answer); !m.Has(sip.RecordRoute) {
		d.t.Error("no Record-Route")
	}
	alice.InDialog("ACK")
	d.request("ACK")
	d.must(<-answered)
	return s
}

// answered is a call of the desk that the browser answers.
func (d *desk) answered(l *live, alice *phone, challenges int) *sipgo.DialogClientSession {
	d.t.Helper()
	offer, answer := sdp("desk's offer", 0), sdp("answer", 900)
	done := make(chan *sipgo.DialogClientSession, 1)
	go func() {
		defer close(done) // also when it fails
		done <- d.call(l, "alice", offer, challenges)
	}()
	alice.wantBody("INVITE", offer)
	alice.Reply(180, "", "INVITE")
	alice.Reply(200, "", "INVITE", body(answer))
	alice.want("ACK")
	s := <-done
	if s == nil {
		d.t.FailNow()
	}
	if got := string(s.InviteResponse.Body()); got != answer {
		d.t.Errorf("the answer came as %q", got)
	}
	return s
}
