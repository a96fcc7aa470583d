// Package gaussian computes transport between Gaussians, which is known in closed form.
package gaussian

import (
	"kantor/losses"
)

const (
	// MaxDimension is the highest dimension of covariances: their decompositions take a second there, in which no context is looked at.
	MaxDimension = 512
	// leastPoints and fewPoints are points a dimension: with fewer than the first a covariance of points says next to nothing, with fewer than the second
	// its eigenvalues are spread far beyond those of the distribution: at 10, to between .47 and 1.73 of them (Marchenko, Pastur 1967).
	leastPoints, fewPoints = 2, 10
)

// Bures is W2² between Gaussians in the cost |x-y|², the mean over rows (Dowson, Landau 1982; Givens, Shortt 1984):
//
//	W2²(N(m,A), N(n,B)) = |m-n|² + tr(A + B - 2(A^½ B A^½)^½)
//
// which is |m-n|² + Σ(σ-s)² for independent axes. It is finite where a variance is 0. It is computed as the least of |L - MU|², squares of entries added up,
// over orthogonal U, for any L and M with A = LLᵀ and B = MMᵀ (Bhatia, Jain, Lim 2019, theorem 1), so that no digits cancel where A is nearly B.
//
// A Measure is taken for the Gaussian of its mean and covariance, Σ w_i (x_i-m)(x_i-m)ᵀ/Σ w_i, one row: an aggregated posterior. The division is by the mass,
// not by one less than the number of points; what the covariance of a sample is too narrow by is part of the value.
//
// The gradients are 2(m-n)/N in the mean, σ(σ-s)/N in the logarithm of a variance, and (I-T)/N in a covariance, symmetric, with T the linear part of the
// optimal map x -> n + T(x-m),
//
//	T = M (MᵀAM)^{+½} Mᵀ,
//
// where (.)^{+½} is the pseudoinverse of the root. If A is regular that is the only map there is, A^{-½}(A^½BA^½)^½A^{-½}. If A is singular the value has no
// derivative in directions in which mass would have to leave a subspace; x -> n + T(x-m) then is the mean of where the optimal plan moves x, and I-T the
// derivative under any motion of the mass, which is what a covariance LLᵀ that is learnt through L needs: 2(I-T)L. It is always finite.
type Bures struct {
	Posterior string // name of a Gaussian or a Measure
	Prior     string // name of a Gaussian with as many rows or one, or of a Measure; empty: N(0, I)
}

// Kind implements [losses.Loss].
func (Bures) Kind() string { return "bures" }

// Uses implements [losses.Loss].
func (b Bures) Uses() []losses.Use {
	uses := []losses.Use{{Field: "posterior", Input: b.Posterior}}
	if b.Prior != "" {
		uses = append(uses, losses.Use{Field: "prior", Input: b.Prior})
	}
	return uses
}

// Extras implements [losses.Loss]: the value of each row, [N], and T of each row, [N,D,D].
func (Bures) Extras() []string { return []string{"per_row", "map"} }

// Bind implements [losses.Loss].
func (b Bures) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	p := &problem{}
	var err error
	if p.sides[0], err = newOperand(inputs, "posterior", b.Posterior); err != nil {
		return nil, err
	}
	p.n, p.d = p.sides[0].rows, p.sides[0].d
	if b.Prior == "" {
		p.sides[1] = standardNormal(p.d)
	} else if p.sides[1], err = newOperand(inputs, "prior", b.Prior); err != nil {
		return nil, err
	}
	if q := p.sides[1]; q.d != p.d || q.rows != 1 && q.rows != p.n {
		return nil, losses.Badf("prior", "input %q has %d rows of dimension %d, want %d or 1 of dimension %d", b.Prior, q.rows, q.d, p.n, p.d)
	}
	if p.full() && p.d > MaxDimension {
		return nil, losses.Badf("posterior", "input %q has dimension %d, want at most %d where there are covariances", b.Posterior, p.d, MaxDimension)
	}
	for s, field := range []string{"posterior", "prior"} {
		if err := p.sides[s].takeRoots(field); err != nil {
			return nil, err
		}
	}
	return p, nil
}
