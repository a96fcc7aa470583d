// Package memory shares out what this process may store of pairs of points, the matrices of N x M numbers beside which everything else is small. Whether a
// problem stores its matrices is decided by their size and [Total] alone, never by what is free, so that a result does not depend on load: a problem whose
// turn has not come waits.
package memory

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// DefaultTotal is the total where nothing else was said.
const DefaultTotal = 256 << 20

// A problem is small if it asks for at most 1/smallPart of the total. Small problems have 1/smallShare of the total to themselves, beside it: in the line
// of the large ones they would wait for seconds to store what is worth microseconds.
const (
	smallPart  = 64
	smallShare = 8
)

// budget is two lines, each first come, first served.
type budget struct {
	total        int64
	small, large *semaphore.Weighted
	held         atomic.Int64
}

func newBudget(total int64) *budget {
	return &budget{total: total, small: semaphore.NewWeighted(total / smallShare), large: semaphore.NewWeighted(total)}
}

var current atomic.Pointer[budget]

func init() { current.Store(newBudget(DefaultTotal)) }

// SetTotal sets the total, in bytes, 0 or more. It is for the start of a process: results depend on it, and what was acquired before is not counted.
func SetTotal(bytes int64) { current.Store(newBudget(bytes)) }

// Total is the most bytes that one problem may store, and that all large ones may at once.
func Total() int64 { return current.Load().total }

// Held is the number of bytes that are acquired now: at most the total and an eighth.
func Held() int64 { return current.Load().held.Load() }

// Acquire waits until the bytes may be stored, behind those who asked before, and counts them until release, which may be called more than once. A problem
// acquires once for all that it stores, before it stores any of it, and does not hold a processor meanwhile: then nobody who waits holds what another
// waits for. More than [Total] is a bug of the caller's. The error is the context's.
func Acquire(ctx context.Context, bytes int64) (release func(), err error) {
	b := current.Load()
	if bytes < 0 || bytes > b.total {
		panic(fmt.Sprintf("memory: acquire %d bytes, want 0 to %d", bytes, b.total))
	}
	line := b.large
	if bytes <= b.total/smallPart {
		line = b.small
	}
	if err := line.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	b.held.Add(bytes)
	return sync.OnceFunc(func() {
		b.held.Add(-bytes)
		line.Release(bytes)
	}), nil
}
