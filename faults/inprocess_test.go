package faults

import (
	"context"
	"testing"
	"time"

	"kantor/internal/faultproxy"
	"kantor/server"
)

// inProcess is a stage whose server is this process's own. No wait of its tests is longer than half a second unless something is broken.
type inProcess struct {
	*stage
	server   *server.Server
	address  string
	admitted chan struct{}
	stop     context.CancelFunc
}

// Admitted implements [server.Observer].
func (p *inProcess) Admitted(context.Context, server.Admitted) { p.admitted <- struct{}{} }

// Finished implements [server.Observer].
func (p *inProcess) Finished(context.Context, server.Finished) {}

// Rejected implements [server.Observer].
func (p *inProcess) Rejected(context.Context, string) {}

// Panicked implements [server.Observer].
func (p *inProcess) Panicked(context.Context) {}

// serve sets one up until the test ends, when nothing of it may run any longer: TestMain looks.
func serve(t *testing.T, call string) *inProcess {
	t.Helper()
	p := &inProcess{stage: &stage{call: call}, admitted: make(chan struct{}, 100)}
	var err error
	if p.server, err = server.New(server.Config{Observer: p, DrainGrace: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	listener, err := p.server.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	p.address = server.Address(listener)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(ctx, listener) }()
	p.proxy, err = faultproxy.Start(faultproxy.Config{Listen: "127.0.0.1:0", Target: p.address, Decide: p.harm})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := p.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestInProcess strikes while a call that would take minutes is computed: the call fails for its reason, nothing is computed or counted any longer, and the server
// answers others bit for bit.
func TestInProcess(t *testing.T) {
	const soon = 200 * time.Millisecond
	never := func(*inProcess, client) {}
	for _, f := range []struct {
		name, saw string
		deadline  time.Duration
		strike    func(*inProcess, client)
		stops     bool
	}{
		{"deadline", "DeadlineExceeded", soon, never, false},
		{"disconnect", "Unavailable", patience, func(p *inProcess, _ client) { p.proxy.EndAll(faultproxy.Cut) }, false},
		{"corrupt frame", "Unavailable", patience, func(p *inProcess, c client) {
			p.next(faultproxy.ToServer, flippedLength)
			_, _ = c.evaluate(context.Background(), p.call, usual(1))
		}, false},
		{"shutdown", "Unavailable STOPPING", patience, func(p *inProcess, _ client) { p.stop() }, true},
	} {
		for _, call := range []string{unary, stream} {
			t.Run(f.name+"/"+call, func(t *testing.T) {
				p := serve(t, call)
				ctx, cancel := context.WithTimeout(context.Background(), f.deadline)
				defer cancel()
				p.computing(t, ctx, f.saw, func(c client) { f.strike(p, c) })
				if !f.stops {
					p.answers(t)
				}
			})
		}
	}
	for _, call := range []string{unary, stream} {
		t.Run("cancel/"+call, func(t *testing.T) {
			p := serve(t, call)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			p.computing(t, ctx, "Canceled", func(client) { cancel() })
			p.answers(t)
		})
		t.Run("half-open peer/"+call, func(t *testing.T) {
			p := serve(t, call)
			ctx, cancel := context.WithTimeout(context.Background(), soon)
			defer cancel()
			p.computing(t, ctx, "DeadlineExceeded", func(client) { p.proxy.EndAll(faultproxy.Stall) })
			p.answers(t)
		})
	}
}

// computing makes a heavy call, strikes once it is admitted, and wants what the caller sees and that the server comes to rest.
func (p *inProcess) computing(t *testing.T, ctx context.Context, saw string, strike func(client)) {
	t.Helper()
	c, err := p.dial(p.proxy.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := c.evaluate(ctx, p.call, heavy())
		ended <- err
	}()
	select {
	case <-p.admitted:
	case err := <-ended:
		t.Fatalf("the call ended before it was struck: %v", err)
	}
	strike(c)
	if got := said(<-ended); got != saw {
		t.Errorf("the caller saw %s, want %s", got, saw)
	}
	if err := until("the server rests", func() bool { return p.server.Load() == server.Load{} }); err != nil {
		t.Errorf("%v: %+v", err, p.server.Load())
	}
}

// answers wants the server to answer others, the same call always the same.
func (p *inProcess) answers(t *testing.T) {
	t.Helper()
	c, err := p.dial(p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	var seen [2]string
	for i := range seen {
		response, err := c.evaluate(context.Background(), p.call, usual(7))
		if err != nil {
			t.Fatal(err)
		}
		seen[i] = bits(response)
	}
	if seen[0] != seen[1] {
		t.Error("the same call gave two results")
	}
}

// Slow ends of a connection change no bits.
func TestSlowInProcess(t *testing.T) {
	for name, way := range map[string]faultproxy.Direction{"reader": faultproxy.ToClient, "writer": faultproxy.ToServer} {
		for _, call := range []string{unary, stream} {
			t.Run(name+"/"+call, func(t *testing.T) {
				p := serve(t, call)
				c, err := p.dial(p.proxy.Address())
				if err != nil {
					t.Fatal(err)
				}
				defer c.conn.Close()
				at, err := c.evaluate(context.Background(), call, usual(3))
				if err != nil {
					t.Fatal(err)
				}
				p.slow(way)
				slow, err := c.evaluate(context.Background(), call, usual(3))
				if err != nil || bits(slow) != bits(at) {
					t.Errorf("%v, or other bits", err)
				}
			})
		}
	}
}
