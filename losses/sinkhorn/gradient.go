package sinkhorn

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
)

// gradients are those that are wanted, of problems that were differentiated in their points. An input that is both source and target gets the sum.
func (p *problem) gradients(ctx context.Context, want losses.Want, all []*solved) (map[losses.Ref][]float64, error) {
	out := map[losses.Ref][]float64{}
	for batch, x := range p.batches {
		if ref := (losses.Ref{Input: x.Name, Field: "points"}); want.Gradients[ref] {
			p.accumulate(out, ref, batch, 1, pointGradient(all, batch), x.D)
		}
		if ref := (losses.Ref{Input: x.Name, Field: "weights"}); want.Gradients[ref] {
			g, err := p.weightGradient(ctx, all, batch)
			if err != nil {
				return nil, err
			}
			// A half has twice the weights of the whole.
			p.accumulate(out, ref, batch, float64(x.Whole()/x.N), g, 1)
		}
	}
	return out, nil
}

// accumulate adds scale times the gradient in a batch to that in the input that it is of, and takes it over.
func (p *problem) accumulate(into map[losses.Ref][]float64, ref losses.Ref, batch int, scale float64, g []float64, width int) {
	h := p.batches[batch]
	if into[ref] == nil && h.Whole() == h.N {
		into[ref] = g
		return
	}
	if into[ref] == nil {
		into[ref] = make([]float64, h.Whole()*width)
	}
	h.AddRows(into[ref], scale, g, width)
}

// pointGradient is the sum of what the problems add to the gradient in a batch's points.
func pointGradient(all []*solved, batch int) []float64 {
	var sum []float64
	for _, s := range all {
		for side, of := range [...]int{s.pair.A, s.pair.B} {
			switch g := s.points[side]; {
			case of != batch || g == nil:
			case sum == nil:
				sum = g
			default:
				floats.Add(sum, g)
			}
		}
	}
	return sum
}

// differentiate computes what the i-th problem adds to the gradients in the points, for source and target with self terms
//
//	Σ_j P^xy_ij ∇₁c(x_i,y_j) - Σ_j P^xx_ij ∇₁c(x_i,x_j)
//
// (Feydy et al. 2019, section 3.2): the self term counts half and its points stand on both sides. For c = ½d², balanced, that is a_i (T_xx(x_i) - T_xy(x_i)),
// T the barycentric map. Of halves it is, with X' the other half, ¼ Σ_l Σ_j P^{X,Y_l}_ij ∇₁c(x_i,y_j) - ½ Σ_j P^{X,X'}_ij ∇₁c(x_i,x'_j). Where the problems are
// solved one by one, they add up in the first that is of a batch.
func (p *problem) differentiate(ctx context.Context, want losses.Want, all []*solved, i int) error {
	s := all[i]
	for side, batch := range [...]int{s.pair.A, s.pair.B} {
		x := p.batches[batch].Cloud
		if !want.Gradients[losses.Ref{Input: x.Name, Field: "points"}] || side == 1 && s.self() {
			continue
		}
		into, at := s, side
		if p.oneByOne() {
			into, at = first(all, batch)
		}
		if into.points[at] == nil {
			into.points[at] = make([]float64, x.N*x.D)
		}
		problem, f, g, of, scale := s.Problem, s.F, s.G, s.Solution, p.scale*s.pair.Share
		if side == 1 {
			problem.A, problem.B = problem.B, problem.A
			f, g, of = s.G, s.F, nil // its kernel has the points as columns
		}
		if s.self() {
			g, scale = s.F, 2*scale
		}
		if err := entropic.AddPointGradient(ctx, into.points[at], scale, problem, f, g, of, p.options.Tolerance); err != nil {
			return err
		}
	}
	return nil
}

// first is the first problem that is of a batch, and on which side.
func first(all []*solved, batch int) (s *solved, side int) {
	for _, s := range all {
		switch batch {
		case s.pair.A:
			return s, 0
		case s.pair.B:
			return s, 1
		}
	}
	panic("sinkhorn: a batch of no problem")
}

// counted is a potential and how often it counts.
type counted struct {
	f     []float64
	share float64
}

// weightGradient is [problem.ofPotentials] of a batch, from potentials that are one step more accurate.
func (p *problem) weightGradient(ctx context.Context, all []*solved, batch int) ([]float64, error) {
	var potentials []counted
	other := 0.0
	for _, s := range all {
		problem, g, share := s.Problem, s.G, s.pair.Share
		switch {
		case s.self() && batch == s.pair.A:
			g, share = s.F, 2*share
		case batch == s.pair.A:
		case batch == s.pair.B:
			problem.A, problem.B, g = problem.B, problem.A, s.F
		default:
			continue
		}
		if share > 0 {
			other = problem.B.Mass
		}
		f, err := entropic.Extended(ctx, problem, g)
		if err != nil {
			return nil, err
		}
		potentials = append(potentials, counted{f, share})
	}
	return p.ofPotentials(p.batches[batch].Cloud, other, potentials), nil
}

// ofPotentials turns potentials into the gradient in the weights of x: it is f_xy - f_xx (Feydy et al. 2019, proposition 2),
// or f_xy without self terms, centred. Unbalanced it is that of
//
//	OT(x,y):  ρ + ε m_y - (ρ+ε) e^{-f_xy/ρ},     S:  (ρ+ε)(e^{-f_xx/ρ} - e^{-f_xy/ρ}),
//
// where the last comes from the envelope theorem: the derivative of ½ε(m_x-m_y)² cancels the masses. Of halves it is centred too, since all masses are equal.
func (p *problem) ofPotentials(x *losses.Cloud, other float64, potentials []counted) []float64 {
	out, rho, epsilon := make([]float64, x.N), p.cross.Rho, p.cross.Epsilon
	for _, c := range potentials {
		for i, f := range c.f {
			if rho > 0 {
				f = -(rho + epsilon) * math.Exp(-f/rho)
			}
			out[i] += float64(c.share * f)
		}
	}
	switch {
	case rho == 0 || p.debias == Split:
		floats.AddConst(-floats.Dot(x.W, out)/x.Mass, out)
	case p.debias == None:
		floats.AddConst(rho+epsilon*other, out)
	}
	floats.Scale(p.scale, out)
	return out
}
