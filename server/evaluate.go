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
	objective, inputs, err := decode(req)
	if err != nil {
		return nil, err
	}
	evaluation, err := objective.Bind(inputs, req.GetSeed())
	if err != nil {
		return nil, err
	}
	bound := time.Now()
	solve := (*losses.Evaluation).Evaluate
	if e.solve != nil {
		solve = e.solve
	}
	result, err := solve(evaluation, ctx)
	if err != nil {
		return nil, err
	}
	response := encode(result)
	response.Timing = &kantorv1.Timing{Decode: durationpb.New(bound.Sub(start)), Compute: durationpb.New(time.Since(bound))}
	response.Build = e.build()
	return response, nil
}

// build names what computes.
func (e Evaluator) build() *kantorv1.Build {
	return &kantorv1.Build{Version: e.Version, Kernel: losses.Kernel(), PairMemoryBytes: losses.PairMemory()}
}
