package server

import (
	"context"

	"google.golang.org/grpc"

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
	p := newPassage(l.server)
	defer p.release()
	response, err := l.server.compute(ctx, req, p)
	return response, unaryError(ctx, err)
}

// EvaluateStream implements LossService.
func (l lossService) EvaluateStream(wire grpc.BidiStreamingServer[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]) error {
	return toStatus(newStream(l.server, wire).run()).Err()
}

// compute evaluates one request or batch, which it takes the inputs out of, and counts it.
func (s *Server) compute(ctx context.Context, req *kantorv1.EvaluateRequest, p *passage) (*kantorv1.EvaluateResponse, error) {
	const advice = "ask for fewer gradients or extras, or send float32"
	response, err := through(ctx, p, s.config.MessageBytes-envelope, advice, func() (*kantorv1.EvaluateResponse, error) {
		p.describe(termKinds(req.GetObjective()), req, req.GetInputs())
		return s.evaluator.consume(ctx, req, p)
	})
	s.count(ctx, req.GetObjective(), err)
	return response, err
}
