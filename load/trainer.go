package load

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	kantorv1 "kantor/gen/kantor/v1"
)

// errAbandoned is why a request ends that was given up on purpose.
var errAbandoned = errors.New("given up on purpose")

// trainer is one caller with a connection of its own.
type trainer struct {
	address string
	options []grpc.DialOption
	loss    string // of its stream's objective
	stream  bool

	mu      sync.Mutex
	conn    *grpc.ClientConn
	session *session // nil: calls, or no stream is open yet
}

// connect makes the trainers and asks each one's server what it is; the first one's answer is returned.
func (r *runner) connect(ctx context.Context) (*kantorv1.GetServerInfoResponse, error) {
	options, err := r.config.Target.Options()
	if err != nil {
		return nil, err
	}
	if r.config.Stream && r.config.Trainers < len(r.config.Losses) {
		return nil, bad("trainers", "are %d, want as many as losses, %d: a stream has one objective", r.config.Trainers, len(r.config.Losses))
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Deadline)
	defer cancel()
	infos := make([]*kantorv1.GetServerInfoResponse, r.config.Trainers)
	errs := make([]error, r.config.Trainers)
	var asked sync.WaitGroup
	for i := range r.config.Trainers {
		one := &trainer{address: r.config.Target.Addresses[i%len(r.config.Target.Addresses)], options: options,
			loss: r.config.Losses[i%len(r.config.Losses)], stream: r.config.Stream}
		if one.conn, err = grpc.NewClient(one.address, options...); err != nil {
			return nil, bad("address", "%s: %v", one.address, err)
		}
		r.trainers = append(r.trainers, one)
		asked.Go(func() {
			infos[i], errs[i] = kantorv1.NewInfoServiceClient(one.conn).GetServerInfo(ctx, &kantorv1.GetServerInfoRequest{}, grpc.WaitForReady(true))
		})
	}
	asked.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("no answer from %s: %w", r.trainers[i].address, err)
		}
	}
	return infos[0], nil
}

// close ends all connections.
func (r *runner) close() {
	for _, one := range r.trainers {
		one.mu.Lock()
		if one.session != nil {
			one.session.end(errAbandoned)
		}
		_ = one.conn.Close()
		one.mu.Unlock()
	}
}

// reconnect drops the connection, with whatever is on it, for a new one.
func (t *trainer) reconnect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.conn.Close()
	t.session = nil
	if conn, err := grpc.NewClient(t.address, t.options...); err == nil { // the same arguments were right before
		t.conn = conn
	}
}

// evaluate sends one request, as a call or as a batch of the trainer's stream.
func (t *trainer) evaluate(ctx context.Context, request *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	if !t.stream {
		t.mu.Lock()
		client := kantorv1.NewLossServiceClient(t.conn)
		t.mu.Unlock()
		return client.Evaluate(ctx, request)
	}
	return t.open(request.GetObjective()).evaluate(ctx, request)
}

// open returns the trainer's stream, a new one if the last has ended.
func (t *trainer) open(objective *kantorv1.Objective) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.session == nil || t.session.ending() {
		t.session = newSession(kantorv1.NewLossServiceClient(t.conn), objective)
	}
	return t.session
}
