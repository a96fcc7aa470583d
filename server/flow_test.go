package server

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
)

// However a caller gives up that waits for its turn, it leaves the queue at once, while those before it are computed.
func TestGivingUpInTheQueue(t *testing.T) {
	for _, way := range []string{"cancel", "deadline", "disconnect"} {
		for name, begin := range map[string]func(*started, context.Context) error{
			"unary": func(s *started, ctx context.Context) error {
				_, err := s.losses.Evaluate(ctx, klRequest(1))
				return err
			},
			"stream": func(s *started, ctx context.Context) error {
				c := s.stream(t, ctx)
				c.open(klOpen())
				c.kl(1, 1)
				for {
					if _, err := c.wire.Recv(); err != nil {
						return err
					}
				}
			},
		} {
			t.Run(way+"/"+name, func(t *testing.T) {
				s, g, _ := busy(t, Config{Queue: 2})
				other := &started{Server: s.Server, conn: dialAddress(t, s.conn.Target())}
				other.losses = kantorv1.NewLossServiceClient(other.conn)
				defer func() { _ = other.conn.Close() }()
				ctx, cancel := context.WithCancel(testContext(t))
				if way == "deadline" {
					ctx, cancel = context.WithTimeout(testContext(t), 200*time.Millisecond)
				}
				defer cancel()
				before := s.Load()
				ended := make(chan error, 1)
				go func() { ended <- begin(other, ctx) }()
				if way != "deadline" {
					waitUntil(t, func() bool { return s.Load().QueuedSmall == 2 }, "it waits for its turn")
				}
				want := codes.Canceled
				switch way {
				case "cancel":
					cancel()
				case "deadline":
					want = codes.DeadlineExceeded
				case "disconnect":
					_ = other.conn.Close()
				}
				if err := <-ended; status.Code(err) != want {
					t.Errorf("got %v, want %v", err, want)
				}
				waitUntil(t, func() bool { return s.Load() == before }, "it has left the queue")
				close(g.pass)
				waitUntil(t, func() bool { return s.Load() == Load{} }, "nothing is counted any more")
			})
		}
	}
}

// What waits for its turn when the server stops is answered while there is time, and told that it stops, which is worth another try, when there is none.
func TestStopWithAQueue(t *testing.T) {
	for name, pass := range map[string]bool{"time enough": true, "no time": false} {
		t.Run(name, func(t *testing.T) {
			g := newGated()
			grace := 20 * time.Millisecond
			if pass {
				grace = patience
			}
			s := start(t, Config{DrainGrace: grace, Window: 100}, g.install)
			c := s.opened(t, klOpen())
			atOnce := s.config.admission().Small
			for id := range atOnce + 2 {
				c.kl(uint64(id+1), 2)
			}
			waitUntil(t, func() bool { return s.Load().QueuedSmall == 2 }, "two wait for their turn")
			s.cancel()
			if m := c.receive(); m.GetDraining().GetGrace().AsDuration() != grace {
				t.Errorf("got %v, want draining with a grace of %v", m, grace)
			}
			if pass {
				close(g.pass)
				for id := range atOnce + 2 {
					c.result(uint64(id + 1))
				}
				c.end()
			} else if err := c.ended(); status.Code(err) != codes.Unavailable {
				t.Errorf("got %v, want Unavailable", err)
			}
			waitFor(t, s.served, "the server to stop")
			if got := s.Load(); got != (Load{}) {
				t.Errorf("nothing is left to do, but the load is %+v", got)
			}
		})
	}
}

// A stream that nothing happens on ends with a status that is worth another try; one with a batch in flight does not, however long that takes.
func TestAnIdleStreamEnds(t *testing.T) {
	const idle = 30 * time.Millisecond
	g := newGated()
	s := start(t, Config{StreamIdle: idle}, g.install)
	busy, quiet := s.opened(t, klOpen()), s.opened(t, klOpen())
	busy.kl(1, 2)
	g.wait(t)
	err := quiet.ended()
	if reason, _ := reasonAndDelay(status.Convert(err)); status.Code(err) != codes.Unavailable || reason != "STREAM_IDLE" {
		t.Errorf("got %v, reason %q", err, reason)
	}
	time.Sleep(3 * idle)
	close(g.pass)
	if got := busy.result(1); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if err := busy.ended(); status.Code(err) != codes.Unavailable {
		t.Errorf("after its answer: got %v", err)
	}
	if code, delay := reasonAndDelay(toStatus(errIdle)); code != "STREAM_IDLE" || delay != 0 {
		t.Errorf("%q, %v", code, delay)
	}
}

// A client that sends and does not read makes the server hold a window of answers and no more; what it reads later is all there.
func TestASlowReaderHoldsAWindow(t *testing.T) {
	const window, batches, n = 2, 20, 1 << 15
	s := start(t, Config{Window: window})
	// Flow control lets through what the client has room for: one answer and a bit.
	conn := dialAddress(t, s.conn.Target(), grpc.WithInitialWindowSize(1<<16), grpc.WithInitialConnWindowSize(1<<16))
	defer func() { _ = conn.Close() }()
	slow := &started{Server: s.Server, losses: kantorv1.NewLossServiceClient(conn)}
	term := objective(sinkhornTerm(&kantorv1.SinkhornDivergence{MaxIterations: 1, WithoutInterval: true, Debias: kantorv1.Debias_DEBIAS_NONE}))
	term.Gradients = []string{"source.points"}
	c := slow.opened(t, &kantorv1.Open{Objective: term})
	points := slices.Repeat([]float64{0.5, 1}, n/2)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for id := range uint64(batches) {
			c.batch(&kantorv1.Batch{Id: id + 1, Inputs: map[string]*kantorv1.Input{"source": line(points...), "target": line(1)}})
		}
	}()
	still, last := 0, int64(0)
	waitUntil(t, func() bool {
		load, done := s.Load(), s.Stats().Evaluations
		if done == 0 || done != last || load.RunningSmall+load.RunningLarge > 0 {
			still, last = 0, done
		}
		still++
		return still > 100
	}, "nothing is computed any more")
	if done := s.Stats().Evaluations; done > window+2 {
		t.Errorf("%d batches were computed for nobody, want a window of %d and what flow control lets through", done, window)
	}
	if held := s.Load().Bytes; held < 8*n || held > window*(8*n+1<<10) {
		t.Errorf("%d bytes are held for answers, want one or two of %d", held, 8*n)
	}
	for id := range uint64(batches) {
		c.result(id + 1)
	}
	waitFor(t, sent, "the last batch to be sent")
	c.end()
	waitUntil(t, func() bool { return s.Load() == Load{} }, "nothing is counted any more")
}
