package server

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// cloud is a measure of n points in dimension d.
func cloud(n, d int, seed uint64) *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: numbers(n, d, seed)}}}
}

func numbers(n, d int, seed uint64) *kantorv1.Tensor {
	random := rand.New(rand.NewPCG(seed, 0))
	values := make([]float64, n*d)
	for i := range values {
		values[i] = random.NormFloat64()
	}
	return f64([]int64{int64(n), int64(d)}, values...)
}

// gaussians are n Gaussians in dimension d.
func gaussians(n, d int) *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Gaussian{Gaussian: &kantorv1.Gaussian{
		Mean: numbers(n, d, 1), Spread: &kantorv1.Gaussian_LogVariance{LogVariance: numbers(n, d, 2)},
	}}}
}

// copies is a term as many times, which takes as many times as long.
func copies(n int, term *kantorv1.Term) *kantorv1.Objective {
	o := &kantorv1.Objective{}
	for i := range n {
		o.Terms = append(o.Terms, &kantorv1.Term{Name: fmt.Sprintf("term%d", i), Loss: term.GetLoss()})
	}
	return o
}

// heavyOfEveryFamily are requests that take seconds, one of each family of losses.
func heavyOfEveryFamily() map[string]*kantorv1.EvaluateRequest {
	pair := func(n, d int) map[string]*kantorv1.Input {
		return map[string]*kantorv1.Input{"source": cloud(n, d, 1), "target": cloud(n, d, 2)}
	}
	steps := int32(10000)
	return map[string]*kantorv1.EvaluateRequest{
		"sinkhorn": bigSinkhorn(),
		"kantorovich": {
			Objective: copies(64, &kantorv1.Term{Loss: &kantorv1.Term_Transport{Transport: &kantorv1.Transport{}}}), Inputs: pair(2000, 3),
		},
		"kl": {
			Objective: copies(64, klTerm()), Inputs: map[string]*kantorv1.Input{"posterior": gaussians(1<<15, 16)},
		},
		"gaussian": {
			Objective: copies(64, &kantorv1.Term{Loss: &kantorv1.Term_Bures{Bures: &kantorv1.BuresWasserstein{Posterior: "source", Prior: "target"}}}),
			Inputs:    pair(1000, 160),
		},
		"mmd": {
			Objective: copies(64, &kantorv1.Term{Loss: &kantorv1.Term_Mmd{Mmd: &kantorv1.MaximumMeanDiscrepancy{}}}), Inputs: pair(6000, 16),
		},
		"sliced": {
			Objective: copies(64, &kantorv1.Term{Loss: &kantorv1.Term_Sliced{Sliced: &kantorv1.SlicedTransport{Directions: 1000}}}), Inputs: pair(4000, 16),
		},
		"dependence": {
			Objective: copies(64, &kantorv1.Term{Loss: &kantorv1.Term_TotalCorrelation{TotalCorrelation: &kantorv1.TotalCorrelation{DatasetSize: 1e6}}}),
			Inputs:    map[string]*kantorv1.Input{"codes": cloud(2000, 16, 1), "posterior": gaussians(2000, 16)},
		},
		"geometry": {
			Objective: copies(64, &kantorv1.Term{Loss: &kantorv1.Term_Stress{Stress: &kantorv1.Stress{Codes: "source", Data: "target"}}}), Inputs: pair(4000, 16),
		},
		"critic": {
			Objective: copies(64, &kantorv1.Term{Loss: &kantorv1.Term_ConeCritic{ConeCritic: &kantorv1.ConeCritic{Steps: &steps, Cones: 64}}}), Inputs: pair(20000, 16),
		},
	}
}

// watched is a solver that counts the tiles that are begun after the context's end.
type watched struct {
	begun  atomic.Int64  // tiles, this one counted; 0: it has not begun
	late   chan int64    // tiles after the end, of one that ended with an error
	gaveUp chan struct{} // closed when the context ended
}

func (w *watched) solve(e *losses.Evaluation, ctx context.Context) (*losses.Result, error) {
	var atEnd atomic.Int64
	w.begun.Store(losses.Tiles() + 1)
	context.AfterFunc(ctx, func() {
		atEnd.Store(losses.Tiles())
		close(w.gaveUp)
	})
	result, err := e.Evaluate(ctx)
	if err != nil {
		<-w.gaveUp
		w.late <- losses.Tiles() - atEnd.Load()
	}
	return result, err
}

// However a caller gives up, at most ten milliseconds of work of each processor follow, in every family, and nothing is counted for it any more.
func TestGivingUpStopsEveryFamily(t *testing.T) {
	families := heavyOfEveryFamily()
	for i, family := range slices.Sorted(maps.Keys(families)) {
		for j, way := range []string{"cancel", "deadline", "disconnect", "shutdown"} {
			for k, unary := range []bool{true, false} {
				// The race detector makes this ten times as long: there each family and way has one of the two calls.
				if raced && (i+j+k)%2 != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/unary=%v", family, way, unary), func(t *testing.T) { giveUp(t, families[family], way, unary) })
			}
		}
	}
}

// raced: the race detector is on.
var raced bool

func giveUp(t *testing.T, req *kantorv1.EvaluateRequest, way string, unary bool) {
	w := &watched{late: make(chan int64, 1), gaveUp: make(chan struct{})}
	s := start(t, Config{DrainGrace: time.Millisecond}, func(s *Server) { s.evaluator.solve = w.solve })
	if _, err := kantorv1.NewInfoServiceClient(s.conn).GetServerInfo(testContext(t), &kantorv1.GetServerInfoRequest{}); err != nil {
		t.Fatal(err) // the connection takes its time too
	}
	ctx, cancel := context.WithCancel(testContext(t))
	if way == "deadline" {
		ctx, cancel = context.WithTimeout(testContext(t), 300*time.Millisecond)
	}
	defer cancel()
	ended := make(chan error, 1)
	if unary {
		go func() {
			_, err := s.losses.Evaluate(ctx, req)
			ended <- err
		}()
	} else {
		c := s.stream(t, ctx)
		c.open(&kantorv1.Open{Objective: req.GetObjective()})
		c.batch(&kantorv1.Batch{Id: 1, Inputs: req.GetInputs()})
		go func() {
			for {
				if _, err := c.wire.Recv(); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	if way != "deadline" { // which may come at any time
		waitUntil(t, func() bool { return w.begun.Load() > 0 && losses.Tiles() > w.begun.Load()+1 }, "it is computed")
	}
	want := codes.Canceled
	switch way {
	case "cancel":
		cancel()
	case "deadline":
		want = codes.DeadlineExceeded
	case "disconnect":
		_ = s.conn.Close()
	case "shutdown":
		want = codes.Unavailable
		s.cancel()
	}
	if err := <-ended; status.Code(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
	if way != "deadline" || w.begun.Load() > 0 {
		select {
		case late := <-w.late:
			if most := int64(10 * losses.Processors()); late > most {
				t.Errorf("%d tiles after the end, want at most %d", late, most)
			}
		case <-time.After(patience):
			t.Error("it was not given up: it ended before, or goes on")
		}
	}
	waitUntil(t, func() bool { return s.Load() == Load{} }, "nothing is counted any more")
}
