// Package load puts a load of evaluations on servers and measures what they make of it.
//
// With a rate the loop is open: requests start when they are due, whether or not earlier ones were answered, and a latency counts from the moment that its
// request was due, so that a server that stalls cannot hide it. Without one the loop is closed: every trainer sends its next request when the last was answered.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kantor/losses"
)

// Bounds of [Config].
const (
	MaxTrainers = 4096
	MaxRate     = 1e6
)

// progressEvery is how often Config.Progress is called.
const progressEvery = time.Second

// Config is what to put on which servers.
type Config struct {
	Target Target
	// Mix are the sizes, at least one.
	Mix []Share
	// Losses are terms as `kantor eval --term` has them, "sinkhorn:blur=0.5", at least one; all are as likely.
	Losses []string
	// Rate is how many requests are due each second, at random moments (a Poisson process). Zero: the loop is closed.
	Rate float64
	// Trainers is how many there are, each with a connection of its own.
	Trainers int
	// Stream sends batches over one stream for each trainer instead of calls.
	Stream bool
	// Duration is how long requests start. What has started is waited for.
	Duration time.Duration
	// Deadline is how long each may take.
	Deadline time.Duration
	// Seed decides the points, the order of sizes and the moments.
	Seed uint64
	// Verify is the share of answers that are compared, bit for bit, with the first one to the same request.
	Verify float64
	// Cancel and Disconnect are the shares of requests that are given up on purpose, by a cancellation or with the connection; in a closed loop only.
	Cancel, Disconnect float64
	// PID is the process of a server on this machine, whose processor time is reported. Zero: none.
	PID int
	// Progress is called each second. Nil: not.
	Progress func(Progress)

	started func() // called when the servers have answered and requests begin; nil: not
}

// Progress is what was measured so far.
type Progress struct {
	Elapsed          time.Duration
	Answered, Failed int64
	Worst            time.Duration // latency of the slowest since the last progress
}

func (c Config) check() error {
	switch {
	case len(c.Target.Addresses) == 0:
		return bad("address", "is missing, want HOST:PORT or unix:PATH")
	case len(c.Mix) == 0:
		return bad("mix", "is empty, want sizes such as 256x16:9")
	case len(c.Losses) == 0:
		return bad("loss", "is missing, want one such as sinkhorn")
	case !(c.Rate >= 0 && c.Rate <= MaxRate):
		return bad("rate", "is %v, want 0 to %v a second", c.Rate, MaxRate)
	case c.Trainers < 1 || c.Trainers > MaxTrainers:
		return bad("trainers", "is %d, want 1 to %d", c.Trainers, MaxTrainers)
	case c.Duration <= 0:
		return bad("duration", "is %v, want more than 0", c.Duration)
	case c.Deadline <= 0:
		return bad("deadline", "is %v, want more than 0", c.Deadline)
	case !(c.Verify >= 0 && c.Verify <= 1):
		return bad("verify", "is %v, want a share from 0 to 1", c.Verify)
	case !(c.Cancel >= 0 && c.Disconnect >= 0 && c.Cancel+c.Disconnect <= 1):
		return bad("cancel, disconnect", "are %v and %v, want shares that sum to 1 at most", c.Cancel, c.Disconnect)
	case c.Cancel+c.Disconnect > 0 && c.Rate > 0:
		return bad("cancel, disconnect", "are for trainers, who have one request in flight each: leave the rate out")
	}
	return nil
}

func bad(field, format string, args ...any) error {
	return &losses.InputError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// runner is one run.
type runner struct {
	config   Config
	work     []kind
	trainers []*trainer
	meter    *meter
	start    time.Time
	calls    sync.WaitGroup
	turn     atomic.Uint64 // of the trainer whose turn it is in an open loop
}

// Run puts the load on and returns what was measured, also when the context ends before the duration. The error is a *[losses.InputError], or that of a server
// that does not answer at the start; what requests meet later is part of the report.
func Run(ctx context.Context, config Config) (*Report, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	work, err := kinds(config)
	if err != nil {
		return nil, err
	}
	r := &runner{config: config, work: work, meter: newMeter(config, work)}
	defer r.close()
	info, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	before, err := processorSeconds(config.PID)
	if err != nil {
		return nil, err
	}
	r.start = time.Now()
	if config.started != nil {
		config.started()
	}
	stop := r.report()
	if config.Rate > 0 {
		r.openLoop(ctx)
	} else {
		r.closedLoop(ctx)
	}
	r.calls.Wait()
	elapsed := time.Since(r.start)
	stop()
	report := r.meter.report(elapsed, info)
	after, err := processorSeconds(config.PID)
	report.ServerSeconds = after - before
	return report, err
}

// openLoop starts a request whenever one is due.
func (r *runner) openLoop(ctx context.Context) {
	random := rand.New(rand.NewPCG(r.config.Seed, 1))
	end := r.start.Add(r.config.Duration)
	due := r.start
	for {
		due = due.Add(time.Duration(random.ExpFloat64() / r.config.Rate * float64(time.Second)))
		if due.After(end) || !sleepUntil(ctx, due) {
			return
		}
		r.meter.intend()
		work, number := r.pick(random)
		one := r.next(work)
		own := due // which the loop goes on with
		r.calls.Go(func() { r.call(ctx, one, work, number, own, time.Time{}) })
	}
}

// next is the trainer whose turn it is, of those that compute the loss.
func (r *runner) next(work *kind) *trainer {
	if !r.config.Stream {
		return r.trainers[r.turn.Add(1)%uint64(len(r.trainers))]
	}
	own := slices.DeleteFunc(slices.Clone(r.trainers), func(t *trainer) bool { return t.loss != work.loss })
	return own[r.turn.Add(1)%uint64(len(own))]
}

// closedLoop lets every trainer send one request after the other.
func (r *runner) closedLoop(ctx context.Context) {
	end := r.start.Add(r.config.Duration)
	for i, one := range r.trainers {
		r.calls.Go(func() {
			random := rand.New(rand.NewPCG(r.config.Seed, uint64(i)+2))
			for time.Now().Before(end) && ctx.Err() == nil {
				r.meter.intend()
				work, number := r.pick(random)
				if r.config.Stream {
					work = r.ofLoss(work, one.loss)
				}
				var abandon time.Time
				draw := random.Float64()
				given := draw < r.config.Cancel+r.config.Disconnect
				if given {
					abandon = time.Now().Add(time.Duration(random.Float64() * float64(2*r.meter.typical())))
				}
				r.call(ctx, one, work, number, time.Now(), abandon)
				if given && draw < r.config.Disconnect {
					one.reconnect()
				}
			}
		})
	}
}

// pick draws a kind of request and which of its variants.
func (r *runner) pick(random *rand.Rand) (*kind, int) {
	draw := random.Float64()
	i := slices.IndexFunc(r.work, func(k kind) bool { return draw < k.upTo })
	if i < 0 { // the sum of the shares may be rounded down
		i = len(r.work) - 1
	}
	return &r.work[i], random.IntN(variants)
}

// ofLoss is the kind of the same size with another loss.
func (r *runner) ofLoss(work *kind, loss string) *kind {
	i := slices.IndexFunc(r.work, func(k kind) bool { return k.size == work.size && k.loss == loss })
	return &r.work[i]
}

// call makes one request, that was due at a time, and notes what became of it. It gives up at abandon, unless that is zero.
func (r *runner) call(ctx context.Context, one *trainer, work *kind, number int, due, abandon time.Time) {
	own, cancel := context.WithDeadline(ctx, due.Add(r.config.Deadline))
	defer cancel()
	if !abandon.IsZero() { // not as a deadline, which the server would be told of
		giving, give := context.WithCancelCause(own)
		defer time.AfterFunc(time.Until(abandon), func() { give(errAbandoned) }).Stop()
		own = giving
	}
	sent := time.Now()
	response, err := one.evaluate(own, work.requests[number])
	took, service := time.Since(due), time.Since(sent)
	switch {
	case err == nil:
		r.meter.answered(work, number, response, took)
	case ctx.Err() != nil:
		r.meter.interrupted()
	case context.Cause(own) == errAbandoned:
		r.meter.abandoned()
	default:
		r.meter.failed(work, err, took, service)
	}
}

// report calls Progress until stop.
func (r *runner) report() (stop func()) {
	if r.config.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				r.config.Progress(r.meter.progress(time.Since(r.start)))
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// sleepUntil waits, and reports whether the context is still alive. A timer may fire a little early, by a clock that is not the one of time.Now.
func sleepUntil(ctx context.Context, due time.Time) bool {
	for left := time.Until(due); left > 0 && ctx.Err() == nil; left = time.Until(due) {
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return ctx.Err() == nil
}
