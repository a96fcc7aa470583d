package sinkhorn

import (
	"context"

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
		g    []float64 // the potential of y in the cross problem
		self int
	}{{a, b, cross.G, 0}, {b, a, cross.F, 1}} {
		var self []float64
		if selves != nil {
			self = selves[s.self].F
		}
		if ref := (losses.Ref{Input: s.x.Name, Field: "points"}); want.Gradients[ref] {
			g, err := p.pointGradient(ctx, s.x, s.y, s.g, self)
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
// both sides. For c = ½d² that is a_i (T_xx(x_i) - T_xy(x_i)), T the barycentric map.
func (p *problem) pointGradient(ctx context.Context, x, y *losses.Cloud, g, self []float64) ([]float64, error) {
	out := make([]float64, x.N*x.D)
	if err := entropic.AddPointGradient(ctx, out, p.scale, p.cross.Cost, p.cross.Epsilon, x, y, g); err != nil {
		return nil, err
	}
	if self == nil {
		return out, nil
	}
	return out, entropic.AddPointGradient(ctx, out, -p.scale, p.cross.Cost, p.cross.Epsilon, x, x, self)
}

// weightGradient is f_xy - f_xx (Feydy et al. 2019, proposition 2), or f_xy without self terms, centred.
func (p *problem) weightGradient(ctx context.Context, x, y *losses.Cloud, g, self []float64) ([]float64, error) {
	out, err := entropic.Extended(ctx, p.cross.Cost, p.cross.Epsilon, x, y, g)
	if err != nil {
		return nil, err
	}
	if self != nil {
		own, err := entropic.Extended(ctx, p.cross.Cost, p.cross.Epsilon, x, x, self)
		if err != nil {
			return nil, err
		}
		floats.Sub(out, own)
	}
	floats.AddConst(-floats.Dot(x.W, out)/x.Mass, out)
	floats.Scale(p.scale, out)
	return out, nil
}
