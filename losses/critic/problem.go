package critic

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// problem is a critic bound to a batch.
type problem struct {
	a, b         *losses.Cloud
	at           *losses.Cloud // nil: the critic is not wanted anywhere else
	came         *state        // nil: it is new
	count        int           // cones of a new one
	steps        int
	learningRate float64
	seed         losses.Seed
}

// cones is how many the critic has of each function.
func (p *problem) cones() int {
	if p.came != nil {
		return p.came.count
	}
	return p.count
}

// Work implements [losses.Problem].
func (p *problem) Work() losses.Work {
	points := p.a.N + p.b.N
	if p.at != nil {
		points += p.at.N
	}
	numbers := functions * p.cones() * (p.a.D + 1)
	kernels := functions * (p.cones() + 2*vec.Pad) * (p.a.D + 1)
	return losses.Work{
		Pairs:      float64(points) * float64(functions*p.cones()),
		Iterations: max(1, p.steps),
		// The critic that came and its copy, with two moments each, one more of them for the answer, the gradient, and the tips for the kernels; points,
		// gradients and values.
		Bytes: 8 * (9*int64(numbers) + int64(kernels) + int64(points)*int64(2*p.a.D+6)),
	}
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	length, err := spread(ctx, p.a, p.b)
	if err != nil {
		return losses.TermResult{}, err
	}
	critic, err := p.critic(ctx, length)
	if err != nil {
		return losses.TermResult{}, err
	}
	at, err := newEvaluator(ctx, &critic.envelopes)
	if err != nil {
		return losses.TermResult{}, err
	}
	t := newTrainer(critic, at, p.a, p.b, newValues(p.a.N), newValues(p.b.N), p.learningRate*length)
	if err := t.evaluate(ctx); err != nil {
		return losses.TermResult{}, err
	}
	f := critic.better()
	result := p.result(f, t)
	if result.Gradients, err = p.gradients(ctx, want, f, t); err != nil {
		return losses.TermResult{}, err
	}
	if err := p.addCritic(ctx, want, f, at, &result); err != nil {
		return losses.TermResult{}, err
	}
	if want.Extras["state"] { // nobody would see the steps otherwise
		if err := t.train(ctx, p.steps); err != nil {
			return losses.TermResult{}, err
		}
		result.Extras["state"] = critic.extra()
	}
	return result, nil
}

// critic is the one that came, copied, or a new one.
func (p *problem) critic(ctx context.Context, length float64) (*state, error) {
	if p.came == nil {
		return start(ctx, p.count, p.a, p.b, length, p.seed.Random())
	}
	return p.came.clone(), nil
}

// result is the value of function f.
func (p *problem) result(f int, t *trainer) losses.TermResult {
	ha, hb := t.va.h[f], t.vb.h[f]
	outcome := losses.Outcome{Value: p.a.Mass * (mean(p.a, ha) - mean(p.b, hb)), Estimand: losses.Empirical}
	if p.came != nil {
		outcome.Estimand = losses.PopulationLowerBound
		va, okA := errorOfMean(p.a, ha)
		vb, okB := errorOfMean(p.b, hb)
		if okA && okB {
			e := p.a.Mass * math.Sqrt(va+vb)
			outcome.StandardError = &e
		}
	}
	result := losses.TermResult{Outcomes: []losses.Outcome{outcome}, Extras: map[string]losses.Extra{}}
	if math.IsInf(outcome.Value, 0) {
		result.Warnings = []losses.Warning{{Code: losses.InfiniteValue, Message: "the mass times the distance overflows binary64"}}
	}
	return result
}

// mean is the weighted mean of h over c. A mass that is out of proportion cannot make it overflow.
func mean(c *losses.Cloud, h []float64) float64 {
	sum := 0.0
	for i, w := range c.W {
		sum += w / c.Mass * h[i]
	}
	return sum
}

// errorOfMean is the square of the standard error of the weighted mean of h over a measure of independent samples, with u the weights to a sum of 1:
//
//	Σ u²(h - Σuh)² / (1 - Σu²)
//
// which for equal weights is the sample variance over N. There is none for a single point.
func errorOfMean(c *losses.Cloud, h []float64) (float64, bool) {
	middle := mean(c, h)
	sum, rest := 0.0, 0.0
	for i, w := range c.W {
		u := w / c.Mass
		sum += u * u * (h[i] - middle) * (h[i] - middle)
		rest += u * (1 - u)
	}
	return sum / rest, rest > 0
}

// gradients are those of Σ a_i φ(x_i) - Σ b_j φ(y_j) for the function f, which is held fixed. An input that is both source and target gets the sum.
func (p *problem) gradients(ctx context.Context, want losses.Want, f int, t *trainer) (map[losses.Ref][]float64, error) {
	out := map[losses.Ref][]float64{}
	slot := func(c *losses.Cloud, field string, n int) []float64 {
		ref := losses.Ref{Input: c.Name, Field: field}
		if want.Gradients[ref] && out[ref] == nil {
			out[ref] = make([]float64, n)
		}
		return out[ref]
	}
	for _, side := range []struct {
		*losses.Cloud
		values *values
		sign   float64
	}{{p.a, t.va, 1}, {p.b, t.vb, -1}} {
		c := side.Cloud
		if points := slot(c, "points", c.N*c.D); points != nil {
			weight := func(i int) float64 { return side.sign * c.W[i] }
			if err := t.critic.addSlopes(ctx, points, weight, f, c.X, side.values); err != nil {
				return nil, err
			}
		}
		if weights := slot(c, "weights", c.N); weights != nil {
			h := side.values.h[f]
			middle := mean(c, h)
			for i := range weights {
				weights[i] += side.sign * (h[i] - middle)
			}
		}
	}
	return out, nil
}

// addSlopes adds weight(i) ∇φ(z_i) to dst for the points z, [N,D], whose values of function f are given.
func (e *envelopes) addSlopes(ctx context.Context, dst []float64, weight func(i int) float64, f int, z []float64, v *values) error {
	d := e.d
	return parallel.Rows(ctx, len(v.active[f]), 4*d, func(lo, hi int, _ *parallel.Gate) {
		for i := lo; i < hi; i++ {
			e.addSlope(dst[i*d:(i+1)*d], weight(i), f, z[i*d:(i+1)*d], v.active[f][i])
		}
	})
}

// addCritic adds the extras critic and critic_gradient, of function f at the points that they are wanted at.
func (p *problem) addCritic(ctx context.Context, want losses.Want, f int, at *evaluator, result *losses.TermResult) error {
	if !want.Extras["critic"] && !want.Extras["critic_gradient"] {
		return nil
	}
	n, d := p.at.N, p.at.D
	v := newValues(n)
	if err := at.evaluate(ctx, p.at.X, v); err != nil {
		return err
	}
	if want.Extras["critic"] {
		extra := losses.NewArray(v.h[f], n)
		result.Extras["critic"] = &extra
	}
	if want.Extras["critic_gradient"] {
		slopes := make([]float64, n*d)
		if err := at.addSlopes(ctx, slopes, func(int) float64 { return 1 }, f, p.at.X, v); err != nil {
			return err
		}
		extra := losses.NewArray(slopes, n, d)
		result.Extras["critic_gradient"] = &extra
	}
	return nil
}
