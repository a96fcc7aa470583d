package server

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"google.golang.org/grpc/codes"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/server/internal/admission"
)

// Stats count what a server has done since it was made.
type Stats struct {
	Evaluations int64            // requests and batches that gave a result
	Failures    int64            // requests and batches that did not, cancelled ones included
	Terms       map[string]int64 // terms of the evaluations, by loss; every loss has an entry
}

// maxCode is the last of gRPC's codes.
const maxCode = codes.Unauthenticated

type counters struct {
	evaluations, failures atomic.Int64
	codes                 [maxCode + 1]atomic.Int64 // of both, by what they ended with
	terms                 map[string]*atomic.Int64  // never written after newCounters
}

func newCounters() *counters {
	c := &counters{terms: map[string]*atomic.Int64{}}
	for _, name := range lossNames() {
		c.terms[name] = new(atomic.Int64)
	}
	return c
}

// count adds one request or batch that ended with err.
func (c *counters) count(objective *kantorv1.Objective, err error) {
	code := toStatus(err).Code()
	c.codes[min(code, maxCode)].Add(1)
	if err != nil {
		c.failures.Add(1)
		return
	}
	c.evaluations.Add(1)
	for _, t := range objective.GetTerms() {
		c.terms[lossName(t)].Add(1)
	}
}

// count adds one request or batch that ended with err to the counts, and to the line of its call.
func (s *Server) count(ctx context.Context, objective *kantorv1.Objective, err error) {
	s.counters.count(objective, err)
	callOf(ctx).count(err)
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	stats := Stats{Evaluations: s.counters.evaluations.Load(), Failures: s.counters.failures.Load(), Terms: map[string]int64{}}
	for name, n := range s.counters.terms {
		stats.Terms[name] = n.Load()
	}
	return stats
}

// Load returns what there is to do now.
func (s *Server) Load() Load {
	l := s.admission.Load()
	return Load{
		RunningSmall: l.RunningSmall, RunningLarge: l.RunningLarge, QueuedSmall: l.QueuedSmall, QueuedLarge: l.QueuedLarge,
		Bytes: l.Bytes, MemoryBytes: s.config.MemoryBytes,
	}
}

// rejected tells of a request that was not admitted, if that is why it has no result.
func (s *Server) rejected(ctx context.Context, err error) {
	var refusal *admission.Refusal
	if errors.As(err, &refusal) {
		s.config.Observer.Rejected(ctx, reasonOf(refusal))
	}
}

// attrs are the stats as the log has them, the losses in the order of the contract.
func (s Stats) attrs() []any {
	var terms []any
	for _, name := range lossNames() {
		terms = append(terms, slog.Int64(name, s.Terms[name]))
	}
	return []any{slog.Int64("evaluations", s.Evaluations), slog.Int64("failures", s.Failures), slog.Group("terms", terms...)}
}
