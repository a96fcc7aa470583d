package server

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	kantorv1 "kantor/gen/kantor/v1"
)

// stream computes one objective for batch after batch.
//
// One goroutine, the loop in run, owns the state and sends. Another reads, one frame for every permit, so that nothing is read while the window is full
// and HTTP/2's flow control stops the client. Every batch is computed in a goroutine of its own.
type stream struct {
	server   *Server
	wire     grpc.BidiStreamingServer[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]
	permits  chan struct{}
	frames   chan frame
	finished chan finished
	workers  sync.WaitGroup

	// The loop's own.
	open    *kantorv1.Open // in force for the batches that follow; nil: none yet
	queue   []*answer      // to the frames that were read, oldest first, at most the window
	reading bool           // a permit is out
	closed  bool           // nothing more is read: the client has closed its side, or an open was refused
	refusal error          // of that open
}

// frame is what the reader got.
type frame struct {
	message *kantorv1.EvaluateStreamRequest
	err     error
}

// answer is what will be sent for one frame.
type answer struct {
	id        uint64                           // of a batch; 0: an open
	unordered bool                             // may overtake earlier ones
	message   *kantorv1.EvaluateStreamResponse // nil: being computed
	passage   *passage                         // of a batch that is, or was, computed; what is counted for it is given back when it was sent
}

// finished is an answer and what it has become.
type finished struct {
	answer  *answer
	message *kantorv1.EvaluateStreamResponse
}

func newStream(s *Server, wire grpc.BidiStreamingServer[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]) *stream {
	return &stream{
		server: s,
		wire:   wire,
		// One permit is out at a time and at most a window of answers is computed, so nobody blocks on these.
		permits:  make(chan struct{}, 1),
		frames:   make(chan frame, 1),
		finished: make(chan finished, s.config.Window),
	}
}

// run serves the stream to its end. Computing ends before it returns.
func (st *stream) run() error {
	ctx, cancel := context.WithCancel(st.wire.Context())
	defer st.letGo()
	defer st.workers.Wait()
	defer cancel()
	defer close(st.permits)
	go st.read()
	draining := st.server.draining
	idle := time.NewTimer(st.server.config.StreamIdle)
	defer idle.Stop()
	for !st.closed || len(st.queue) > 0 {
		st.permitRead()
		select {
		case f := <-st.frames:
			st.reading = false
			if err := st.receive(ctx, f); err != nil {
				return err
			}
		case f := <-st.finished:
			f.answer.message = f.message
		case <-idle.C:
			if len(st.queue) == 0 {
				return errIdle
			}
		case <-draining:
			draining = nil // once
			if err := st.wire.Send(drainingMessage(st.server)); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := st.flush(); err != nil {
			return err
		}
		idle.Reset(st.server.config.StreamIdle)
	}
	return st.refusal
}

// letGo gives back what is counted for answers that nobody will take.
func (st *stream) letGo() {
	for _, a := range st.queue {
		a.passage.release()
	}
}

// read takes a frame from the wire for every permit. It ends with the permits or, if it is waiting for the client then, with the call.
func (st *stream) read() {
	for range st.permits {
		message, err := st.wire.Recv()
		st.frames <- frame{message, err}
		if err != nil {
			return
		}
	}
}

// permitRead lets the reader go on when there is room for one more answer.
func (st *stream) permitRead() {
	if !st.reading && !st.closed && len(st.queue) < st.server.config.Window {
		st.reading = true
		st.permits <- struct{}{}
	}
}

// receive takes one frame. An error ends the stream at once.
func (st *stream) receive(ctx context.Context, f frame) error {
	if errors.Is(f.err, io.EOF) {
		st.closed = true
		return nil
	}
	if f.err != nil {
		return f.err
	}
	switch m := f.message.GetMessage().(type) {
	case *kantorv1.EvaluateStreamRequest_Open:
		if err := checkOpen(f.message); err != nil {
			st.closed, st.refusal = true, err // what was sent before is still answered
			return nil
		}
		st.open = m.Open
		opened := &kantorv1.EvaluateStreamResponse_Opened{Opened: &kantorv1.Opened{Window: int32(st.server.config.Window)}}
		st.queue = append(st.queue, &answer{unordered: m.Open.GetUnordered(), message: &kantorv1.EvaluateStreamResponse{Message: opened}})
		return nil
	case *kantorv1.EvaluateStreamRequest_Batch:
		if st.open == nil {
			return badf("open", "is missing: the first message of the stream is a batch, want an open")
		}
		st.admit(ctx, f.message)
		return nil
	}
	if err := refuseUnknownHere("message", f.message.ProtoReflect()); err != nil {
		return err
	}
	return badf("message", "is neither an open nor a batch")
}

// admit begins to compute a batch, or queues why not.
func (st *stream) admit(ctx context.Context, message *kantorv1.EvaluateStreamRequest) {
	id := message.GetBatch().GetId()
	a := &answer{id: id, unordered: st.open.GetUnordered()}
	if err := st.checkBatch(message); err != nil {
		st.server.count(ctx, nil, err)
		a.message = failureMessage(id, err)
		st.queue = append(st.queue, a)
		return
	}
	st.queue = append(st.queue, a)
	a.passage = newPassage(st.server)
	objective, batch := st.open.GetObjective(), message.GetBatch()
	st.workers.Go(func() { st.finished <- finished{a, st.server.answerBatch(ctx, objective, batch, a.passage)} })
}

// checkBatch looks at what is the stream's and not the request's.
func (st *stream) checkBatch(message *kantorv1.EvaluateStreamRequest) error {
	if err := refuseUnknownHere("message", message.ProtoReflect()); err != nil {
		return err
	}
	if err := refuseUnknownHere("batch", message.GetBatch().ProtoReflect()); err != nil {
		return err
	}
	id := message.GetBatch().GetId()
	if id == 0 {
		return badf("id", "is 0, want at least 1")
	}
	if slices.ContainsFunc(st.queue, func(a *answer) bool { return a.id == id }) {
		return badf("id", "%d is that of a batch in flight, want a unique one", id)
	}
	return nil
}

// checkOpen looks at an objective as far as that can be done without inputs.
func checkOpen(message *kantorv1.EvaluateStreamRequest) error {
	if err := refuseUnknownHere("message", message.ProtoReflect()); err != nil {
		return err
	}
	if err := refuseUnknownHere("open", message.GetOpen().ProtoReflect()); err != nil {
		return err
	}
	objective := message.GetOpen().GetObjective()
	if err := refuseUnknown("objective", objective.ProtoReflect()); err != nil {
		return err
	}
	decoded, err := decodeObjective(objective)
	if err != nil {
		return err
	}
	return decoded.Check()
}

// flush sends what may be sent: an ordered answer when everything before it has been.
func (st *stream) flush() error {
	waiting := st.queue[:0]
	for _, a := range st.queue {
		if a.message == nil || !a.unordered && len(waiting) > 0 {
			waiting = append(waiting, a)
			continue
		}
		if err := st.wire.Send(a.message); err != nil {
			return err
		}
		a.passage.release()
	}
	clear(st.queue[len(waiting):]) // let go of what was sent
	st.queue = waiting
	return nil
}

// answerBatch computes a batch as the request that it stands for.
func (s *Server) answerBatch(ctx context.Context, objective *kantorv1.Objective, batch *kantorv1.Batch, p *passage) *kantorv1.EvaluateStreamResponse {
	objective, err := override(objective, batch.GetOverrides())
	if err != nil {
		s.count(ctx, nil, err)
		return failureMessage(batch.GetId(), err)
	}
	request := &kantorv1.EvaluateRequest{Objective: objective, Inputs: batch.GetInputs(), Seed: batch.GetSeed()}
	batch.Inputs = nil // they are the request's, which lets go of them
	response, err := s.compute(ctx, request, p)
	if err != nil {
		return failureMessage(batch.GetId(), err)
	}
	result := &kantorv1.Result{Id: batch.GetId(), Response: response}
	return &kantorv1.EvaluateStreamResponse{Message: &kantorv1.EvaluateStreamResponse_Result{Result: result}}
}

func failureMessage(id uint64, err error) *kantorv1.EvaluateStreamResponse {
	failure := &kantorv1.Failure{Id: id, Status: toStatus(err).Proto()}
	return &kantorv1.EvaluateStreamResponse{Message: &kantorv1.EvaluateStreamResponse_Failure{Failure: failure}}
}

func drainingMessage(s *Server) *kantorv1.EvaluateStreamResponse {
	draining := &kantorv1.Draining{Grace: durationpb.New(s.grace)}
	return &kantorv1.EvaluateStreamResponse{Message: &kantorv1.EvaluateStreamResponse_Draining{Draining: draining}}
}
