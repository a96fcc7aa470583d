package sinkhorn

import (
	"context"
	"fmt"
	"math"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/memory"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/split"
)

// problem is a divergence bound to its clouds, in units of the solver's cost; scale takes values, temperatures and gradients back to the caller's.
type problem struct {
	cross   entropic.Problem // between source and target as they are
	debias  Debias
	batches []split.Half // source and target, or their halves
	pairs   []split.Pair // which of them transport is between, and how often it counts; the first is one of source and target
	options entropic.Options
	scale   float64
	gap     float64 // 0: the options' tolerance decides

	withoutInterval  bool
	givenTemperature bool // by the caller, not the default

	// Of the GeomLoss profile.
	geomLoss      bool
	blur, scaling float64
	diameter      float64 // 0: that of the bounding box
}

// solved is one of the up to six transport problems with its solution.
type solved struct {
	entropic.Problem
	pair split.Pair
	path *entropic.Path // nil: the potentials came from elsewhere
	*entropic.Solution
	entropic.Bounds
	points [2][]float64 // what it adds to the gradients in the points of A and B; nil: nothing, not wanted, or in that of another problem
}

// self reports whether it is of a batch against itself.
func (s *solved) self() bool { return s.pair.A == s.pair.B }

// without subtracts nothing, each subtracts half of each measure against itself.
var (
	without = []split.Pair{{A: 0, B: 1, Share: 1}}
	each    = []split.Pair{{A: 0, B: 1, Share: 1}, {A: 0, B: 0, Share: -0.5}, {A: 1, B: 1, Share: -0.5}}
)

// Work implements [losses.Problem]. A self problem takes few iterations, so its pairs count but not its own limit.
func (p *problem) Work() losses.Work {
	w := losses.Work{Iterations: p.options.MaxIterations}
	rows := float64(p.cross.A.N + p.cross.B.N)
	if p.debias == Split {
		rows = 0
	}
	for _, s := range p.problems() {
		w.Pairs += float64(s.A.N) * float64(s.B.N)
		if p.debias == Split {
			rows += float64(s.A.N + s.B.N)
		}
	}
	w.Bytes = p.stored() + int64(8*rows*float64(p.cross.A.D+40))
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
	result := p.result(all)
	result.Warnings = append(result.Warnings, p.advice(want)...)
	if want.Extras["potentials"] {
		result.Extras = map[string]losses.Extra{"potentials": p.potentials(all)}
	}
	result.Gradients, err = p.gradients(ctx, want, all)
	return result, err
}

// problems are the transport problems that the divergence is made of.
func (p *problem) problems() []*solved {
	all := make([]*solved, len(p.pairs))
	for i, pair := range p.pairs {
		all[i] = &solved{Problem: p.cross, pair: pair}
		all[i].A, all[i].B = p.batches[pair.A].Cloud, p.batches[pair.B].Cloud
	}
	return all
}

// stored is how many bytes of pairs are stored while the problem is solved.
func (p *problem) stored() int64 {
	if p.geomLoss {
		return entropic.Annealing{Problem: p.cross, Debias: p.debias == Self}.Stored()
	}
	total := int64(0)
	for _, s := range p.problems() {
		total += s.Stored(p.options.Tolerance, s.self())
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
		if err := p.iterate(ctx, s, p.options); err != nil {
			return err
		}
		return p.differentiate(ctx, want, all, i)
	})
}

// narrow iterates to ever smaller tolerances until the interval is as narrow as the gap asks.
func (p *problem) narrow(ctx context.Context, want losses.Want, all []*solved) error {
	o := entropic.Options{Tolerance: firstTolerance, MaxIterations: p.options.MaxIterations}
	for {
		err := p.each(ctx, all, func(i int) error { return p.iterate(ctx, all[i], o) })
		if err != nil {
			return err
		}
		lower, upper, value, size := p.combine(all)
		interval := entropic.Widen(lower, upper, size, value)
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
func (p *problem) iterate(ctx context.Context, s *solved, o entropic.Options) (err error) {
	switch {
	case s.path != nil:
	case s.self():
		s.path = entropic.NewSelfPath(s.Problem, p.options.Tolerance)
	default:
		s.path = entropic.NewPath(s.Problem, p.options.Tolerance)
	}
	if s.self() {
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

// combine is the divergence from the problems' values and its bounds: S lies in [L_ab - ½(U_aa+U_bb), U_ab - ½(L_aa+L_bb)], unbalanced with ½ε(m_a-m_b)²
// added, and the same with the shares of split batches. Size is what its rounding is relative to.
func (p *problem) combine(all []*solved) (lower, upper, value, size float64) {
	for _, s := range all {
		share := s.pair.Share
		value += share * s.Value
		size += math.Abs(share) * max(math.Abs(s.Lower), math.Abs(s.Upper))
		if share > 0 {
			lower += share * s.Lower
			upper += share * s.Upper
		} else {
			lower += share * s.Upper
			upper += share * s.Lower
		}
	}
	if p.debias == Self && p.cross.Rho > 0 {
		masses := p.cross.A.Mass - p.cross.B.Mass
		rest := p.cross.Epsilon / 2 * masses * masses
		value, lower, upper = value+rest, lower+rest, upper+rest
	}
	return lower, upper, value, size
}

// result is the outcome and its warnings, in the caller's units.
func (p *problem) result(all []*solved) losses.TermResult {
	lower, upper, value, size := p.combine(all)
	solve := losses.Solve{Converged: true, Epsilon: p.scale * p.cross.Epsilon, Strategy: all[0].Strategy}
	valid := true
	for _, s := range all {
		valid = valid && s.Valid
		solve.Converged = solve.Converged && s.Converged
		solve.MarginalError = max(solve.MarginalError, s.MarginalError)
		if s.pair.Share > 0 {
			solve.Iterations = max(solve.Iterations, s.Iterations)
		}
	}
	outcome := losses.Outcome{Value: p.scale * value, Solve: &solve}
	result := losses.TermResult{}
	switch {
	case p.withoutInterval:
	case valid:
		outcome.Interval = entropic.Widen(p.scale*lower, p.scale*upper, p.scale*size, outcome.Value)
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
