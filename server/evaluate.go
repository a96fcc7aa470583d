package server

import (
	"context"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// Evaluator computes requests. The unary call, the stream and the command line go through the same one, so the same request gives the same bits in all.
type Evaluator struct {
	// Version is named in responses.
	Version string

	// solve stands in for (*losses.Evaluation).Evaluate in tests of what happens around it.
	solve func(*losses.Evaluation, context.Context) (*losses.Result, error)
}

// Evaluate computes one request. The error is a *[losses.InputError] with the path of what is wrong, or the context's.
func (e Evaluator) Evaluate(ctx context.Context, req *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	p := newPassage(nil)
	evaluation, err := bind(req)
	if err != nil {
		return nil, err
	}
	return e.compute(ctx, evaluation, p)
}

// consume is Evaluate on a passage, and takes the inputs out of a request that it bound: whoever holds it until the answer does not hold their bytes meanwhile.
func (e Evaluator) consume(ctx context.Context, req *kantorv1.EvaluateRequest, p *passage) (*kantorv1.EvaluateResponse, error) {
	evaluation, err := bind(req)
	if err != nil {
		return nil, err
	}
	req.Inputs = nil
	return e.compute(ctx, evaluation, p)
}

// compute answers what was bound.
func (e Evaluator) compute(ctx context.Context, evaluation *losses.Evaluation, p *passage) (*kantorv1.EvaluateResponse, error) {
	result, err := e.run(ctx, evaluation, p)
	if err != nil {
		return nil, err
	}
	response := encode(result)
	response.Timing, response.Build = p.timing(), e.build()
	return response, nil
}

// run waits for the turn of what was bound, and solves it.
func (e Evaluator) run(ctx context.Context, evaluation *losses.Evaluation, p *passage) (*losses.Result, error) {
	if err := p.admit(ctx, evaluation); err != nil {
		return nil, err
	}
	solve := (*losses.Evaluation).Evaluate
	if e.solve != nil {
		solve = e.solve
	}
	result, err := solve(evaluation, ctx)
	p.solved(result)
	return result, err
}

// bind decodes and checks a request.
func bind(req *kantorv1.EvaluateRequest) (*losses.Evaluation, error) {
	objective, inputs, err := decode(req)
	if err != nil {
		return nil, err
	}
	return objective.Bind(inputs, req.GetSeed())
}

// build names what computes.
func (e Evaluator) build() *kantorv1.Build {
	return &kantorv1.Build{Version: e.Version, Kernel: losses.Kernel(), PairMemoryBytes: losses.PairMemory()}
}
