package sinkhorn

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/memory"
	"kantor/losses/internal/parallel"
)

// problem is a divergence bound to its clouds, in units of the solver's cost; scale takes values, temperatures and gradients back to the caller's.
type problem struct {
	cross   entropic.Problem
	debias  bool
	options entropic.Options
	scale   float64
	gap     float64 // 0: the options' tolerance decides

	withoutInterval bool

	// Of the GeomLoss profile.
	geomLoss      bool
	blur, scaling float64
}

// solved is one of the up to three transport problems with its solution.
type solved struct {
	entropic.Problem
	path *entropic.Path // nil: the potentials came from elsewhere
	*entropic.Solution
	entropic.Bounds
	points [2][]float64 // what it adds to the gradients in the points of source and target; nil: nothing, not wanted, or in the cross problem's
}

// Work implements [losses.Problem]. A self problem takes few iterations, so its pairs count but not its own limit.
func (p *problem) Work() losses.Work {
	n, m := float64(p.cross.A.N), float64(p.cross.B.N)
	w := losses.Work{Pairs: n * m, Iterations: p.options.MaxIterations, Bytes: p.stored() + int64(8*(n+m)*float64(p.cross.A.D+40))}
	if p.debias {
		w.Pairs += n*n + m*m
	}
	return w
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	release, err := memory.Acquire(ctx, p.stored())
	if err != nil {
		return losses.TermResult{}, err
	}
	defer release()
	if p.geomLoss {
		return p.solveGeomLoss(ctx, want)
	}
	all := p.problems()
	defer func() {
		for _, s := range all {
			s.release()
		}
	}()
	if err := p.solve(ctx, want, all); err != nil {
		return losses.TermResult{}, err
	}
	cross, selves := all[0], all[1:]
	result := p.result(cross, selves)
	if want.Extras["potentials"] {
		result.Extras = map[string]losses.Extra{"potentials": p.potentials(cross, selves)}
	}
	result.Gradients, err = p.gradients(ctx, want, cross, selves)
	return result, err
}

// problems are the cross problem and, with self terms, those of source and target.
func (p *problem) problems() []*solved {
	all := []*solved{{Problem: p.cross}}
	if p.debias {
		for _, c := range []*losses.Cloud{p.cross.A, p.cross.B} {
			self := p.cross
			self.A, self.B = c, c
			all = append(all, &solved{Problem: self})
		}
	}
	return all
}

// stored is how many bytes of pairs are stored while the problem is solved.
func (p *problem) stored() int64 {
	if p.geomLoss {
		return entropic.Annealing{Problem: p.cross, Debias: p.debias}.Stored()
	}
	total := int64(0)
	for i, s := range p.problems() {
		total += s.Stored(p.options.Tolerance, i > 0)
	}
	return total
}

// release gives back what a problem keeps beside its solution.
func (s *solved) release() {
	if s.path != nil {
		s.path.Release()
		s.path = nil
		s.Forget()
	}
}

// firstTolerance and nextTolerance are the marginal errors that a gap is sought at: its width is of first order in them.
const (
	firstTolerance = 1e-2
	nextTolerance  = 0.2
	lastTolerance  = 1e-14
)

// oneByOne reports whether the problems are solved one after the other. A pass over a stored kernel fills one processor, so they are solved at once; large
// ones, of which nothing is stored, fill all processors, and take less memory so.
func (p *problem) oneByOne() bool { return p.stored() == 0 }

// each calls body for all problems, at once or one after the other.
func (p *problem) each(ctx context.Context, all []*solved, body func(i int) error) error {
	most := len(all)
	if p.oneByOne() {
		most = 1
	}
	return parallel.AtMost(ctx, most, len(all), body)
}

// solve solves the problems. Where one ends before the others so do its gradients.
func (p *problem) solve(ctx context.Context, want losses.Want, all []*solved) error {
	if p.gap > 0 {
		return p.narrow(ctx, want, all)
	}
	return p.each(ctx, all, func(i int) error {
		s := all[i]
		defer s.release()
		if err := p.iterate(ctx, s, i > 0, p.options); err != nil {
			return err
		}
		return p.differentiate(ctx, want, all, i)
	})
}

// narrow iterates to ever smaller tolerances until the interval is as narrow as the gap asks.
func (p *problem) narrow(ctx context.Context, want losses.Want, all []*solved) error {
	o := entropic.Options{Tolerance: firstTolerance, MaxIterations: p.options.MaxIterations}
	for {
		err := p.each(ctx, all, func(i int) error { return p.iterate(ctx, all[i], i > 0, o) })
		if err != nil {
			return err
		}
		lower, upper, value := p.combine(all[0], all[1:])
		interval := entropic.Widen(lower, upper, all[0].Upper, value)
		narrow := interval.Upper-interval.Lower <= p.gap*math.Abs(value)
		exhausted := all[0].Iterations >= o.MaxIterations || o.Tolerance < lastTolerance
		if narrow || exhausted {
			for _, s := range all {
				s.Converged = narrow
			}
			return p.each(ctx, all, func(i int) error { return p.differentiate(ctx, want, all, i) })
		}
		o.Tolerance *= nextTolerance
	}
}

// iterate solves one problem, further if it was solved before, and evaluates it.
func (p *problem) iterate(ctx context.Context, s *solved, self bool, o entropic.Options) (err error) {
	switch {
	case s.path != nil:
	case self:
		s.path = entropic.NewSelfPath(s.Problem, p.options.Tolerance)
	default:
		s.path = entropic.NewPath(s.Problem, p.options.Tolerance)
	}
	if self {
		s.Solution, err = s.path.SolveSelf(ctx, o)
	} else {
		s.Solution, err = s.path.SolveCross(ctx, o)
	}
	if err != nil {
		return err
	}
	if p.withoutInterval {
		s.Bounds, err = entropic.Value(ctx, s.Solution)
		return err
	}
	s.Bounds, err = entropic.Bound(ctx, s.Solution)
	return err
}

// combine is S from the problems' values and its bounds: S lies in [L_ab - ½(U_aa+U_bb), U_ab - ½(L_aa+L_bb)], unbalanced with ½ε(m_a-m_b)² added.
func (p *problem) combine(cross *solved, selves []*solved) (lower, upper, value float64) {
	value, lower, upper = cross.Value, cross.Lower, cross.Upper
	for _, s := range selves {
		value -= s.Value / 2
		lower -= s.Upper / 2
		upper -= s.Lower / 2
	}
	if p.debias && p.cross.Rho > 0 {
		masses := p.cross.A.Mass - p.cross.B.Mass
		rest := p.cross.Epsilon / 2 * masses * masses
		value, lower, upper = value+rest, lower+rest, upper+rest
	}
	return lower, upper, value
}

// result is the outcome and its warnings, in the caller's units.
func (p *problem) result(cross *solved, selves []*solved) losses.TermResult {
	lower, upper, value := p.combine(cross, selves)
	solve := losses.Solve{Converged: cross.Converged, Iterations: cross.Iterations, MarginalError: cross.MarginalError,
		Epsilon: p.scale * p.cross.Epsilon, Strategy: cross.Strategy}
	valid := cross.Valid
	for _, s := range selves {
		valid = valid && s.Valid
		solve.Converged = solve.Converged && s.Converged
		solve.MarginalError = max(solve.MarginalError, s.MarginalError)
	}
	outcome := losses.Outcome{Value: p.scale * value, Solve: &solve}
	result := losses.TermResult{}
	switch {
	case p.withoutInterval:
	case valid:
		outcome.Interval = entropic.Widen(p.scale*lower, p.scale*upper, p.scale*cross.Upper, outcome.Value)
	default:
		result.Warnings = append(result.Warnings, entropic.NoInterval)
	}
	if !solve.Converged {
		result.Warnings = append(result.Warnings, losses.Warning{Code: losses.NotConverged, Message: p.notConverged(solve, upper-lower, value)})
	}
	result.Outcomes = []losses.Outcome{outcome}
	return result
}

func (p *problem) notConverged(s losses.Solve, width, value float64) string {
	if p.gap > 0 {
		return fmt.Sprintf("the interval is %.2g of the value wide after %d iterations, gap %.2g: raise max_iterations, the gap or the blur",
			width/math.Abs(value), s.Iterations, p.gap)
	}
	return fmt.Sprintf("the marginal error is %.2g after %d iterations, tolerance %.2g: raise max_iterations, the tolerance or the blur",
		s.MarginalError, s.Iterations, p.options.Tolerance)
}

// potentials returns copies in the caller's units, those of a balanced cross problem with equal means.
func (p *problem) potentials(cross *solved, selves []*solved) *losses.Potentials {
	scaled := func(x []float64) []float64 { return floats.ScaleTo(make([]float64, len(x)), p.scale, x) }
	out := &losses.Potentials{Gauge: losses.NoGauge, Source: scaled(cross.F), Target: scaled(cross.G)}
	if a, b := p.cross.A, p.cross.B; p.cross.Rho == 0 {
		out.Gauge = losses.EqualMeans
		shift := (floats.Dot(b.W, out.Target)/b.Mass - floats.Dot(a.W, out.Source)/a.Mass) / 2
		floats.AddConst(shift, out.Source)
		floats.AddConst(-shift, out.Target)
	}
	if len(selves) > 0 {
		out.SourceSelf, out.TargetSelf = scaled(selves[0].F), scaled(selves[1].F)
	}
	return out
}
