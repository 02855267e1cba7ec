package siptest

import (
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
)

// player plays one script.
type player struct {
	net  *Net
	more map[string]func([]string) string
	uas  map[string]*UA
	mask *Masker
	show []string
}

// block runs the commands of b and returns what was seen: by time, then by user agent.
func (p *player) block(b *block) (out []string, err error) {
	began := time.Now()
	for i := 0; i < len(b.commands); {
		line := p.mask.Unmask(b.commands[i])
		var below []string
		for i++; i < len(b.commands) && strings.HasPrefix(b.commands[i], " "); i++ {
			below = append(below, p.mask.Unmask(strings.TrimSpace(b.commands[i])))
		}
		s, err := p.command(line, below)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if s != "" {
			out = append(out, strings.Split(s, "\n")...)
		}
		synctest.Wait()
	}
	return append(out, p.seen(began)...), nil
}

func (p *player) seen(began time.Time) (out []string) {
	var all []Seen
	for _, u := range p.uas {
		all = append(all, u.Seen()...)
	}
	sort.SliceStable(all, func(i, j int) bool {
		if !all[i].At.Equal(all[j].At) {
			return all[i].At.Before(all[j].At)
		}
		return all[i].UA < all[j].UA
	})
	for _, s := range all {
		head := s.UA
		if d := s.At.Sub(began); d > 0 {
			head = "+" + d.String() + " " + head
		}
		if s.Text == "" {
			out = append(out, head+" "+p.mask.Mask(s.Note))
			continue
		}
		lines := Show(s.Text, p.show)
		lines[0] = head + "< " + lines[0]
		for _, l := range lines {
			out = append(out, p.mask.Mask(l))
		}
	}
	return out
}

// command runs one line; below are the indented lines under it.
func (p *player) command(line string, below []string) (string, error) {
	if name, what, ok := strings.Cut(line, "> "); ok && !strings.Contains(name, " ") {
		u := p.uas[name]
		if u == nil {
			return "", fmt.Errorf("no user agent is called %s", name)
		}
		return "", p.act(u, strings.Fields(what), below)
	}
	words := strings.Fields(line)
	switch words[0] {
	case "ua":
		return "", p.ua(words[1:])
	case "repeat": // repeat N COMMAND; what it makes seen is not shown
		n, err := strconv.Atoi(words[1])
		for range n {
			if _, err := p.command(strings.Join(words[2:], " "), below); err != nil {
				return "", err
			}
			synctest.Wait()
		}
		for _, u := range p.uas {
			u.Seen()
		}
		return "", err
	case "login":
		return "", p.login(words[1:])
	case "show":
		p.show = words[1:]
		return "", nil
	case "wait":
		d, err := time.ParseDuration(strings.Join(words[1:], ""))
		time.Sleep(d)
		return "", err
	case "close", "reconnect", "freeze", "lose", "dialog":
		return "", p.wire(words)
	}
	if f := p.more[words[0]]; f != nil {
		return f(words[1:]), nil
	}
	return "", fmt.Errorf("unknown command")
}

var transports = map[string]sip.Transport{"udp": sip.UDP, "tcp": sip.TCP, "tls": sip.TLS, "ws": sip.WS, "wss": sip.WSS}

// ua is "ua NAME TRANSPORT USER@DOMAIN [addr=IP:PORT] [password=P] [instance=URN] [regid=N] [manual] [listen]".
func (p *player) ua(words []string) error {
	if len(words) < 3 || transports[words[1]] == 0 {
		return fmt.Errorf("want: ua NAME TRANSPORT USER@DOMAIN")
	}
	opt := UAOptions{Transport: transports[words[1]], AOR: words[2]}
	for _, w := range words[3:] {
		var err error
		switch key, value, _ := strings.Cut(w, "="); key {
		case "addr":
			opt.Addr, err = netip.ParseAddrPort(value)
		case "password":
			opt.Password = value
		case "instance":
			opt.Instance = value
		case "regid":
			opt.RegID, err = strconv.Atoi(value)
		case "manual":
			opt.Manual = true
		case "listen":
			opt.Listen = true
		default:
			err = fmt.Errorf("unknown option %s", key)
		}
		if err != nil {
			return err
		}
	}
	p.uas[words[0]] = p.net.NewUA(words[0], opt)
	return nil
}

// login registers user agents and shows nothing of it.
func (p *player) login(names []string) error {
	for _, name := range names {
		u := p.uas[name]
		if u == nil {
			return fmt.Errorf("no user agent is called %s", name)
		}
		u.Register(-1)
		synctest.Wait()
		seen := u.Seen()
		if len(seen) == 0 || !strings.HasPrefix(seen[len(seen)-1].Text, "SIP/2.0 200 ") {
			return fmt.Errorf("%s was not let in: %v", name, seen)
		}
	}
	return nil
}

// closeCodes are the WebSocket codes that a script may close with, as the gateway's edge names them.
var closeCodes = map[string]sip.CloseReason{
	"": sip.CloseNormal, "1000": sip.CloseNormal, "1001": sip.CloseGoingAway, "1005": sip.CloseLost, "1006": sip.CloseLost,
}

// wire is what happens to connections.
func (p *player) wire(words []string) error {
	if len(words) < 2 || p.uas[words[1]] == nil {
		return fmt.Errorf("want the name of a user agent")
	}
	u, arg := p.uas[words[1]], strings.Join(words[2:], " ")
	switch words[0] {
	case "close":
		why, ok := closeCodes[arg]
		if !ok {
			return fmt.Errorf("unknown close code %s", arg)
		}
		u.Conn().Hangup(why)
	case "reconnect":
		u.Reconnect()
	case "freeze":
		u.Conn().Freeze()
	case "dialog": // dialog NAME N
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		return u.UseDialog(n)
	case "lose": // lose NAME in|out N
		side, count, _ := strings.Cut(arg, " ")
		n, err := strconv.Atoi(count)
		switch {
		case err != nil:
			return err
		case side == "in":
			u.Conn().Lose(0, n)
		case side == "out":
			u.Conn().Lose(n, 0)
		default:
			return fmt.Errorf("want: lose NAME in|out N")
		}
	}
	return nil
}

// act is what stands behind "NAME> ".
func (p *player) act(u *UA, words, below []string) error {
	if len(words) == 0 {
		return fmt.Errorf("nothing to do")
	}
	if status, err := strconv.Atoi(words[0]); err == nil {
		var method string
		if len(words) > 1 && words[1] != "OK" && words[1] == strings.ToUpper(words[1]) {
			method = words[1]
			words = words[1:]
		}
		u.Reply(status, strings.Join(words[1:], " "), method, below...)
		return nil
	}
	switch words[0] {
	case "again":
		u.Again()
	case "raw":
		u.Send(strings.Join(below, "\n") + "\n\n")
	case "REGISTER":
		return p.register(u, words[1:], below)
	case "CANCEL":
		u.Cancel(below...)
	default:
		if len(words) > 1 {
			u.Request(words[0], words[1], below...)
		} else {
			u.InDialog(words[0], below...)
		}
	}
	return nil
}

func (p *player) register(u *UA, words, below []string) error {
	expires := -1
	for _, w := range words {
		v, ok := strings.CutPrefix(w, "expires=")
		n, err := strconv.Atoi(v)
		if !ok || err != nil {
			return fmt.Errorf("want: REGISTER [expires=SECONDS]")
		}
		expires = n
	}
	u.Register(expires, below...)
	return nil
}
