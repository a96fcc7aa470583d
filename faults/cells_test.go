package faults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

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
			return s.whileComputing(ctx, func() error { cancel(); return nil })
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
		name: "kill -9",
		done: "instead of the answer; while it computes. It is started again",
		want: both(allAnswered, "Unavailable"),
		most: stopsWithin10ms,
		arm:  killInsteadOfAnswer,
		probe: func(s *stage) (measured, error) {
			return s.whileComputing(context.Background(), func() error { s.server.signal(syscall.SIGKILL); return nil })
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
			return s.whileComputing(context.Background(), func() error { s.server.signal(syscall.SIGTERM); return nil })
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
func (s *stage) ending(end faultproxy.End) func() error {
	return func() error {
		s.proxy.EndAll(end)
		return nil
	}
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

// probeSlowReader reads nothing until the server rests, and has it tell how many of many batches it has computed by then. A unary call has one answer.
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
	if _, err := s.server.untilIdle(patience); err != nil {
		return measured{}, err
	}
	if err := s.bystander(ctx); err != nil {
		return measured{}, err
	}
	_, err = result(wire)
	cancel()
	<-sent
	computed, countErr := s.server.evaluations()
	return measured{said(err), float64(computed - bystanderCalls)}, countErr
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
	at, ended := s.server.work(), make(chan error, 1)
	go func() {
		_, err := c.evaluate(ctx, s.call, usual(1))
		ended <- err
	}()
	done, err := s.server.untilIdle(patience) // before the request is whole, which takes twice as long
	if err != nil {
		return measured{}, err
	}
	err = s.bystander(ctx)
	return measured{said(<-ended), milliseconds(done - at)}, err
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
