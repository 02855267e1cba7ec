package locate

import "slices"

// Order appends servers to dst in an order that RFC 2782 asks for: by Priority, and
// among equals by chance in proportion to Weight, a record of weight 0 seldom first. The
// addresses of one record stay together (RFC 3263 §4.2: each is tried before the next
// record). intn yields a number in [0,n), as rand.IntN does. servers, which must be in
// the order of Priority as Locate gives them, stays as it is.
func Order(dst, servers []Server, intn func(n int) int) []Server {
	at := len(dst)
	dst = append(dst, servers...)
	for rest := dst[at:]; len(rest) > 0; {
		equals := 1
		for equals < len(rest) && rest[equals].Priority == rest[0].Priority {
			equals++
		}
		shuffle(rest[:equals], intn)
		rest = rest[equals:]
	}
	return dst
}

// shuffle orders the servers of one priority in place.
func shuffle(s []Server, intn func(n int) int) {
	for len(s) > 0 {
		from := pick(s, intn)
		n := record(s[from:])
		// Rotate the chosen record to the front; the others keep their order.
		slices.Reverse(s[:from])
		slices.Reverse(s[from : from+n])
		slices.Reverse(s[:from+n])
		s = s[n:]
	}
}

// pick is the index of the record that the running sum of RFC 2782 selects, records of
// weight 0 first in the sum.
func pick(s []Server, intn func(n int) int) int {
	sum, zero := 0, -1
	for i := 0; i < len(s); i += record(s[i:]) {
		sum += int(s[i].Weight)
		if s[i].Weight == 0 && zero < 0 {
			zero = i
		}
	}
	n := intn(sum + 1)
	if n == 0 && zero >= 0 {
		return zero
	}
	for i := 0; i < len(s); i += record(s[i:]) {
		if s[i].Weight == 0 {
			continue
		}
		if n -= int(s[i].Weight); n <= 0 {
			return i
		}
	}
	return 0
}

// record is how many servers at the start of s are addresses of one SRV record.
func record(s []Server) int {
	n := 1
	for n < len(s) && s[n].Name == s[0].Name && s[n].Addr.Port() == s[0].Addr.Port() &&
		s[n].Transport == s[0].Transport && s[n].Weight == s[0].Weight {
		n++
	}
	return n
}
