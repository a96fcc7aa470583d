package sinkhorn

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
)

// gradients computes those that are wanted. An input that is both source and target gets the sum.
func (p *problem) gradients(ctx context.Context, want losses.Want, cross *solved, selves []*solved) (map[losses.Ref][]float64, error) {
	out := map[losses.Ref][]float64{}
	a, b := p.cross.A, p.cross.B
	for _, s := range []struct {
		x, y *losses.Cloud
		f, g []float64          // the potentials of x and y in the cross problem
		of   *entropic.Solution // the cross problem's where x are its rows
		self int
	}{{a, b, cross.F, cross.G, cross.Solution, 0}, {b, a, cross.G, cross.F, nil, 1}} {
		var self *solved
		if len(selves) > 0 {
			self = selves[s.self]
		}
		if ref := (losses.Ref{Input: s.x.Name, Field: "points"}); want.Gradients[ref] {
			g, err := p.pointGradient(ctx, s.x, s.y, s.f, s.g, s.of, self)
			if err != nil {
				return nil, err
			}
			accumulate(out, ref, g)
		}
		if ref := (losses.Ref{Input: s.x.Name, Field: "weights"}); want.Gradients[ref] {
			g, err := p.weightGradient(ctx, s.x, s.y, s.g, self)
			if err != nil {
				return nil, err
			}
			accumulate(out, ref, g)
		}
	}
	return out, nil
}

func accumulate(into map[losses.Ref][]float64, ref losses.Ref, g []float64) {
	if into[ref] == nil {
		into[ref] = g
		return
	}
	floats.Add(into[ref], g)
}

// pointGradient is Σ_j P^xy_ij ∇₁c(x_i,y_j) - Σ_j P^xx_ij ∇₁c(x_i,x_j) (Feydy et al. 2019, section 3.2): the self term counts half and its points stand on
// both sides. For c = ½d², balanced, that is a_i (T_xx(x_i) - T_xy(x_i)), T the barycentric map.
func (p *problem) pointGradient(ctx context.Context, x, y *losses.Cloud, f, g []float64, of *entropic.Solution, self *solved) ([]float64, error) {
	out := make([]float64, x.N*x.D)
	cross := p.cross
	cross.A, cross.B = x, y
	if err := entropic.AddPointGradient(ctx, out, p.scale, cross, f, g, of, p.precision()); err != nil {
		return nil, err
	}
	if self == nil {
		return out, nil
	}
	cross.B = x
	return out, entropic.AddPointGradient(ctx, out, -p.scale, cross, self.F, self.F, self.Solution, p.precision())
}

// weightGradient is f_xy - f_xx (Feydy et al. 2019, proposition 2), or f_xy without self terms, centred. Unbalanced it is that of
//
//	OT(x,y):  ρ + ε m_y - (ρ+ε) e^{-f_xy/ρ},     S:  (ρ+ε)(e^{-f_xx/ρ} - e^{-f_xy/ρ}),
//
// where the last comes from the envelope theorem: the derivative of ½ε(m_x-m_y)² cancels the masses.
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
	return out, nil
}

// precision is the tolerance that decides in which number format a gradient is computed.
func (p *problem) precision() float64 {
	if p.geomLoss {
		return 0
	}
	return p.options.Tolerance
}
