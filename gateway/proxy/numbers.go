package proxy

import "slices"

// numbering maps the numbers that one side of a dialog gives its requests to those that they leave with. The difference only
// grows, with each request that leaves once more, but what left before keeps its own number: an ACK has that of its INVITE
// (RFC 3261 §13.2.2.4), and a RAck names it (RFC 3262 §7.2), whatever was challenged since.
type numbering struct {
	base  uint32 // is added to what is below the first step
	seen  uint32 // highest number of the sender's
	high  uint32 // highest number that left
	steps []step // by from, none above seen+1
}

// step: from this number on that much is added.
type step struct{ from, add uint32 }

// maxSteps bounds what is remembered; what came before has the oldest that is.
const maxSteps = 16

// left is the number that n leaves, or left last, with.
func (m *numbering) left(n uint32) uint32 {
	for i := len(m.steps) - 1; i >= 0; i-- {
		if s := m.steps[i]; n >= s.from {
			return n + s.add
		}
	}
	return n + m.base
}

// first is the number of n at its first leaving, and to another server.
func (m *numbering) first(n uint32) uint32 {
	left := m.left(n)
	m.seen, m.high = max(m.seen, n), max(m.high, left)
	return left
}

// again is the number of n once more: above all that have left.
func (m *numbering) again(n uint32) uint32 {
	before := m.first(n)
	left := m.high + 1
	m.high = left
	if n < m.seen { // those between keep theirs
		if _, is := m.find(n + 1); !is {
			m.put(n+1, before-n)
		}
		m.put(m.seen+1, left-m.seen)
	} else {
		i, _ := m.find(n)
		m.steps = m.steps[:i]
	}
	m.put(n, left-n)
	if over := len(m.steps) - maxSteps; over > 0 {
		m.base = m.steps[over-1].add
		m.steps = slices.Delete(m.steps, 0, over)
	}
	return left
}

func (m *numbering) find(from uint32) (int, bool) {
	return slices.BinarySearchFunc(m.steps, from, func(s step, from uint32) int { return int(int64(s.from) - int64(from)) })
}

func (m *numbering) put(from, add uint32) {
	i, is := m.find(from)
	if !is {
		m.steps = slices.Insert(m.steps, i, step{from: from})
	}
	m.steps[i].add = add
}
