package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// The calls.
const (
	unary  = "unary"
	stream = "stream"
)

// client is a client that makes no call again.
type client struct {
	conn   *grpc.ClientConn
	losses kantorv1.LossServiceClient
}

func dial(address string, options ...grpc.DialOption) (client, error) {
	options = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry()}, options...)
	conn, err := grpc.NewClient(address, options...)
	return client{conn, kantorv1.NewLossServiceClient(conn)}, err
}

// evaluate computes a request by either call.
func (c client) evaluate(ctx context.Context, call string, req *kantorv1.EvaluateRequest) (*kantorv1.EvaluateResponse, error) {
	if call == unary {
		return c.losses.Evaluate(ctx, req)
	}
	wire, err := c.open(ctx, req.GetObjective())
	if err != nil {
		return nil, err
	}
	// An error of Send is only that the stream has ended; Recv tells why.
	_ = wire.Send(batch(1, req))
	_ = wire.CloseSend()
	response, err := result(wire)
	if err != nil {
		return nil, err
	}
	if _, err := wire.Recv(); !errors.Is(err, io.EOF) {
		return nil, err
	}
	return response, nil
}

type lossStream = grpc.BidiStreamingClient[kantorv1.EvaluateStreamRequest, kantorv1.EvaluateStreamResponse]

// open opens a stream that the server accepts.
func (c client) open(ctx context.Context, objective *kantorv1.Objective) (lossStream, error) {
	wire, err := c.losses.EvaluateStream(ctx)
	if err != nil {
		return nil, err
	}
	open := &kantorv1.EvaluateStreamRequest_Open{Open: &kantorv1.Open{Objective: objective}}
	_ = wire.Send(&kantorv1.EvaluateStreamRequest{Message: open})
	_, err = wire.Recv()
	return wire, err
}

func batch(id uint64, req *kantorv1.EvaluateRequest) *kantorv1.EvaluateStreamRequest {
	b := &kantorv1.Batch{Id: id, Inputs: req.GetInputs(), Seed: req.GetSeed()}
	return &kantorv1.EvaluateStreamRequest{Message: &kantorv1.EvaluateStreamRequest_Batch{Batch: b}}
}

// result receives the answer to a batch. That the server drains is not one.
func result(wire lossStream) (*kantorv1.EvaluateResponse, error) {
	for {
		m, err := wire.Recv()
		switch {
		case err != nil:
			return nil, err
		case m.GetFailure() != nil:
			return nil, status.FromProto(m.GetFailure().GetStatus()).Err()
		case m.GetResult() != nil:
			return m.GetResult().GetResponse(), nil
		}
	}
}

// said is an error as a client sees it: the code, and the reason where the server gives one.
func said(err error) string {
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return s.Code().String() + " " + info.GetReason()
		}
	}
	return s.Code().String()
}

// bits are those of an answer that a training could see.
func bits(response *kantorv1.EvaluateResponse) string {
	response = proto.CloneOf(response)
	response.Timing = nil
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(response)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// usual is a step's work: a few milliseconds.
func usual(seed uint64) *kantorv1.EvaluateRequest {
	return request(seed, 256, &kantorv1.SinkhornDivergence{
		Temperature: &kantorv1.SinkhornDivergence_Epsilon{Epsilon: 0.5},
		Stop:        &kantorv1.SinkhornDivergence_Tolerance{Tolerance: 1e-3},
	})
}

// heavy would compute for minutes: a low temperature and a tolerance that is never reached.
func heavy() *kantorv1.EvaluateRequest {
	return request(1, 3000, &kantorv1.SinkhornDivergence{
		Temperature:   &kantorv1.SinkhornDivergence_Epsilon{Epsilon: 1e-4},
		Stop:          &kantorv1.SinkhornDivergence_Tolerance{Tolerance: 1e-300},
		MaxIterations: 1 << 30,
	})
}

// request is a divergence between two clouds of points in 16 dimensions, with a gradient.
func request(seed uint64, points int, loss *kantorv1.SinkhornDivergence) *kantorv1.EvaluateRequest {
	const dimension = 16
	random := rand.New(rand.NewPCG(seed, 0))
	cloud := func() *kantorv1.Input {
		tensor := &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT32, Shape: []int64{int64(points), dimension}}
		for range points * dimension {
			tensor.Data = binary.LittleEndian.AppendUint32(tensor.Data, math.Float32bits(float32(random.NormFloat64())))
		}
		return &kantorv1.Input{Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: tensor}}}
	}
	return &kantorv1.EvaluateRequest{
		Objective: &kantorv1.Objective{
			Terms:     []*kantorv1.Term{{Loss: &kantorv1.Term_Sinkhorn{Sinkhorn: loss}}},
			Gradients: []string{"source.points"},
		},
		Inputs: map[string]*kantorv1.Input{"source": cloud(), "target": cloud()},
		Seed:   seed,
	}
}
