// Package faultproxy stands between a client and a server on one machine and harms what they say to each other: it delays, slows down, flips bits, cuts, or
// goes silent without closing. It is for tests.
package faultproxy

import (
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Direction is which way bytes go.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// Unit is what a fault happens to: a frame of HTTP/2, or what was read at once where Config.Raw.
type Unit struct {
	Connection int // counted from 0, in the order in which clients connected
	Direction  Direction
	Index      int    // of the units of this direction of this connection, from 0
	Type       Type   // of the frame; Opaque where Config.Raw
	Stream     uint32 // of the frame
	Length     int    // bytes, with the header
}

// Fault is what becomes of a unit. The zero Fault forwards it as it is.
type Fault struct {
	Delay time.Duration // before it
	Rate  int           // bytes a second that it is forwarded with; 0: all at once
	Flip  []int         // bits to flip, counted from the unit's first; a frame's payload begins at bit 8·HeaderBytes
	End   End
}

// End says how a unit is the last of its connection.
type End int

// The ends.
const (
	Pass  End = iota // it is not
	Cut              // both sides are reset; the unit is not forwarded
	Stall            // nothing is forwarded any more, either way, and nothing is closed
)

// Config says what a proxy does.
type Config struct {
	// Listen is the proxy's address: HOST:PORT, port 0 for any that is free, or unix:PATH.
	Listen string
	// Target is the server's address, in the same form. It is dialled anew for every connection, so a server may be started again meanwhile.
	Target string
	// Raw says that the bytes are not HTTP/2 in plain text, as with TLS.
	Raw bool
	// Decide is asked before each unit is forwarded, in order for one direction of a connection, and at once from different ones. Nil: nothing happens.
	Decide func(Unit) Fault
}

// Proxy forwards connections until it is closed.
type Proxy struct {
	config   Config
	listener net.Listener
	closed   chan struct{}
	running  sync.WaitGroup

	mu    sync.Mutex
	links map[*link]struct{}
}

// Start listens and forwards.
func Start(config Config) (*Proxy, error) {
	listener, err := net.Listen(split(config.Listen))
	if err != nil {
		return nil, err
	}
	if config.Decide == nil {
		config.Decide = func(Unit) Fault { return Fault{} }
	}
	p := &Proxy{config: config, listener: listener, closed: make(chan struct{}), links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// Address is what a client dials.
func (p *Proxy) Address() string {
	address := p.listener.Addr()
	if address.Network() == "unix" {
		return "unix:" + filepath.Clean(address.String())
	}
	return address.String()
}

// EndAll ends all connections as a fault at their next unit would, but now. Later ones are not touched.
func (p *Proxy) EndAll(end End) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.finish(end)
	}
}

// Close resets all connections and returns when nothing of the proxy runs.
func (p *Proxy) Close() error {
	p.mu.Lock()
	select {
	case <-p.closed:
		p.mu.Unlock()
		return nil
	default:
	}
	close(p.closed)
	for l := range p.links {
		l.cut()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for number := 0; ; number++ {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.forward(number, client) })
	}
}

// forward serves one connection to its end.
func (p *Proxy) forward(number int, client net.Conn) {
	server, err := net.Dial(split(p.config.Target))
	if err != nil {
		reset(client)
		return
	}
	l := &link{number: number, client: client, server: server, proxy: p, stop: make(chan struct{}), stalled: make(chan struct{})}
	if !p.add(l) {
		l.cut()
		return
	}
	defer p.remove(l)
	l.run()
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return false
	default:
		p.links[l] = struct{}{}
		return true
	}
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// split returns the network and the address of HOST:PORT or unix:PATH.
func split(address string) (string, string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// reset closes a connection without the orderly end of TCP, and drops what the peer has not read yet.
func reset(conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = conn.Close()
}
