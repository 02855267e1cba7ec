package sip

import "testing"

func TestParseNameAddrRefuses(t *testing.T) { // RFC 3261 §25.1, RFC 4475
	for _, in := range []string{
		"", " ", "*", "alice", "<>", "<alice>", "<:x>", `"Alice"`, `"Alice" sip:alice@example.org`,
		`"Mr. J. User <sip:j.user@example.com>`,                     // RFC 4475 §3.1.2.7
		`"Watson, Thomas" < sip:t.watson@example.org >`,             // §3.1.2.13
		`Bell, Alexander <sip:a.g.bell@example.com>;tag=43`,         // §3.1.2.15
		`sip:user@example.com?Route=%3Csip:sip.example.com%3E`,      // §3.1.2.12
		`sip:user,x@example.com`, `"Joe" <sip:joe@example.org>;;;;`, // §3.1.2.1
		"<sip:a@b", "sip:a@b>", "<sip:a@b>>", "<<sip:a@b>>", "Al <ice <sip:a@b>", "sip:a@b<", "<sip:a b@c>", "<sip:a@b\r\n>", "<sip:\"a\"@b>", "<sip:a\x00@b>", "<sip:\xc3\xbc@b>",
		"<sip:a@b> tag=1", "<sip:a@b>x", "<sip:a@b>;", "<sip:a@b>; ;tag=1", "<sip:a@b>;=1", "<sip:a@b>;t ag=1", "<sip:a@b>;tag=1 2", "<sip:a@b>;tag=1;TAG=2",
		`<sip:a@b>;x="1`, `<sip:a@b>;x="1"2`, `<sip:a@b>;x=1"2"`, `<sip:a@b>;x="1\"`, "<sip:a@b>;x=\"1\r\n2\"", "<sip:a@b>;x=1,2", "<sip:a@b>;x=<1>",
		"\"a\x01\" <sip:a@b>", "\"a\\\n\" <sip:a@b>", "\"a\" b <sip:a@b>", "a@b <sip:a@b>",
	} {
		if a, err := ParseNameAddr(in); err == nil {
			t.Errorf("ParseNameAddr(%q) = %+v, want an error", in, a)
		}
	}
}

func TestParseNameAddr(t *testing.T) { // RFC 3261 §20.10, §25.1
	for _, c := range []struct {
		in   string
		want NameAddr
		tag  string
	}{
		{"<sip:a@b>", NameAddr{"", "sip:a@b", ""}, ""},
		{"sip:a@b;tag=x", NameAddr{"", "sip:a@b", ";tag=x"}, "x"}, // §20.10: the header's parameter
		{"<sip:a@b;lr>;TAG=x", NameAddr{"", "sip:a@b;lr", ";TAG=x"}, "x"},
		{" sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n ", NameAddr{"", "sip:vivekg@chair-dnrc.example.com", ";   tag    = 1918181833n"}, "1918181833n"}, // RFC 4475 §3.1.1.1
		{`"J Rosenberg \\\""       <sip:jdrosen@example.com>` + "\t;\ttag = 98asjd8", NameAddr{`"J Rosenberg \\\""`, "sip:jdrosen@example.com", ";\ttag = 98asjd8"}, "98asjd8"},
		{`"<sip:x@y>, \"z" <sip:a@b>;x=">;tag=1";tag=2`, NameAddr{`"<sip:x@y>, \"z"`, "sip:a@b", `;x=">;tag=1";tag=2`}, "2"},
		{`sip:a@b;x="<y>";tag=1`, NameAddr{"", "sip:a@b", `;x="<y>";tag=1`}, "1"},
		{"caller<sip:caller@example.com>;tag=323", NameAddr{"caller", "sip:caller@example.com", ";tag=323"}, "323"}, // §3.1.1.6
		{"A. Bell <sip:a.g.bell@example.com>", NameAddr{"A. Bell", "sip:a.g.bell@example.com", ""}, ""},
		{"token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"\xd1\x80\";tag=_token~1'+`*%!-.", // §3.1.1.2
			NameAddr{"token1~` token2'+_ token3*%!.-", "sip:mundane@example.com", ";fromParam''~+*_!.-%=\"\xd1\x80\";tag=_token~1'+`*%!-."}, "_token~1'+`*%!-."},
		{"\"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f\" <sip:a@b>", NameAddr{"\"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f\"", "sip:a@b", ""}, ""},
		{"J\xc3\xbcrgen <sip:j@b>", NameAddr{"J\xc3\xbcrgen", "sip:j@b", ""}, ""},
		{"<sip:a,b@c?x=y>;q=0.5", NameAddr{"", "sip:a,b@c?x=y", ";q=0.5"}, ""},
		{"<http://www.example.com>;tag=1", NameAddr{"", "http://www.example.com", ";tag=1"}, "1"},
		{"isbn:2983792873", NameAddr{"", "isbn:2983792873", ""}, ""},
		{`<sip:a@b>;+sip.instance="<urn:uuid:00000000-0000-0000>";reg-id=1`, NameAddr{"", "sip:a@b", `;+sip.instance="<urn:uuid:00000000-0000-0000>";reg-id=1`}, ""},
		{`"" <sip:a@b>`, NameAddr{`""`, "sip:a@b", ""}, ""},
		{"<sip:a@b>;tag=a/b+c==;received=[2001:db8::1]", NameAddr{"", "sip:a@b", ";tag=a/b+c==;received=[2001:db8::1]"}, "a/b+c=="},
	} {
		got, err := ParseNameAddr(c.in)
		if err != nil || got != c.want || got.Tag() != c.tag {
			t.Errorf("ParseNameAddr(%q) = %+v (tag %q), %v\nwant %+v (tag %q)", c.in, got, got.Tag(), err, c.want, c.tag)
		}
	}
}
