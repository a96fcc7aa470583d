package gaussian

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// pair is two centred Gaussians and the optimal coupling between them: with K = MᵀL = UΣVᵀ, the columns of LV and MU are the two sides of it, moved onto
// each other one by one.
type pair struct {
	d                    int
	value                float64   // |LV - MU|²
	p, q                 mat.Dense // MU, LV, [d,d], without their exponents
	inverse              []float64 // Σ⁺, [d]
	sourceExp, targetExp int
}

// match finds the coupling of N(0, A) with N(0, B).
func match(a, b root, d int) *pair {
	l, m := mat.NewDense(d, d, a.entries), mat.NewDense(d, d, b.entries)
	var k mat.Dense
	k.Mul(m.T(), l)
	var svd mat.SVD
	if !svd.Factorize(&k, mat.SVDFull) {
		panic("gaussian: no singular values of a finite matrix")
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	out := &pair{d: d, inverse: svd.Values(nil), sourceExp: a.exponent, targetExp: b.exponent}
	out.p.Mul(m, &u)
	out.q.Mul(l, &v)
	least := float64(d) * 0x1p-52 // below it they are rounding: the entries of L and M are 1 at most
	for i, s := range out.inverse {
		if out.inverse[i] = 0; s > least {
			out.inverse[i] = 1 / s
		}
	}
	for i := range d {
		for j := range d {
			apart := math.Ldexp(out.q.At(i, j), a.exponent) - math.Ldexp(out.p.At(i, j), b.exponent)
			out.value += apart * apart
		}
	}
	return out
}

// forth writes T, the linear part of the map from A to B, [d,d].
func (p *pair) forth(to []float64) { p.linear(to, &p.p, p.targetExp-p.sourceExp) }

// back writes that of the map from B to A.
func (p *pair) back(to []float64) { p.linear(to, &p.q, p.sourceExp-p.targetExp) }

// linear writes C Σ⁺ Cᵀ times 2^exponent, symmetric to the last bit.
func (p *pair) linear(to []float64, c *mat.Dense, exponent int) {
	for i := range p.d {
		for j := range i + 1 {
			sum := 0.0
			x, y := c.RawRowView(i), c.RawRowView(j)
			for k, inverse := range p.inverse {
				sum += x[k] * y[k] * inverse
			}
			to[i*p.d+j] = math.Ldexp(sum, exponent)
			to[j*p.d+i] = to[i*p.d+j]
		}
	}
}
