package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

const (
	badPerSecond = 20
	badBurst     = 100
	maxGarbage   = 20 // messages in a row that nothing could be made of
)

var errTooBig = errors.New("message too large")

var crlf = []byte("\r\n")

// scratch holds messages while they are read.
var scratch = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}

// read is the flow's reader of its own: all the time over TLS, else for what Arrived leaves. It waits
// for a message right here: a parked goroutine keeps its stack, and the collector halves one of which
// a quarter is used, 8 KiB only below some 1.2 KiB of frames (TestIdleStack).
func (f *Flow) read() {
	if !f.readOn() {
		f.ended()
	}
}

// readOn reads until the flow is over, or parked.
func (f *Flow) readOn() (parked bool) {
	defer func() {
		if v := recover(); v != nil {
			f.panicked(v)
		}
	}()
	for {
		kind, r, err := f.ws.NextReader()
		if err != nil {
			f.Close(f.why(err))
			return false
		}
		if !f.take(kind, r) {
			return false
		}
		if f.park() {
			return true
		}
	}
}

// panicked ends the flow whose reader has recovered v.
func (f *Flow) panicked(v any) {
	f.srv.faults.Pass(v)
	f.Close(sip.ClosePanic)
}

// take reads and handles one message; false ends the flow.
func (f *Flow) take(kind int, r io.Reader) bool {
	p := scratch.Get().(*[]byte)
	n, err := readAll(r, p, f.srv.cfg.MaxMessage)
	text, wrong := "", sip.CloseReason("")
	switch b := (*p)[:n]; {
	case err == errTooBig:
		text = string(b)
	case err != nil:
		wrong = f.why(err)
	default:
		text, wrong = f.text(kind == websocket.TextMessage, b)
	}
	if cap(*p) <= maxPooled {
		scratch.Put(p)
	}
	f.taken++
	return f.handle(text, wrong, err == errTooBig)
}

// text makes a string of a message, "" of one that is blank.
func (f *Flow) text(utf bool, b []byte) (text string, wrong sip.CloseReason) {
	if utf && !utf8.Valid(b) {
		return "", sip.CloseEncoding // RFC 6455 §8.1
	}
	return string(f.blank(b)), ""
}

// handle closes the flow for what is wrong, or delivers text; false ends the flow.
func (f *Flow) handle(text string, wrong sip.CloseReason, tooBig bool) bool {
	if wrong != "" {
		f.Close(wrong)
		return false
	}
	return text == "" || f.deliver(text, tooBig)
}

// readAll reads a message into *p, growing it with what came, not with what was announced.
func readAll(r io.Reader, p *[]byte, limit int) (n int, err error) {
	for {
		if n == limit {
			return n, overflow(r)
		}
		if n == len(*p) {
			*p = append(*p, make([]byte, min(n, limit-n))...)
		}
		k, err := r.Read((*p)[n:min(len(*p), limit)])
		n += k
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// overflow tells a message of exactly the limit from a larger one.
func overflow(r io.Reader) error {
	var one [1]byte
	switch k, err := r.Read(one[:]); {
	case k == 0 && err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return errTooBig
}

// blank deals with whitespace before or instead of a message: CRLF CRLF is a
// keep-alive (RFC 5626 §4.4.1) and answered in a message of its own, the rest
// is ignored.
func (f *Flow) blank(b []byte) []byte {
	if len(b) > 0 && b[0] > ' ' {
		return b
	}
	rest := bytes.TrimLeft(b, "\r\n")
	if len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		return rest
	}
	if !f.guard.control.Allow(time.Now().UnixNano(), controlPerSecond, controlBurst) {
		f.Close(sip.CloseFlood)
	} else if string(b) == "\r\n\r\n" {
		f.srv.count.KeepAlives.Add(1)
		f.Send(crlf)
	} else {
		f.srv.count.Blank.Add(1)
	}
	return nil
}

// deliver hands a message to those who know SIP. This is the one place where
// their panics are caught: such a flow is closed.
func (f *Flow) deliver(text string, tooBig bool) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			f.panicked(v)
			ok = false
		}
	}()
	f.srv.count.Messages.Add(1)
	m, err := sip.Parse(text, sip.Frame)
	switch {
	case tooBig:
		f.srv.count.Bad.Add(1)
		f.srv.cfg.Bad(m, sip.TooLarge(f.srv.cfg.MaxMessage), f.flow)
		f.Close(sip.CloseTooBig)
		return false
	case err != nil:
		return f.bad(m, err)
	}
	f.garbage = 0
	f.srv.cfg.Receive(m, f.flow)
	return true
}

// bad has one message refused. It costs nothing more, but a flood of them ends the flow.
func (f *Flow) bad(m *sip.Message, err error) bool {
	f.srv.count.Bad.Add(1)
	if !f.errors.Allow(time.Now().UnixNano(), badPerSecond, badBurst) {
		f.Close(sip.CloseFlood)
		return false
	}
	f.garbage++
	if m != nil {
		f.garbage = 0
	}
	if f.garbage >= maxGarbage {
		f.Close(sip.CloseUnsupported)
		return false
	}
	f.srv.cfg.Bad(m, err, f.flow)
	return true
}

// why is the reason of an error of reading.
func (f *Flow) why(err error) sip.CloseReason {
	var closed *websocket.CloseError
	var timeout net.Error
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return reasonOf(closed.Code)
	case errors.Is(err, errFlood), errors.Is(err, errFragments):
		return sip.CloseFlood
	case errors.Is(err, errShort):
		return sip.CloseProtocol
	case errors.Is(err, websocket.ErrReadLimit):
		return sip.CloseProtocol // a length of 2^63 or more (RFC 6455 §5.2), which gorilla takes for this
	case errors.As(err, &timeout) && timeout.Timeout():
		return sip.CloseProtocol // a message was begun and not completed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saidClose { // gorilla refused a frame
		return sip.CloseProtocol
	}
	if why := f.sock.Reason(); why != "" {
		return why
	}
	return sip.CloseLost
}

// peerCloses answers a close frame (RFC 6455 §5.5.1); the error that NextReader
// returns after it ends the flow.
func (f *Flow) peerCloses(code int, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing || f.saidClose {
		return nil
	}
	var echo []byte
	if code != websocket.CloseNoStatusReceived {
		echo = binary.BigEndian.AppendUint16(nil, uint16(code))
	}
	f.saidClose = true
	f.writeLocked(opClose, echo)
	return nil
}

// pinged answers with the payload (RFC 6455 §5.5.3), unless octets for this
// client wait already: then it does not read.
func (f *Flow) pinged(payload string) error {
	if f.sock.Pending() > 0 {
		return nil
	}
	return f.control(opPong, payload)
}

func ponged(string) error { return nil } // guard has heard it

// ended tells everybody that the flow is over, once.
func (f *Flow) ended() {
	f.mu.Lock()
	why := f.reason
	f.mu.Unlock()
	f.answerProbes(false)
	f.srv.count.Open.Add(-1)
	f.srv.flows.Release(f.info.Remote.Addr())
	defer f.srv.readers.Done()
	f.srv.cfg.Table.Closed(f.flow, why)
}
