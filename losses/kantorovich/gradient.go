package kantorovich

import (
	"gonum.org/v1/gonum/floats"

	"kantor/losses"
)

// gradients collects those that are wanted. An input that stands in several places gets the sum.
type gradients struct {
	want losses.Want
	sums map[losses.Ref][]float64
}

func collect(want losses.Want) gradients {
	return gradients{want: want, sums: map[losses.Ref][]float64{}}
}

// points is where the gradient in the points of an input of n rows is added up; nil: it is not wanted.
func (g gradients) points(c *losses.Cloud) []float64 { return g.slot(c.Name, "points", c.N*c.D) }

// weights is the same for weights.
func (g gradients) weights(c *losses.Cloud) []float64 { return g.slot(c.Name, "weights", c.N) }

func (g gradients) slot(name, field string, n int) []float64 {
	ref := losses.Ref{Input: name, Field: field}
	if !g.want.Gradients[ref] {
		return nil
	}
	if g.sums[ref] == nil {
		g.sums[ref] = make([]float64, n)
	}
	return g.sums[ref]
}

// gradients are those of Σ a_i h(x_i) - Σ b_j h(y_j), h(z) = min_j |z - y_j| - g_j: by the exact method of the optimum, by the entropic one at fixed g.
func (p *problem) gradients(want losses.Want, f *fit) map[losses.Ref][]float64 {
	out := collect(want)
	gx, gy := out.points(p.A), out.points(p.B)
	if f.plan != nil {
		for _, e := range f.plan {
			p.addPull(gx, gy, e.Mass, p.A, int(e.I), int(e.J))
		}
	} else {
		for i, j := range f.atX {
			p.addPull(gx, gy, p.A.W[i], p.A, i, j)
		}
		for i, j := range f.atY {
			p.addPull(gy, gy, -p.B.W[i], p.B, i, j)
		}
	}
	addCentred(out.weights(p.A), 1, f.hx, p.A)
	addCentred(out.weights(p.B), -1, f.hy, p.B)
	return out.sums
}

// gradientsOfFrozen are those of Σ a_i h(x_i) - Σ b_j h(y_j) in the fresh samples x and y, whatever h was fitted to.
func (p *problem) gradientsOfFrozen(want losses.Want, fresh *potential) map[losses.Ref][]float64 {
	out := collect(want)
	gx, gy := out.points(p.freshA), out.points(p.freshB)
	for i, j := range fresh.atX {
		p.addPull(gx, nil, p.freshA.W[i], p.freshA, i, j)
	}
	for i, j := range fresh.atY {
		p.addPull(gy, nil, -p.freshB.W[i], p.freshB, i, j)
	}
	addCentred(out.weights(p.freshA), 1, fresh.hx, p.freshA)
	addCentred(out.weights(p.freshB), -1, fresh.hy, p.freshB)
	return out.sums
}

// addPull adds the gradient of w |z_i - y_j| in z_i to gz and in y_j to gy; where the two coincide it is 0. Either may be nil.
func (p *problem) addPull(gz, gy []float64, w float64, z *losses.Cloud, i, j int) {
	d := z.D
	zi, yj := z.X[i*d:(i+1)*d], p.B.X[j*d:(j+1)*d]
	if gz != nil {
		p.Cost.AddGradient(gz[i*d:(i+1)*d], w, zi, yj)
	}
	if gy != nil {
		p.Cost.AddGradient(gy[j*d:(j+1)*d], w, yj, zi)
	}
}

// addCentred adds scale·(h - <w,h>/mass); dst may be nil.
func addCentred(dst []float64, scale float64, h []float64, c *losses.Cloud) {
	if dst == nil {
		return
	}
	mean := floats.Dot(c.W, h) / c.Mass
	for i, v := range h {
		dst[i] += scale * (v - mean)
	}
}
