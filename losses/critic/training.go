package critic

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// Adam's constants, see [Cones].
const (
	beta1   = 0.9
	beta2   = 0.99
	epsilon = 1e-8 // a gradient has no unit, and that of a cone with a point of weight w is about w
)

// memory is how much of the functions' averages is left after a step: they are about those of the last 50.
const memory = 0.98

// trainer takes steps with a critic on one batch.
type trainer struct {
	critic  *state
	at      *evaluator // of the critic
	a, b    *losses.Cloud
	va, vb  *values              // of the critic as it is
	length  float64              // of a step
	tips    [functions][]float64 // the gradient in the tips, [count,d]
	heights [functions][]float64 // and in the heights
}

func newTrainer(s *state, at *evaluator, a, b *losses.Cloud, va, vb *values, length float64) *trainer {
	t := &trainer{critic: s, at: at, a: a, b: b, va: va, vb: vb, length: length}
	for f := range functions {
		t.tips[f], t.heights[f] = make([]float64, s.count*s.d), make([]float64, s.count)
	}
	return t
}

// step takes one step. The values at the points stay those before it, until evaluate.
func (t *trainer) step(ctx context.Context) error {
	if err := t.climb(ctx); err != nil {
		return err
	}
	s := t.critic
	for f := range functions {
		s.averages[f] = memory*s.averages[f] + (1-memory)*(mean(t.a, t.va.h[f])-mean(t.b, t.vb.h[f]))
	}
	s.advance()
	for f := range functions {
		if err := s.tipMoments.of(f).move(ctx, s.tipsOf(f), t.tips[f], t.length, s.step); err != nil {
			return err
		}
		if err := s.heightMoments.of(f).move(ctx, s.heightsOf(f), t.heights[f], t.length, s.step); err != nil {
			return err
		}
	}
	return t.at.refresh(ctx)
}

// evaluate brings the values up to date.
func (t *trainer) evaluate(ctx context.Context) error {
	if err := t.at.evaluate(ctx, t.a.X, t.va); err != nil {
		return err
	}
	return t.at.evaluate(ctx, t.b.X, t.vb)
}

// train takes steps, from values that are up to date.
func (t *trainer) train(ctx context.Context, steps int) error {
	for i := range steps {
		if i > 0 {
			if err := t.evaluate(ctx); err != nil {
				return err
			}
		}
		if err := t.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// climb writes the gradient of E_a φ - E_b φ, per unit of mass, in tips and heights. Points follow each other in their order, one function beside the other,
// so that the sums do not depend on threads.
func (t *trainer) climb(ctx context.Context) error {
	return parallel.Rows(ctx, functions, 4*(t.a.N+t.b.N)*t.a.D, func(lo, hi int, gate *parallel.Gate) {
		for f := lo; f < hi; f++ {
			clear(t.tips[f])
			clear(t.heights[f])
			if !t.climbOn(f, t.a, t.va, 1, gate) || !t.climbOn(f, t.b, t.vb, -1, gate) {
				return
			}
		}
	})
}

// climbOn adds a measure's part to the gradient of function f, unless the gate closes.
func (t *trainer) climbOn(f int, c *losses.Cloud, v *values, side float64, gate *parallel.Gate) bool {
	d := c.D
	return inTurn(gate, c.N, 4*d, func(i int) {
		w, j := side*(c.W[i]/c.Mass), v.active[f][i]
		t.heights[f][j] += w
		t.critic.addSlope(t.tips[f][int(j)*d:(int(j)+1)*d], -w, f, c.X[i*d:(i+1)*d], j)
	})
}

// inTurn calls body for 0..n in their order, and asks the gate between tiles. It reports whether it came to the end.
func inTurn(gate *parallel.Gate, n, cost int, body func(i int)) bool {
	done := 0
	for i := range n {
		if done += cost; done > parallel.TileCost {
			if !gate.Open() {
				return false
			}
			done = 0
		}
		body(i)
	}
	return true
}

// vanished is where a mean counts as 0, and a mean square at its square, lest those of a cone that is far from everything decay into numbers that are slow
// to compute with. Next to epsilon they move nothing.
const vanished = 1e-30

// move takes a step of Adam up the gradient.
func (m moments) move(ctx context.Context, x, gradient []float64, length float64, step int) error {
	unbiased1, unbiased2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
	length /= unbiased1
	return parallel.Rows(ctx, len(x), 16, func(lo, hi int, _ *parallel.Gate) {
		x, mean, square := x[lo:hi], m.mean[lo:hi], m.square[lo:hi]
		for i, g := range gradient[lo:hi] {
			mean[i] = beta1*mean[i] + (1-beta1)*g
			square[i] = beta2*square[i] + (1-beta2)*g*g
			if math.Abs(mean[i]) >= vanished {
				x[i] += length * mean[i] / (math.Sqrt(square[i]/unbiased2) + epsilon)
				continue
			}
			mean[i] = 0
			if square[i] < vanished*vanished {
				square[i] = 0
			}
		}
	})
}
