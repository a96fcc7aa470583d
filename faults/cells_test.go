package faults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"kantor/internal/faultproxy"
)

// fault is a row of the matrix: what breaks, what each call wants to become of it, and how it is brought about.
type fault struct {
	name string
	done string // what is done
	want map[string]outcome
	most bound

	args, env []string                     // of the server
	plan      func(*plan)                  // what the trainer does beside the usual
	arm       func(*stage)                 // before the trainer makes the step
	strike    func(*stage, *trainer) error // once it does
	probe     func(*stage) (measured, error)
}

// outcome is a cell: what the run has to give, in the words of the page.
type outcome struct {
	steps string // what became of a trainer's, as account has it
	saw   string // what a client sees that makes no call again
}

// bound is what the server does at most after the fault.
type bound struct {
	amount float64
	unit   string
}

// stopsWithin10ms is the bound where nobody waits for the answer any longer.
var stopsWithin10ms = bound{10, "ms of work"}

const (
	allAnswered = "all 30 answered"
	drainGrace  = 500 * time.Millisecond
	manyBatches = 200 // of 32 KiB, more than the windows of HTTP/2 take
)

// both is the same outcome for both calls.
func both(steps, saw string) map[string]outcome {
	return map[string]outcome{unary: {steps, saw}, stream: {steps, saw}}
}

func withHeavyStep(p *plan) { p.Heavy = true }

var faults = []fault{
	{
		name:   "cancel",
		done:   "SIGINT while the server computes the step; `ctx` cancelled",
		want:   both("29 answered, 1 `KeyboardInterrupt`", "Canceled"),
		most:   stopsWithin10ms,
		plan:   withHeavyStep,
		strike: interruptWhileBusy,
		probe: func(s *stage) (measured, error) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			return s.whileComputing(ctx, func(client) error { cancel(); return nil })
		},
	},
	{
		name:  "deadline",
		done:  "half a second for a step of minutes",
		want:  both("29 answered, 1 `DeadlineError DEADLINE_EXCEEDED`", "DeadlineExceeded"),
		most:  stopsWithin10ms,
		plan:  func(p *plan) { p.Heavy, p.HeavyTimeout = true, 0.5 },
		probe: probeDeadline,
	},
	{
		name: "disconnect",
		done: "the connection is reset instead of the answer; while it computes",
		want: both(allAnswered, "Unavailable"),
		most: stopsWithin10ms,
		arm:  func(s *stage) { s.next(faultproxy.ToClient, ended(faultproxy.Cut)) },
		probe: func(s *stage) (measured, error) {
			return s.whileComputing(context.Background(), s.ending(faultproxy.Cut))
		},
	},
	{
		name: "half-open peer",
		done: "the connection goes silent, and is not closed",
		want: both(allAnswered, "Unavailable"),
		most: bound{75_000, "ms of work: keepalive finds out"},
		arm:  func(s *stage) { s.next(faultproxy.ToClient, ended(faultproxy.Stall)) },
		probe: func(s *stage) (measured, error) {
			pings := keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 15 * time.Second} // as the Python client's
			return s.whileComputing(context.Background(), s.ending(faultproxy.Stall), grpc.WithKeepaliveParams(pings))
		},
	},
	{
		name:  "slow reader",
		done:  "answers are read with 64 KiB/s; not at all",
		want:  both(allAnswered, "OK"),
		most:  bound{32, "of 200 batches"},
		arm:   func(s *stage) { s.slow(faultproxy.ToClient) },
		probe: probeSlowReader,
	},
	{
		name:  "slow writer",
		done:  "requests come with 64 KiB/s",
		want:  both(allAnswered, "OK"),
		most:  bound{10, "ms of work before the request is whole"},
		arm:   func(s *stage) { s.slow(faultproxy.ToServer) },
		probe: probeSlowWriter,
	},
	{
		name: "corrupt frame",
		done: "a bit of the length in the header of a frame with an answer is flipped; of one with another request, while it computes",
		want: both(allAnswered, "Unavailable"),
		most: stopsWithin10ms,
		arm:  func(s *stage) { s.next(faultproxy.ToClient, flippedLength) },
		probe: func(s *stage) (measured, error) {
			return s.whileComputing(context.Background(), func(c client) error {
				s.next(faultproxy.ToServer, flippedLength)
				if _, err := c.evaluate(context.Background(), s.call, usual(1)); err == nil {
					return errors.New("a request with a corrupt frame was answered")
				}
				return nil
			})
		},
	},
	{
		name:  "memory pressure",
		done:  "the step needs three fifths of the memory, of which another caller's has as much for a second and a half; the queue waits for 200 ms",
		want:  both(allAnswered, "ResourceExhausted QUEUE_WAIT"),
		most:  bound{1, "of the memory for requests in use"},
		args:  []string{"--memory", "256MiB", "--queue-wait", "200ms"},
		plan:  func(p *plan) { p.Large = true },
		arm:   func(s *stage) { s.fail(s.crowd(1500 * time.Millisecond)) },
		probe: probeMemory,
	},
	{
		name: "kill -9",
		done: "instead of the answer; while it computes. It is started again",
		want: both(allAnswered, "Unavailable"),
		most: stopsWithin10ms,
		arm:  killInsteadOfAnswer,
		probe: func(s *stage) (measured, error) {
			return s.whileComputing(context.Background(), func(client) error { s.server.signal(syscall.SIGKILL); return nil })
		},
	},
	{
		name: "SIGTERM",
		done: "while a step is on its way; while it computes what takes longer than the grace of 500 ms. It is started again",
		want: both(allAnswered, "Unavailable STOPPING"),
		most: bound{milliseconds(drainGrace) + 10, "ms of work, the grace included"},
		args: []string{"--drain-grace", drainGrace.String()},
		arm:  terminateWithTheStep,
		probe: func(s *stage) (measured, error) {
			return s.whileComputing(context.Background(), func(client) error { s.server.signal(syscall.SIGTERM); return nil })
		},
	},
	{
		name:  "panic in compute",
		done:  "the 11th evaluation panics, in a build with the tag `faultinjection`",
		want:  both("29 answered, 1 `InternalError INTERNAL`", "Internal INTERNAL"),
		most:  stopsWithin10ms,
		env:   []string{fmt.Sprintf("KANTOR_FAULT_PANIC=%d", faultAt+1)},
		probe: probePanic,
	},
}

// ended is a fault that ends the connection.
func ended(end faultproxy.End) func() faultproxy.Fault {
	return func() faultproxy.Fault { return faultproxy.Fault{End: end} }
}

// ending ends what connections there are.
func (s *stage) ending(end faultproxy.End) func(client) error {
	return func(client) error {
		s.proxy.EndAll(end)
		return nil
	}
}

// flippedLength makes a frame longer than any may be: bit 7 of the first byte is 2^23 of the payload's length.
func flippedLength() faultproxy.Fault { return faultproxy.Fault{Flip: []int{7}} }

// crowd has another caller compute what takes most of the memory, for a while.
func (s *stage) crowd(while time.Duration) error {
	c, err := dial(s.server.address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), while)
	before := s.server.work()
	s.others.Go(func() {
		defer c.conn.Close()
		defer cancel()
		if _, err := c.evaluate(ctx, unary, heavy()); status.Code(err) != codes.DeadlineExceeded {
			s.fail(fmt.Errorf("the other caller: %w", err))
		}
	})
	return s.server.untilBusy(before)
}

// interruptWhileBusy is a user's ^C, at a step that computes.
func interruptWhileBusy(s *stage, t *trainer) error {
	if err := s.server.untilBusy(s.server.work()); err != nil {
		return err
	}
	t.interrupt()
	return nil
}

func killInsteadOfAnswer(s *stage) {
	s.next(faultproxy.ToClient, func() faultproxy.Fault {
		s.server.signal(syscall.SIGKILL)
		s.fail(s.server.restart())
		return faultproxy.Fault{End: faultproxy.Cut}
	})
}

func terminateWithTheStep(s *stage) {
	s.next(faultproxy.ToServer, func() faultproxy.Fault {
		s.server.signal(syscall.SIGTERM)
		go func() { s.fail(s.server.restart()) }()
		return faultproxy.Fault{}
	})
}

func probeDeadline(s *stage) (measured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	req, before := heavy(), s.server.work()
	ended := make(chan error, 1)
	go func() {
		_, err := c.evaluate(ctx, s.call, req)
		ended <- err
	}()
	if err := s.server.untilBusy(before); err != nil {
		return measured{}, err
	}
	<-ctx.Done()
	at := s.server.work()
	done, err := s.server.untilIdle(patience)
	return measured{said(<-ended), milliseconds(done - at)}, err
}

// probeSlowReader reads nothing until the server rests, and has it tell how many of many batches it has computed by then; then reads all. A unary call has one answer.
func probeSlowReader(s *stage) (measured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	if s.call == unary {
		s.slow(faultproxy.ToClient)
		_, err := c.evaluate(ctx, unary, usual(1))
		return measured{said(err), 1}, errors.Join(err, s.bystander(ctx))
	}
	req := usual(1)
	wire, err := c.open(ctx, req.GetObjective())
	if err != nil {
		return measured{}, err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for id := range uint64(manyBatches) {
			_ = wire.Send(batch(id+1, req))
		}
	}()
	if _, err := s.server.untilRest(patience); err != nil {
		return measured{}, err
	}
	resting, err := s.server.metrics()
	if err != nil {
		return measured{}, err
	}
	if err := s.bystander(ctx); err != nil {
		return measured{}, err
	}
	for range manyBatches {
		if _, err := result(wire); err != nil {
			return measured{}, err
		}
	}
	<-sent
	return measured{said(nil), resting["kantor_evaluations_total"]}, nil
}

// probeSlowWriter trickles a request, and measures what the server does until it is whole.
func probeSlowWriter(s *stage) (measured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	if _, err := c.evaluate(ctx, s.call, usual(0)); err != nil { // the connection stands
		return measured{}, err
	}
	s.slow(faultproxy.ToServer)
	large := request(1, 1024, usual(0).GetObjective().GetTerms()[0].GetSinkhorn()) // 128 KiB: two seconds
	at, ended := s.server.work(), make(chan error, 1)
	go func() {
		_, err := c.evaluate(ctx, s.call, large)
		ended <- err
	}()
	done, err := s.server.untilRest(patience) // before the request is whole, which takes twice as long
	if len(ended) > 0 {
		return measured{}, errors.New("the request was whole before the server rested")
	}
	if err != nil {
		return measured{}, err
	}
	err = s.bystander(ctx)
	return measured{said(<-ended), milliseconds(done - at)}, err
}

// probeMemory asks for what does not fit beside another caller's, and then for what does; and how much of the memory was in use.
func probeMemory(s *stage) (measured, error) {
	if err := s.crowd(2 * time.Second); err != nil {
		return measured{}, err
	}
	c, err := dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	large := request(1, 3000, usual(0).GetObjective().GetTerms()[0].GetSinkhorn())
	_, refused := c.evaluate(context.Background(), s.call, large)
	now, err := s.server.metrics()
	if err != nil {
		return measured{}, err
	}
	if err := s.bystander(context.Background()); err != nil {
		return measured{}, err
	}
	s.others.Wait()
	if _, err := c.evaluate(context.Background(), s.call, large); err != nil {
		return measured{}, err
	}
	_, err = s.server.untilIdle(patience)
	return measured{said(refused), now["kantor_inflight_bytes"] / now["kantor_memory_limit_bytes"]}, err
}

// probePanic calls until one panics, and measures what the server does after that.
func probePanic(s *stage) (measured, error) {
	c, err := dial(s.proxy.Address())
	if err != nil {
		return measured{}, err
	}
	defer c.conn.Close()
	for range faultAt + 1 {
		at := s.server.work()
		if _, panicked := c.evaluate(context.Background(), s.call, usual(1)); panicked != nil {
			done, err := s.server.untilIdle(patience)
			return measured{said(panicked), milliseconds(done - at)}, errors.Join(err, s.bystander(context.Background()))
		}
	}
	return measured{}, errors.New("nothing panicked")
}
