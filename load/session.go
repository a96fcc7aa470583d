package load

import (
	"context"
	"io"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
)

// session is one EvaluateStream call. Answers come unordered.
type session struct {
	cancel context.CancelCauseFunc
	ctx    context.Context
	opened chan struct{} // closed when the server has said how many batches may be in flight
	slots  chan struct{} // has room for them; made before opened is closed
	done   chan struct{} // closed when the stream has ended

	sending sync.Mutex // gRPC wants one sender at a time
	wire    grpc.BidiStreamingClient[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]

	mu       sync.Mutex
	waiting  map[uint64]chan answer
	last     uint64
	draining bool  // takes no more batches
	err      error // why the stream ended; written before done is closed
}

type answer struct {
	response *kantorv1.EvaluateResponse
	err      error
}

// newSession opens a stream. What is wrong with it is for its batches to say.
func newSession(client kantorv1.LossServiceClient, objective *kantorv1.Objective) *session {
	s := &session{opened: make(chan struct{}), done: make(chan struct{}), waiting: map[uint64]chan answer{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	wire, err := client.EvaluateStream(s.ctx)
	if err == nil {
		s.wire = wire
		open := &kantorv1.Open{Objective: objective, Unordered: true}
		err = wire.Send(&kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Open{Open: open}})
		if err == io.EOF { // the reason is what the reader gets
			err = nil
		}
	}
	if err != nil {
		s.cancel(err)
		s.err = err
		close(s.done)
		return s
	}
	go s.read()
	return s
}

// ending reports whether batches need another stream.
func (s *session) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining || s.ctx.Err() != nil
}

// end gives up whatever is in flight, so that the server stops to compute, and waits for the stream's end.
func (s *session) end(why error) {
	s.cancel(why)
	<-s.done
}

// evaluate sends a batch when the server has room for it and waits for the answer. A batch that is given up ends the stream.
func (s *session) evaluate(ctx context.Context, request *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	select {
	case <-s.opened:
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		s.cancel(context.Cause(ctx))
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	select {
	case s.slots <- struct{}{}:
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	waiting := s.send(request)
	select {
	case a := <-waiting:
		return a.response, a.err
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		s.cancel(context.Cause(ctx))
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// send sends a batch and returns where its answer will be. If it cannot be sent the stream has ended.
func (s *session) send(request *kantorv1.EvaluateRequest) <-chan answer {
	out := make(chan answer, 1)
	s.mu.Lock()
	s.last++
	id := s.last
	s.waiting[id] = out
	s.mu.Unlock()
	batch := &kantorv1.Batch{Id: id, Inputs: request.GetInputs(), Seed: request.GetSeed()}
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.wire.Send(&kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Batch{Batch: batch}})
	return out
}

// read deals out answers until the stream ends.
func (s *session) read() {
	defer close(s.done)
	for {
		message, err := s.wire.Recv()
		if err != nil {
			if err == io.EOF {
				err = status.Error(codes.Unavailable, "the server ended the stream")
			}
			s.err = err
			s.cancel(err)
			return
		}
		s.receive(message)
	}
}

func (s *session) receive(message *kantorv1.EvaluateStreamResponse) {
	switch m := message.GetMessage().(type) {
	case *kantorv1.EvaluateStreamResponse_Opened:
		s.slots = make(chan struct{}, max(1, m.Opened.GetWindow()))
		close(s.opened)
	case *kantorv1.EvaluateStreamResponse_Result:
		s.answer(m.Result.GetId(), answer{response: m.Result.GetResponse()})
	case *kantorv1.EvaluateStreamResponse_Failure:
		s.answer(m.Failure.GetId(), answer{err: status.ErrorProto(m.Failure.GetStatus())})
	case *kantorv1.EvaluateStreamResponse_Draining:
		s.mu.Lock()
		s.draining = true
		s.mu.Unlock()
		s.sending.Lock()
		defer s.sending.Unlock()
		_ = s.wire.CloseSend() // what was sent is still answered
	}
}

func (s *session) answer(id uint64, a answer) {
	s.mu.Lock()
	out, ok := s.waiting[id]
	delete(s.waiting, id)
	s.mu.Unlock()
	if ok {
		<-s.slots
		out <- a
	}
}

// reason is the machine-readable reason of an error; empty: the server gave none.
func reason(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
