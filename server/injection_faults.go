//go:build faultinjection

package server

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"kantor/losses"
)

// injected returns a solver that panics at the n-th evaluation of the process, for $KANTOR_FAULT_PANIC=n. It is behind a build tag because a released server must
// not have it: what nobody can reach by the wire, nobody should reach by the environment either.
func injected() func(*losses.Evaluation, context.Context) (*losses.Result, error) {
	text := os.Getenv("KANTOR_FAULT_PANIC")
	if text == "" {
		return nil
	}
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("KANTOR_FAULT_PANIC: got %q, want an integer", text))
	}
	var evaluations atomic.Int64
	return func(e *losses.Evaluation, ctx context.Context) (*losses.Result, error) {
		if evaluations.Add(1) == at {
			panic("injected")
		}
		return e.Evaluate(ctx)
	}
}
