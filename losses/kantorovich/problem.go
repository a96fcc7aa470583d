package kantorovich

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/exact"
)

// problem is a dual bound to its clouds.
type problem struct {
	entropic.Problem
	gap            float64
	maxIterations  int
	exact          bool          // by exact transport
	freshA, freshB *losses.Cloud // on which h is evaluated; nil: on A and B
	at             *losses.Cloud // where critic values are wanted; nil: nowhere
}

// fit is a potential and how it was found.
type fit struct {
	*potential
	plan  []exact.Entry // an optimal one; nil: it was found by the entropic method
	solve losses.Solve
}

// Work implements [losses.Problem].
func (p *problem) Work() losses.Work {
	n, m := float64(p.A.N), float64(p.B.N)
	w := losses.Work{Pairs: n * m, Iterations: p.maxIterations, Bytes: int64(8 * (n + m) * float64(p.A.D+40))}
	if p.exact {
		_, bytes := p.exactly().Work()
		w.Iterations = 1
		w.Bytes += bytes
		return w
	}
	w.Bytes += p.stored()
	return w
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	f, err := p.fit(ctx)
	if err != nil {
		return losses.TermResult{}, err
	}
	var result losses.TermResult
	if p.freshA != nil {
		if result, err = p.onFresh(ctx, want, f); err != nil {
			return losses.TermResult{}, err
		}
	} else {
		result = losses.TermResult{Outcomes: []losses.Outcome{{Value: f.value, Estimand: losses.Empirical, Interval: entropic.Widen(f.lower, f.upper, 0, f.value)}},
			Gradients: p.gradients(want, f)}
	}
	result.Outcomes[0].Solve = &f.solve
	if !f.solve.Converged {
		result.Warnings = []losses.Warning{{Code: losses.NotConverged, Message: fmt.Sprintf(
			"the bounds are %.2g of the upper one apart after %d iterations, gap %.2g: raise max_iterations or the gap, or take the method exact",
			(f.upper-f.lower)/f.upper, f.solve.Iterations, p.gap)}}
	}
	result.Extras, err = p.extras(ctx, want, f)
	return result, err
}

func (p *problem) fit(ctx context.Context) (*fit, error) {
	if p.exact {
		return p.fitExactly(ctx)
	}
	return p.fitEntropic(ctx)
}

// exactly is the problem as exact transport.
func (p *problem) exactly() exact.Problem { return exact.Problem{Cost: p.Cost, A: p.A, B: p.B} }

// fitExactly takes g from exact transport: then h(x_i) ≥ f_i and h(y_j) ≤ -g_j, so that its value is not below <a,f> + <b,g>, which is the optimum.
func (p *problem) fitExactly(ctx context.Context) (*fit, error) {
	s, err := exact.Solve(ctx, p.exactly())
	if err != nil {
		return nil, err
	}
	h := &potential{tips: p.B, g: s.G, lower: s.Lower, upper: s.Upper}
	floats.AddConst(-floats.Dot(p.B.W, h.g)/p.B.Mass, h.g) // h is unique up to a constant; heights around 0 keep the rounding small
	if err := h.evaluate(ctx, p.A, p.B); err != nil {
		return nil, err
	}
	return &fit{potential: h, plan: s.Plan, solve: losses.Solve{Converged: true, Iterations: s.Pivots, Strategy: s.Strategy}}, nil
}

// onFresh evaluates h on the fresh samples. Being a mean over them the value has a standard error, and no interval contains what it is a bound of.
func (p *problem) onFresh(ctx context.Context, want losses.Want, f *fit) (losses.TermResult, error) {
	fresh := &potential{tips: f.tips, g: f.g}
	if err := fresh.evaluate(ctx, p.freshA, p.freshB); err != nil {
		return losses.TermResult{}, err
	}
	outcome := losses.Outcome{Value: fresh.value, Estimand: losses.PopulationLowerBound}
	if square := varianceOfMean(p.freshA, fresh.hx) + varianceOfMean(p.freshB, fresh.hy); !math.IsInf(square, 1) {
		deviation := math.Sqrt(square)
		outcome.StandardError = &deviation
	}
	return losses.TermResult{Outcomes: []losses.Outcome{outcome}, Gradients: p.gradientsOfFrozen(want, fresh)}, nil
}

// varianceOfMean estimates the variance of Σ w_i h_i over samples of weights w, which for n equal ones of mass 1 is the sample variance of h over n. It is
// infinite where one sample carries all the mass, from which nothing can be told.
func varianceOfMean(c *losses.Cloud, h []float64) float64 {
	mean, squares, spread := floats.Dot(c.W, h)/c.Mass, 0.0, 0.0
	for i, w := range c.W {
		squares += w / c.Mass * (w / c.Mass)
		spread += w * w * (h[i] - mean) * (h[i] - mean)
	}
	if rest := 1 - squares; rest > 1e-12 {
		return spread / rest
	}
	return math.Inf(1)
}

// extras are those that are wanted. All are of h with a mean of 0 over the target.
func (p *problem) extras(ctx context.Context, want losses.Want, f *fit) (map[string]losses.Extra, error) {
	out := map[string]losses.Extra{}
	shift := -floats.Dot(p.B.W, f.hy) / p.B.Mass
	shifted := func(h []float64) []float64 {
		h = append([]float64(nil), h...)
		floats.AddConst(shift, h)
		return h
	}
	if want.Extras["potentials"] {
		out["potentials"] = &losses.Potentials{Gauge: losses.ZeroTargetMean, Source: shifted(f.hx), Target: shifted(f.hy)}
	}
	if !want.Extras["critic"] && !want.Extras["critic_gradient"] {
		return out, nil
	}
	values, active, err := f.of(ctx, p.at)
	if err != nil {
		return nil, err
	}
	if want.Extras["critic"] {
		out["critic"] = losses.RowsOf("at", shifted(values), p.at.N)
	}
	if want.Extras["critic_gradient"] {
		gradient := make([]float64, p.at.N*p.at.D)
		for i, j := range active {
			p.addPull(gradient, nil, 1, p.at, i, j)
		}
		out["critic_gradient"] = losses.RowsOf("at", gradient, p.at.N, p.at.D)
	}
	return out, nil
}
