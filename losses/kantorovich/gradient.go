package kantorovich

import (
	"gonum.org/v1/gonum/floats"

	"kantor/losses"
)

// gradients are those of Σ a_i h(x_i) - Σ b_j h(y_j), h(z) = min_j |z - y_j| - g_j, at fixed g. An input that is both source and target gets the sum.
func (p *problem) gradients(want losses.Want, h *potential) map[losses.Ref][]float64 {
	out := map[losses.Ref][]float64{}
	slot := func(c *losses.Cloud, field string, n int) []float64 {
		ref := losses.Ref{Input: c.Name, Field: field}
		if !want.Gradients[ref] {
			return nil
		}
		if out[ref] == nil {
			out[ref] = make([]float64, n)
		}
		return out[ref]
	}
	gx, gy := slot(p.A, "points", p.A.N*p.A.D), slot(p.B, "points", p.B.N*p.B.D)
	for i, j := range h.atX {
		p.addPull(gx, gy, p.A.W[i], p.A, i, j)
	}
	for i, j := range h.atY {
		p.addPull(gy, gy, -p.B.W[i], p.B, i, j)
	}
	addCentred(slot(p.A, "weights", p.A.N), 1, h.hx, p.A)
	addCentred(slot(p.B, "weights", p.B.N), -1, h.hy, p.B)
	return out
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
