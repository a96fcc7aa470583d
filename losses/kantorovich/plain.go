package kantorovich

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/exact"
	"kantor/losses/internal/parallel"
)

// plain is transport between two clouds.
type plain struct {
	ground
	a, b *losses.Cloud
	time float64
}

// Work implements [losses.Problem]. Nothing limits the pivots of the simplex but the problem's size.
func (p *plain) Work() losses.Work { return p.work(p.a, p.b) }

func (g ground) work(a, b *losses.Cloud) losses.Work {
	pairs, bytes := g.between(a, b).Work()
	return losses.Work{Pairs: pairs, Iterations: 1, Bytes: bytes + int64(8*(a.N+b.N))*int64(a.D+40)}
}

// Solve implements [losses.Problem].
func (p *plain) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	s, err := exact.Solve(ctx, p.between(p.a, p.b))
	if err != nil {
		return losses.TermResult{}, err
	}
	value := p.scale * s.Value
	outcome := losses.Outcome{Value: value, Estimand: losses.Empirical, Solve: &losses.Solve{Converged: true, Iterations: s.Pivots, Strategy: s.Strategy}}
	outcome.Interval = entropic.Widen(p.scale*s.Lower, p.scale*s.Upper, 0, value)
	result := losses.TermResult{Outcomes: []losses.Outcome{outcome}}
	out := collect(want)
	if err := p.addPoints(ctx, out.points(p.a), out.points(p.b), p.a, p.b, s.Plan); err != nil {
		return losses.TermResult{}, err
	}
	addCentred(out.weights(p.a), p.scale, s.F, p.a)
	addCentred(out.weights(p.b), p.scale, s.G, p.b)
	result.Gradients = out.sums
	result.Extras, err = p.extras(ctx, want, s)
	return result, err
}

// addPoints adds the gradients of <P,C> in the points of a to ga and in those of b to gb, either of which may be nil. The error is the context's.
func (g ground) addPoints(ctx context.Context, ga, gb []float64, a, b *losses.Cloud, plan []exact.Entry) error {
	if ga == nil && gb == nil {
		return nil
	}
	return eachEntry(ctx, plan, a.D, func(e exact.Entry) {
		d := a.D
		x, y := a.X[int(e.I)*d:][:d], b.X[int(e.J)*d:][:d]
		if ga != nil {
			g.addGradient(ga[int(e.I)*d:][:d], e.Mass, x, y)
		}
		if gb != nil {
			g.addGradient(gb[int(e.J)*d:][:d], e.Mass, y, x)
		}
	})
}

// eachEntry calls body for the entries of a plan in their order, with a look at the context every so often. The error is the context's.
func eachEntry(ctx context.Context, plan []exact.Entry, d int, body func(e exact.Entry)) error {
	tile := max(1, parallel.TileCost/(8*(d+1)))
	return parallel.Do(ctx, func(gate *parallel.Gate) {
		for k, e := range plan {
			if k > 0 && k%tile == 0 && !gate.Open() {
				return
			}
			body(e)
		}
	})
}

// extras are those that are wanted.
func (p *plain) extras(ctx context.Context, want losses.Want, s *exact.Solution) (map[string]losses.Extra, error) {
	out := map[string]losses.Extra{}
	if want.Extras["potentials"] {
		out["potentials"] = p.potentials(s)
	}
	if want.Extras["plan"] {
		plan := &losses.Plan{}
		for _, e := range s.Plan {
			plan.Source, plan.Target, plan.Mass = append(plan.Source, e.I), append(plan.Target, e.J), append(plan.Mass, e.Mass)
		}
		out["plan"] = plan
	}
	if want.Extras["map"] {
		images, err := p.images(ctx, s)
		if err != nil {
			return nil, err
		}
		out["map"] = losses.RowsOf("source", images, p.a.N, p.a.D)
	}
	if want.Extras["interpolation"] {
		between, err := p.interpolation(ctx, s.Plan)
		if err != nil {
			return nil, err
		}
		out["interpolation"] = between
	}
	return out, nil
}

// potentials are f and g in the caller's units, with equal means.
func (p *plain) potentials(s *exact.Solution) *losses.Potentials {
	scaled := func(x []float64) []float64 { return floats.ScaleTo(make([]float64, len(x)), p.scale, x) }
	out := &losses.Potentials{Gauge: losses.EqualMeans, Source: scaled(s.F), Target: scaled(s.G)}
	shift := (floats.Dot(p.b.W, out.Target)/p.b.Mass - floats.Dot(p.a.W, out.Source)/p.a.Mass) / 2
	floats.AddConst(shift, out.Source)
	floats.AddConst(-shift, out.Target)
	return out
}

// images are the barycentric images of the source's points, Σ_j P_ij y_j / Σ_j P_ij (Peyré, Cuturi 2019, remark 4.11). A point that has no mass gets the target
// that a little of it would go to: among those with mass the one of least c(x_i,y_j) - g_j, the first of several.
func (p *plain) images(ctx context.Context, s *exact.Solution) ([]float64, error) {
	d := p.a.D
	images, rows := make([]float64, p.a.N*d), make([]float64, p.a.N)
	for _, e := range s.Plan {
		rows[e.I] += e.Mass
	}
	err := eachEntry(ctx, s.Plan, d, func(e exact.Entry) {
		floats.AddScaled(images[int(e.I)*d:][:d], e.Mass/rows[e.I], p.b.X[int(e.J)*d:][:d])
	})
	if err != nil {
		return nil, err
	}
	err = parallel.Rows(ctx, p.a.N, p.b.N*(d+8), func(lo, hi int, gate *parallel.Gate) {
		for i := lo; i < hi; i++ {
			if rows[i] == 0 && !p.nearest(gate, images[i*d:][:d], p.a.X[i*d:][:d], s.G) {
				return
			}
		}
	})
	return images, err
}

// nearest sets the image of a point without mass, or reports that the gate is closed.
func (p *plain) nearest(gate *parallel.Gate, image, x, g []float64) bool {
	d, least := p.a.D, math.Inf(1)
	tile := max(1, parallel.TileCost/(d+8))
	for j, w := range p.b.W {
		if j > 0 && j%tile == 0 && !gate.Open() {
			return false
		}
		y := p.b.X[j*d:][:d]
		if c := p.of(x, y) - g[j]; w > 0 && c < least {
			least = c
			copy(image, y)
		}
	}
	return true
}

// interpolation is the measure on the way from source to target at the time t: the mass of every entry of the plan at (1-t)x_i + t y_j (McCann 1997). For the
// costs |x-y|^p the way is a geodesic: W_p from the time s to t is |t-s| W_p (Villani 2003, theorem 5.6 and section 7.1).
func (p *plain) interpolation(ctx context.Context, plan []exact.Entry) (*losses.Measure, error) {
	d := p.a.D
	points, mass := make([]float64, 0, len(plan)*d), make([]float64, 0, len(plan))
	err := eachEntry(ctx, plan, d, func(e exact.Entry) {
		x, y := p.a.X[int(e.I)*d:][:d], p.b.X[int(e.J)*d:][:d]
		for k := range x {
			points = append(points, float64((1-p.time)*x[k])+float64(p.time*y[k]))
		}
		mass = append(mass, e.Mass)
	})
	weights := losses.NewArray(mass, len(mass))
	return &losses.Measure{Points: losses.NewArray(points, len(mass), d), Weights: &weights}, err
}
