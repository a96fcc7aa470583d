package sinkhorn

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
)

// problem is a divergence bound to its clouds, in units of the solver's cost; scale takes values, temperatures and gradients back to the caller's.
type problem struct {
	cross   entropic.Problem
	debias  bool
	options entropic.Options
	scale   float64
}

// solved is one of the up to three transport problems with its solution.
type solved struct {
	entropic.Problem
	*entropic.Solution
	entropic.Bounds
}

// Work implements [losses.Problem]. A self problem takes few iterations, so its pairs count but not its own limit.
func (p *problem) Work() losses.Work {
	n, m := float64(p.cross.A.N), float64(p.cross.B.N)
	w := losses.Work{Pairs: n * m, Iterations: p.options.MaxIterations, Bytes: int64(8 * (n + m) * float64(p.cross.A.D+40))}
	if p.debias {
		w.Pairs += n*n + m*m
	}
	return w
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	cross, err := p.solve(ctx, p.cross, entropic.Solve)
	if err != nil {
		return losses.TermResult{}, err
	}
	var selves []*solved // of source and target, or none
	if p.debias {
		for _, c := range []*losses.Cloud{p.cross.A, p.cross.B} {
			self := p.cross
			self.A, self.B = c, c
			s, err := p.solve(ctx, self, entropic.SolveSelf)
			if err != nil {
				return losses.TermResult{}, err
			}
			selves = append(selves, s)
		}
	}
	result := p.result(cross, selves)
	if want.Extras["potentials"] {
		result.Extras = map[string]losses.Extra{"potentials": p.potentials(cross, selves)}
	}
	result.Gradients, err = p.gradients(ctx, want, cross, selves)
	return result, err
}

type solveFunc func(context.Context, entropic.Problem, entropic.Options) (*entropic.Solution, error)

func (p *problem) solve(ctx context.Context, problem entropic.Problem, solve solveFunc) (*solved, error) {
	solution, err := solve(ctx, problem, p.options)
	if err != nil {
		return nil, err
	}
	bounds, err := entropic.Bound(ctx, problem, solution)
	return &solved{problem, solution, bounds}, err
}

// result combines the problems' values and bounds: S lies in [L_ab - ½(U_aa+U_bb), U_ab - ½(L_aa+L_bb)].
func (p *problem) result(cross *solved, selves []*solved) losses.TermResult {
	value, lower, upper, valid := cross.Value, cross.Lower, cross.Upper, cross.Valid
	solve := losses.Solve{Converged: cross.Converged, Iterations: cross.Iterations, MarginalError: cross.MarginalError,
		Epsilon: p.scale * p.cross.Epsilon}
	for _, s := range selves {
		value -= s.Value / 2
		lower -= s.Upper / 2
		upper -= s.Lower / 2
		valid = valid && s.Valid
		solve.Converged = solve.Converged && s.Converged
		solve.MarginalError = max(solve.MarginalError, s.MarginalError)
	}
	outcome := losses.Outcome{Value: p.scale * value, Solve: &solve}
	result := losses.TermResult{}
	if valid {
		outcome.Interval = entropic.Widen(p.scale*lower, p.scale*upper, p.scale*cross.Upper, outcome.Value)
	} else {
		result.Warnings = append(result.Warnings, entropic.NoInterval)
	}
	if !solve.Converged {
		result.Warnings = append(result.Warnings, losses.Warning{Code: losses.NotConverged, Message: fmt.Sprintf(
			"the marginal error is %.2g after %d iterations, tolerance %.2g: raise max_iterations, the tolerance or the blur",
			solve.MarginalError, solve.Iterations, p.options.Tolerance)})
	}
	result.Outcomes = []losses.Outcome{outcome}
	return result
}

// potentials returns copies in the caller's units, those of the cross problem with equal means.
func (p *problem) potentials(cross *solved, selves []*solved) *losses.Potentials {
	scaled := func(x []float64) []float64 { return floats.ScaleTo(make([]float64, len(x)), p.scale, x) }
	out := &losses.Potentials{Gauge: losses.EqualMeans, Source: scaled(cross.F), Target: scaled(cross.G)}
	a, b := p.cross.A, p.cross.B
	shift := (floats.Dot(b.W, out.Target)/b.Mass - floats.Dot(a.W, out.Source)/a.Mass) / 2
	floats.AddConst(shift, out.Source)
	floats.AddConst(-shift, out.Target)
	if selves != nil {
		out.SourceSelf, out.TargetSelf = scaled(selves[0].F), scaled(selves[1].F)
	}
	return out
}
