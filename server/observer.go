package server

import (
	"context"
	"time"
)

// Observer is told what becomes of requests and batches, for metrics and traces. Its methods are called at once from many goroutines, and the one that calls
// waits for them. The contexts are the calls': they hold what interceptors put there.
type Observer interface {
	// Admitted tells that one begins to be computed. Finished follows, whatever becomes of it.
	Admitted(ctx context.Context, a Admitted)
	// Finished tells that one which was admitted has ended.
	Finished(ctx context.Context, f Finished)
	// Rejected tells that one was not admitted, and why: one of [RejectionReasons].
	Rejected(ctx context.Context, reason string)
	// Panicked tells of a panic, which was recovered.
	Panicked(ctx context.Context)
}

// Admitted is what is known of a request when it begins to be computed.
type Admitted struct {
	Losses []string      // each once, as the contract names them, in the order of the terms; of diagnostics their kinds
	Caller string        // whose it is
	Queue  time.Duration // how long it waited for its turn
}

// Finished is what became of a request that was admitted.
type Finished struct {
	Admitted
	Start     time.Time     // when it began to be decoded; the phases follow each other: decode, queue, compute, encode
	Decode    time.Duration // checking it and turning it into numbers
	Compute   time.Duration
	Encode    time.Duration // turning numbers into an answer
	Points    int           // of its largest input
	Dimension int           // the highest of its inputs'
	Bytes     int64         // that were counted for it
	// Of those that gave a result:
	Solves []Solve // of each problem that iterated
	// Err is why there is no result; nil: there is one.
	Err error
}

// Solve is how the solver of a problem ended.
type Solve struct {
	Loss       string // as the contract names it
	Iterations int
	Converged  bool // whether what was asked for was reached
}

// The reasons why a request is not admitted, as ErrorInfo has them.
const (
	ReasonQueueFull  = "QUEUE_FULL"        // its caller has as many waiting as it may, or all callers together have
	ReasonQueueWait  = "QUEUE_WAIT"        // its turn would come, or has come, later than the longest wait
	ReasonQueueBytes = "QUEUE_BYTES"       // what waits holds as much memory as it may
	ReasonTooMuch    = "TOO_MUCH_MEMORY"   // it needs more memory than it could ever have
	ReasonTooLate    = "DEADLINE_TOO_SOON" // it would not be done before its deadline
)

// RejectionReasons lists the reasons why a request is not admitted.
func RejectionReasons() []string {
	return []string{ReasonQueueFull, ReasonQueueWait, ReasonQueueBytes, ReasonTooMuch, ReasonTooLate}
}

// Load is what a server has to do at a moment.
type Load struct {
	RunningSmall, RunningLarge int   // requests that are computed
	QueuedSmall, QueuedLarge   int   // requests that wait for their turn
	Bytes                      int64 // memory that is counted for requests: inputs, what computing takes, and answers until they are sent
	MemoryBytes                int64 // the most of it; 0: there is no limit
}

// unobserved is the Observer of a server that has none.
type unobserved struct{}

func (unobserved) Admitted(context.Context, Admitted) {}
func (unobserved) Finished(context.Context, Finished) {}
func (unobserved) Rejected(context.Context, string)   {}
func (unobserved) Panicked(context.Context)           {}
