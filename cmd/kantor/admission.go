package main

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"time"

	"kantor/losses"
	"kantor/server"
)

// minMemory is enough for requests of a few thousand points.
const minMemory = 64 << 20

// admission are the flags that bound what is computed, and what waits.
type admission struct {
	Memory     size          `default:"0" placeholder:"SIZE" help:"Memory that requests may take, one of them three quarters of it; 0: .8 of what the control group allows, or else of what the machine has (${default})."`
	Queue      int           `default:"256" placeholder:"N" help:"How many requests of one caller may wait for their turn (${default})."`
	QueueWait  time.Duration `default:"30s" help:"The longest that a request waits for its turn (${default})."`
	StreamIdle time.Duration `default:"15m" help:"How long a stream stays open that nothing happens on (${default})."`
}

// check refuses what no server can follow.
func (a admission) check() error {
	bad := func(flag, format string, args ...any) error {
		return &losses.InputError{Field: flag, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case a.Memory != 0 && a.Memory < minMemory:
		return bad("--memory", "is %d bytes, want 0 or at least %d", a.Memory, minMemory)
	case a.Queue < 1 || a.Queue > server.MaxQueue:
		return bad("--queue", "is %d, want 1 to %d", a.Queue, server.MaxQueue)
	case a.QueueWait <= 0:
		return bad("--queue-wait", "is %v, want more than 0", a.QueueWait)
	case a.StreamIdle <= 0:
		return bad("--stream-idle", "is %v, want more than 0", a.StreamIdle)
	}
	return nil
}

// apply tells a server of the flags, on a machine that allows so much memory; 0: it does not say.
func (a admission) apply(config *server.Config, allowed int64) {
	config.MemoryBytes = int64(a.Memory)
	if a.Memory == 0 {
		config.MemoryBytes = allowed / 10 * 8
	}
	config.Queue, config.QueueWait, config.StreamIdle = a.Queue, a.QueueWait, a.StreamIdle
}

const (
	ballastBytes     = 256 << 20
	collectAtPercent = 12
)

// paceCollections lets the heap grow by 32 MiB and an eighth of what it holds before garbage is collected. Go would let it double: an idle server's is a few
// megabytes and would pay for a collection every few requests, while beside a large problem there would be the garbage of another one. So there is a ballast,
// which is returned and to be kept; it is never touched, so that it takes address space only. A collection costs little however often it is: it does not look
// at numbers, and nearly all of a heap is numbers. GOGC and GOMEMLIMIT, where they are set, decide instead.
//
// limit is what a control group allows, 0: there is none. Near nine tenths of it Go collects more often, which the ballast does not count for: it takes no
// memory, though Go thinks so.
func paceCollections(limit int64) (ballast []byte) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAtPercent)
		ballast = make([]byte, ballastBytes)
	}
	if limit > 0 && limit < math.MaxInt64-ballastBytes {
		debug.SetMemoryLimit(limit/10*9 + int64(len(ballast)))
	}
	return ballast
}
