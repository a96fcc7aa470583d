package sinkhorn

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
)

// gradients are those that are wanted, of problems that were differentiated in their points. An input that is both source and target gets the sum.
func (p *problem) gradients(ctx context.Context, want losses.Want, cross *solved, selves []*solved) (map[losses.Ref][]float64, error) {
	out := map[losses.Ref][]float64{}
	for side, x := range p.sides() {
		if ref := (losses.Ref{Input: x.Name, Field: "points"}); want.Gradients[ref] {
			accumulate(out, ref, cross.points[side])
			if len(selves) > 0 && selves[side].points[side] != nil {
				accumulate(out, ref, selves[side].points[side])
			}
		}
		if ref := (losses.Ref{Input: x.Name, Field: "weights"}); want.Gradients[ref] {
			var self *solved
			if len(selves) > 0 {
				self = selves[side]
			}
			g, err := p.weightGradient(ctx, x, p.sides()[1-side], [][]float64{cross.G, cross.F}[side], self)
			if err != nil {
				return nil, err
			}
			accumulate(out, ref, g)
		}
	}
	return out, nil
}

// sides are source and target.
func (p *problem) sides() [2]*losses.Cloud { return [2]*losses.Cloud{p.cross.A, p.cross.B} }

func accumulate(into map[losses.Ref][]float64, ref losses.Ref, g []float64) {
	if into[ref] == nil {
		into[ref] = g
		return
	}
	floats.Add(into[ref], g)
}

// differentiate computes what the i-th problem adds to the gradients in the points of source and target,
//
//	Σ_j P^xy_ij ∇₁c(x_i,y_j) - Σ_j P^xx_ij ∇₁c(x_i,x_j)
//
// (Feydy et al. 2019, section 3.2): the self term counts half and its points stand on both sides. For c = ½d², balanced, that is a_i (T_xx(x_i) - T_xy(x_i)),
// T the barycentric map. Where the problems are solved one by one, self terms are added to the cross problem's.
func (p *problem) differentiate(ctx context.Context, want losses.Want, all []*solved, i int) error {
	s, cross := all[i], p.cross
	for side, x := range p.sides() {
		if !want.Gradients[losses.Ref{Input: x.Name, Field: "points"}] || i > 0 && i-1 != side {
			continue
		}
		into := s
		if p.oneByOne() {
			into = all[0]
		}
		if into.points[side] == nil {
			into.points[side] = make([]float64, x.N*x.D)
		}
		cross.A, cross.B = x, x
		f, g, of, scale := s.F, s.F, s.Solution, -p.scale
		if i == 0 {
			cross.B, g, scale = p.sides()[1-side], s.G, p.scale
			if side == 1 {
				f, g, of = s.G, s.F, nil // its kernel has the target's points as columns
			}
		}
		if err := entropic.AddPointGradient(ctx, into.points[side], scale, cross, f, g, of, p.options.Tolerance); err != nil {
			return err
		}
	}
	return nil
}

// weightGradient is [problem.ofPotentials], from potentials that are one step more accurate.
func (p *problem) weightGradient(ctx context.Context, x, y *losses.Cloud, g []float64, self *solved) ([]float64, error) {
	cross := p.cross
	cross.A, cross.B = x, y
	out, err := entropic.Extended(ctx, cross, g)
	if err != nil {
		return nil, err
	}
	var own []float64
	if self != nil {
		cross.B = x
		if own, err = entropic.Extended(ctx, cross, self.F); err != nil {
			return nil, err
		}
	}
	p.ofPotentials(out, own, x, y)
	return out, nil
}

// ofPotentials turns f_xy into the gradient in the weights of x: it is f_xy - f_xx (Feydy et al. 2019, proposition 2),
// or f_xy without self terms, centred. Unbalanced it is that of
//
//	OT(x,y):  ρ + ε m_y - (ρ+ε) e^{-f_xy/ρ},     S:  (ρ+ε)(e^{-f_xx/ρ} - e^{-f_xy/ρ}),
//
// where the last comes from the envelope theorem: the derivative of ½ε(m_x-m_y)² cancels the masses.
func (p *problem) ofPotentials(out, own []float64, x, y *losses.Cloud) {
	if rho, epsilon := p.cross.Rho, p.cross.Epsilon; rho > 0 {
		for i, f := range out {
			out[i] = -(rho + epsilon) * math.Exp(-f/rho)
			if own == nil {
				out[i] += rho + epsilon*y.Mass
			} else {
				out[i] += (rho + epsilon) * math.Exp(-own[i]/rho)
			}
		}
	} else {
		if own != nil {
			floats.Sub(out, own)
		}
		floats.AddConst(-floats.Dot(x.W, out)/x.Mass, out)
	}
	floats.Scale(p.scale, out)
}
