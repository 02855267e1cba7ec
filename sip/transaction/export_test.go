package transaction

// Residue counts what the table holds: transactions, and lists of flows.
func (t *Table) Residue() (n int) {
	for i := range shardCount {
		t.servers[i].Lock()
		t.clients[i].Lock()
		t.peers[i].mu.Lock()
		n += len(t.servers[i].byKey) + len(t.clients[i].byID) + len(t.peers[i].byFlow)
		t.peers[i].mu.Unlock()
		t.clients[i].Unlock()
		t.servers[i].Unlock()
	}
	return n
}

// Armed counts the timers that are armed.
func (w *Wheel) Armed() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.level {
		for s := range w.level[l].slots {
			for t := w.level[l].slots[s].first; t != nil; t = t.next {
				n++
			}
		}
	}
	return n
}
