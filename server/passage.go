package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/server/internal/admission"
)

// passage is the way of one request or batch: its phases, and what is counted for it until its answer is taken. The command line's has no server: it waits for
// nobody, and nobody is told of it.
type passage struct {
	server *Server
	kinds  []string // the losses of the terms
	input  int64    // bytes
	told   Finished
	mark   time.Time // the end of the phase before
	ticket *admission.Ticket
}

// newPassage begins a passage.
func newPassage(s *Server) *passage {
	now := time.Now()
	return &passage{server: s, told: Finished{Start: now}, mark: now}
}

// describe notes what a request is about, before its inputs are let go. The kinds are the losses of its terms.
func (p *passage) describe(kinds []string, request proto.Message, inputs map[string]*kantorv1.Input) {
	p.kinds, p.told.Losses, p.input = kinds, distinct(kinds), int64(proto.Size(request))
	for _, in := range inputs {
		if shape := rowsOf(in).GetShape(); len(shape) >= 2 {
			p.told.Points = max(p.told.Points, int(shape[len(shape)-2]))
			p.told.Dimension = max(p.told.Dimension, int(shape[len(shape)-1]))
		}
	}
}

// rowsOf is the tensor of an input that has a row for each point; nil: it has none.
func rowsOf(in *kantorv1.Input) *kantorv1.Tensor {
	switch kind := in.GetKind().(type) {
	case *kantorv1.Input_Measure:
		return kind.Measure.GetPoints()
	case *kantorv1.Input_Gaussian:
		return kind.Gaussian.GetMean()
	case *kantorv1.Input_Categorical:
		return firstTensor(kind.Categorical.GetLogits(), kind.Categorical.GetProbabilities())
	case *kantorv1.Input_Bernoulli:
		return firstTensor(kind.Bernoulli.GetLogits(), kind.Bernoulli.GetProbabilities())
	case *kantorv1.Input_VonMisesFisher:
		return kind.VonMisesFisher.GetMean()
	}
	return nil
}

func firstTensor(a, b *kantorv1.Tensor) *kantorv1.Tensor {
	if a != nil {
		return a
	}
	return b
}

// lap ends a phase.
func (p *passage) lap(phase *time.Duration) {
	now := time.Now()
	*phase, p.mark = now.Sub(p.mark), now
}

// admit waits for the turn of what was bound.
func (p *passage) admit(ctx context.Context, evaluation *losses.Evaluation) error {
	p.lap(&p.told.Decode)
	if p.server == nil {
		return nil
	}
	work := evaluation.Work()
	request := admission.Request{
		Caller: callerOf(ctx), Kind: strings.Join(p.told.Losses, "+"),
		Pairs: work.Pairs, Iterations: work.Iterations, Input: p.input, Memory: work.Bytes,
	}
	var err error
	p.ticket, err = p.server.admission.Admit(ctx, request)
	p.lap(&p.told.Queue)
	if err != nil {
		return err
	}
	p.told.Caller, p.told.Bytes = request.Caller, request.Input+request.Memory
	p.server.config.Observer.Admitted(ctx, p.told.Admitted)
	return nil
}

// solved ends the phase of computing.
func (p *passage) solved(result *losses.Result) {
	p.lap(&p.told.Compute)
	if p.server == nil || result == nil {
		return
	}
	for i, term := range result.Terms {
		for _, o := range term.Outcomes {
			if o.Solve != nil {
				p.told.Solves = append(p.told.Solves, Solve{p.kinds[i], o.Solve.Iterations, o.Solve.Converged})
			}
		}
	}
}

// timing says what the phases took so far.
func (p *passage) timing() *kantorv1.Timing {
	return &kantorv1.Timing{Decode: durationpb.New(p.told.Decode), Queue: durationpb.New(p.told.Queue), Compute: durationpb.New(p.told.Compute)}
}

// end ends the passage but for the answer, of so many bytes, which is counted until release.
func (p *passage) end(ctx context.Context, answer int, err error) {
	if p.ticket == nil {
		p.server.rejected(ctx, err)
		return
	}
	if err == nil {
		p.ticket.Computed(int64(answer))
	} else {
		p.ticket.Done()
	}
	p.lap(&p.told.Encode)
	p.told.Err = err
	p.server.config.Observer.Finished(ctx, p.told)
}

// release gives back what is counted for the request: the answer has been taken, or nobody takes it any more.
func (p *passage) release() {
	if p != nil && p.ticket != nil {
		p.ticket.Done()
	}
}

// through computes a request and follows its passage: nothing that is counted for it remains counted because of an error or a panic. It has a recovery of its
// own, because a stream's batches run in goroutines of their own.
func through[R proto.Message](ctx context.Context, p *passage, limit int, advice string, compute func() (R, error)) (response R, err error) {
	var none R
	var size int
	defer func() {
		if crash := recover(); crash != nil {
			response, err = none, p.server.panicked(ctx, crash)
		}
		p.end(ctx, size, err)
	}()
	response, err = compute()
	switch {
	case err != nil && ctx.Err() != nil:
		return none, context.Cause(ctx) // which also tells a stop of the server from a cancelled call
	case err != nil:
		return none, err
	}
	// gRPC would end a whole stream for a message above its limit.
	if size = proto.Size(response); size > limit {
		return none, &tooLargeError{fmt.Sprintf("the response has %d bytes, want at most %d: %s", size, limit, advice)}
	}
	return response, nil
}

// distinct are the names in their order, each once.
func distinct(names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
