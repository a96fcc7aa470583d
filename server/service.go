package server

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// envelope is more than what a stream's message puts around a response: two tags, two lengths and an id.
const envelope = 64

// lossService computes.
type lossService struct {
	kantorv1.UnimplementedLossServiceServer
	server *Server
}

// Evaluate implements LossService.
func (l lossService) Evaluate(ctx context.Context, req *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	response, err := l.server.compute(ctx, req)
	return response, toStatus(err).Err()
}

// EvaluateStream implements LossService.
func (l lossService) EvaluateStream(wire grpc.BidiStreamingServer[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]) error {
	return toStatus(newStream(l.server, wire).run()).Err()
}

// compute evaluates one request or batch, which it takes the inputs out of, and counts it. It has its own recovery, because a stream's batches run in goroutines of their own.
func (s *Server) compute(ctx context.Context, req *kantorv1.EvaluateRequest) (response *kantorv1.EvaluateResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			response, err = nil, s.panicked(ctx, p)
		}
		s.counters.count(req.GetObjective(), err)
	}()
	response, err = s.evaluator.consume(ctx, req)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx) // which also tells a stop of the server from a cancelled call
	case err != nil:
		return nil, err
	}
	// gRPC would end a whole stream for a message above its limit.
	if size := proto.Size(response); size > s.config.MessageBytes-envelope {
		return nil, &tooLargeError{fmt.Sprintf("the response has %d bytes, want at most %d: ask for fewer gradients or extras, or send float32",
			size, s.config.MessageBytes-envelope)}
	}
	return response, nil
}
