package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

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
	start := time.Now()
	evaluation, err := bind(req)
	if err != nil {
		return nil, err
	}
	return e.compute(ctx, evaluation, start)
}

// consume is Evaluate, and takes the inputs out of a request that it bound: whoever holds it until the answer does not hold their bytes meanwhile.
func (e Evaluator) consume(ctx context.Context, req *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	start := time.Now()
	evaluation, err := bind(req)
	if err != nil {
		return nil, err
	}
	req.Inputs = nil
	return e.compute(ctx, evaluation, start)
}

// compute solves what was bound since start.
func (e Evaluator) compute(ctx context.Context, evaluation *losses.Evaluation, start time.Time) (*kantorv1.EvaluateResponse, error) {
	bound := time.Now()
	result, err := e.run(ctx, evaluation)
	if err != nil {
		return nil, err
	}
	response := encode(result)
	response.Timing = &kantorv1.Timing{Decode: durationpb.New(bound.Sub(start)), Compute: durationpb.New(time.Since(bound))}
	response.Build = e.build()
	return response, nil
}

func (e Evaluator) run(ctx context.Context, evaluation *losses.Evaluation) (*losses.Result, error) {
	if e.solve != nil {
		return e.solve(evaluation, ctx)
	}
	return evaluation.Evaluate(ctx)
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
