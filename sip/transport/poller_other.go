//go:build !linux

package transport

import "errors"

// Poller is there on Linux only.
type Poller struct{}

type pollLoop struct{}

// NewPoller fails: every Socket has a reader of its own.
func NewPoller() (*Poller, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (p *Poller) Close() {}

// Park leaves the caller to read.
func (p *Poller) Park(*Socket, Reader) bool { return false }

func (s *Socket) oustLocked() {}
