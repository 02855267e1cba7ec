package siptest

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// hole is a gateway that says nothing.
type hole struct{}

func (hole) Receive(*sip.Message, *flow.Flow)           {}
func (hole) ReceiveBad(*sip.Message, error, *flow.Flow) {}

// A script that says what does not happen, or what nobody can do, fails at its line.
func TestScriptsThatMustFail(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"expected, not seen", "ua a ws a@x\n\na> MESSAGE b\n----\na< 200 OK (MESSAGE)\n", "3: a> MESSAGE b\nseen:\n\t\nwant:\n\ta< 200"},
		{"seen, not expected", "ua a ws a@x\na> 200\n", "1: ua a ws a@x\nseen:\n\ta has nothing to answer"},
		{"unknown command", "# first\n\nfly away\n", `3: "fly away": unknown command`},
		{"unknown user agent", "a> BYE\n", `1: "a> BYE": no user agent is called a`},
		{"bad transport", "ua a sctp a@x\n", `want: ua NAME TRANSPORT`},
		{"bad code", "ua a ws a@x\nclose a 4000\n", `unknown close code 4000`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := strings.Join(parseScript(c.script).play(Setup{Net: NewNet(hole{}, flow.NewTable())}, false), "\n")
				if !strings.Contains(got, c.want) {
					t.Errorf("problems %q, want %q in them", got, c.want)
				}
			})
		})
	}
}

func TestScriptIsWrittenAsItWasRead(t *testing.T) {
	const text = "# note\n\nua a ws a@x\na> MESSAGE b\n    X: y\n----\nb< MESSAGE sip:b@x\n    X: y\n\n# more\nwait 1s\n\n# end\n"
	if got := parseScript(text).String(); got != text {
		t.Errorf("got  %q\nwant %q", got, text)
	}
}

func TestMaskNumbersWhatIsTheSame(t *testing.T) {
	const a, b = "z9hG4bK0123456789abcdef0123456789abcdef", "z9hG4bK0123456789abcdef0123456789abcdee"
	k := NewMasker()
	got := k.Mask("Via: SIP/2.0/WS x;branch=" + a + ", " + b + ";x, " + a + " Retry-After: 17 <x>;tag=0123456789abcdef <y>;tag=alice-1")
	want := "Via: SIP/2.0/WS x;branch=BRANCH1, BRANCH2;x, BRANCH1 Retry-After: N <x>;tag=TAG1 <y>;tag=alice-1"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	token := strings.Repeat("Ab-_", 12)
	if got := k.Mask("<sip:" + token + "@192.0.2.1;lr>"); got != "<sip:TOKEN1@192.0.2.1;lr>" {
		t.Errorf("got %s", got)
	}
}
