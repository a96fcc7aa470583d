package faultproxy

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"
)

// piecesPerSecond is how many pieces a slowed unit is forwarded in.
const piecesPerSecond = 20

// link is one connection: the client's end and the server's.
type link struct {
	number         int
	client, server net.Conn
	proxy          *Proxy

	once      sync.Once
	stop      chan struct{} // closed when both ends are
	stallOnce sync.Once
	stalled   chan struct{} // closed when nothing is forwarded any more
}

// run forwards both ways until both have ended.
func (l *link) run() {
	var ways sync.WaitGroup
	ways.Go(func() { l.pump(ToServer, l.client, l.server) })
	ways.Go(func() { l.pump(ToClient, l.server, l.client) })
	ways.Wait()
	l.cut()
}

// cut resets both ends.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.stop)
		reset(l.client)
		reset(l.server)
	})
}

// finish does what an end says.
func (l *link) finish(end End) {
	switch end {
	case Cut:
		l.cut()
	case Stall:
		l.stallOnce.Do(func() { close(l.stalled) })
	}
}

// pump forwards one way. An orderly end of the sender is passed on, and the other way goes on; any other end cuts.
func (l *link) pump(direction Direction, from, to net.Conn) {
	in := &reader{in: bufio.NewReaderSize(from, readBytes), raw: l.proxy.config.Raw, preface: direction == ToServer}
	for index := 0; ; index++ {
		bytes, unit, err := in.next()
		if err != nil {
			l.end(err, to)
			return
		}
		unit.Connection, unit.Direction, unit.Index = l.number, direction, index
		if !l.pass(bytes, l.proxy.config.Decide(unit), to) {
			return
		}
	}
}

// end passes on how the sender ended. A stalled connection says nothing.
func (l *link) end(err error, to net.Conn) {
	select {
	case <-l.stalled:
		<-l.stop
		return
	default:
	}
	half, ok := to.(interface{ CloseWrite() error })
	if err == io.EOF && ok {
		_ = half.CloseWrite()
		return
	}
	l.cut()
}

// pass forwards a unit with its fault, and reports whether there is a next.
func (l *link) pass(bytes []byte, f Fault, to net.Conn) bool {
	l.finish(f.End)
	if !l.sleep(f.Delay) {
		return false
	}
	for _, bit := range f.Flip {
		if bit/8 < len(bytes) {
			bytes[bit/8] ^= 1 << (bit % 8)
		}
	}
	piece := len(bytes)
	if f.Rate > 0 {
		piece = max(1, f.Rate/piecesPerSecond)
	}
	for len(bytes) > 0 {
		n := min(piece, len(bytes))
		if f.Rate > 0 && !l.sleep(time.Duration(n)*time.Second/time.Duration(f.Rate)) {
			return false
		}
		if !l.sleep(0) {
			return false
		}
		if _, err := to.Write(bytes[:n]); err != nil {
			l.cut()
			return false
		}
		bytes = bytes[n:]
	}
	return true
}

// sleep waits, and reports whether the connection still forwards. One that is stalled waits for its end.
func (l *link) sleep(d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.stalled:
		case <-l.stop:
		}
	}
	select {
	case <-l.stop:
		return false
	case <-l.stalled:
		<-l.stop
		return false
	default:
		return true
	}
}
