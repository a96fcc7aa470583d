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
	// mostUnary is that of unary calls, where it is another; nil: it is not.
	mostUnary *bound

	args, env []string                     // of the server
	tls       bool                         // it encrypts
	tokens    bool                         // it wants tokens
	clock     string                       // which way its wall clock can be set: forward or back; empty: it is the machine's
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

// bound is what the server does at most after the fault, in a call.
func (f fault) bound(call string) bound {
	if call == unary && f.mostUnary != nil {
		return *f.mostUnary
	}
	return f.most
}

// stopsWithin10ms is the bound where nobody waits for the answer any longer.
var stopsWithin10ms = bound{10, "ms of work"}

const (
	allAnswered = "all 30 answered"
	drainGrace  = 500 * time.Millisecond
	// endOfProcess is what the kernel may take to take back the memory of a process that computed, in ms: 8 were measured.
	endOfProcess = 15
	manyBatches  = 200 // of 32 KiB, more than the windows of HTTP/2 take
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
		probe: func(s *stage) (measured, error) { return s.untilDeadline(func() error { return nil }) },
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
		name: "slow reader",
		done: "answers are read with 64 KiB/s; not at all",
		want: both(allAnswered, "OK"),
		most: bound{32, "of 200 batches computed"},

		mostUnary: &bound{1, "answer computed"},

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
		name: "corrupt frame, TLS",
		done: "a bit of an encrypted record with an answer is flipped; of one with another request, while it computes",
		want: both(allAnswered, "Unavailable"),
		most: stopsWithin10ms,
		tls:  true,
		arm:  func(s *stage) { s.next(faultproxy.ToClient, flippedRecord) },
		probe: func(s *stage) (measured, error) {
			return s.whileComputing(context.Background(), func(c client) error {
				s.next(faultproxy.ToServer, flippedRecord)
				if _, err := c.evaluate(context.Background(), s.call, usual(1)); err == nil {
					return errors.New("a request with a corrupt record was answered")
				}
				return nil
			})
		},
	},
	{
		name:  "certificate rotation",
		done:  "another pair is put in place, then all connections are reset; connections that stand, and new ones",
		want:  both(allAnswered, "OK"),
		most:  bound{0, "calls lost"},
		tls:   true,
		arm:   func(s *stage) { s.fail(s.secured.rotateCertificate(s.server.address)); s.proxy.EndAll(faultproxy.Cut) },
		probe: probeCertificate,
	},
	{
		name: "token rotation",
		done: "the trainer's token is replaced in its file, then the old one is taken out of the server's; a caller that keeps the old one",
		want: map[string]outcome{
			unary:  {allAnswered, "Unauthenticated TOKEN_UNKNOWN"},
			stream: {allAnswered, "Unauthenticated TOKEN_REVOKED"},
		},
		most:   stopsWithin10ms,
		tokens: true,
		arm:    func(s *stage) { s.fail(s.secured.rotateToken(s.server.address)) },
		probe:  probeToken,
	},
	{
		name:  "memory pressure",
		done:  "the step needs three fifths of the memory, of which another caller's has as much for a second and a half; the queue waits for 200 ms",
		want:  both(allAnswered, "ResourceExhausted QUEUE_WAIT"),
		most:  bound{1, "× the memory for requests"},
		args:  []string{"--memory", "256MiB", "--queue-wait", "200ms"},
		plan:  func(p *plan) { p.Large = true },
		arm:   func(s *stage) { s.fail(s.crowd(1500 * time.Millisecond)) },
		probe: probeMemory,
	},
	{
		name: "kill -9",
		done: "instead of the answer; while it computes. It is started again",
		want: both(allAnswered, "Unavailable"),
		most: bound{10 + endOfProcess, "ms of work, the end of the process included"},
		arm:  killInsteadOfAnswer,
		probe: func(s *stage) (measured, error) {
			return s.whileComputing(context.Background(), func(client) error { s.server.signal(syscall.SIGKILL); return nil })
		},
	},
	{
		name: "SIGTERM",
		done: "while a step is on its way; while it computes what takes longer than the grace of 500 ms. It is started again",
		want: both(allAnswered, "Unavailable STOPPING"),
		most: bound{milliseconds(drainGrace) + 10 + endOfProcess, "ms of work, the grace and the end of the process included"},
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
	steppedClock("forward"),
	steppedClock("back"),
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

// flippedRecord damages what TLS authenticates, behind the header of the first record.
func flippedRecord() faultproxy.Fault { return faultproxy.Fault{Flip: []int{8 * 20}} }

// crowd has another caller compute what takes most of the memory, for a while.
func (s *stage) crowd(while time.Duration) error {
	c, err := s.dial(s.server.address)
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
