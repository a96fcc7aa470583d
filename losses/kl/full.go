package kl

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// fullProblem is a divergence between Gaussians of which one side at least has covariances.
type fullProblem struct {
	Gaussian
	n, d  int
	sides [2]*spread // the posterior, the prior
}

// spread is one side of it.
type spread struct {
	name        string
	rows        int
	mean        []float64 // [rows,d]
	logVariance []float64 // [rows,d]; nil: covariances
	factors     []factor  // [rows]; nil: independent axes
}

// factor is a covariance and its root.
type factor struct {
	covariance *mat.SymDense
	root       *mat.TriDense // lower triangular L with LLᵀ the covariance; nil: it is singular
}

// bindFull binds a pair of which one has covariances; the prior may be nil, N(0, I).
func (g Gaussian) bindFull(posterior, prior *losses.Gaussian) (losses.Problem, error) {
	p := &fullProblem{Gaussian: g, n: posterior.Mean.Shape[0], d: posterior.Mean.Shape[1]}
	if p.d > MaxDimension {
		return nil, losses.Badf("posterior", "input %q has dimension %d, want at most %d where there are covariances", g.Posterior, p.d, MaxDimension)
	}
	if g.FreeBits != nil {
		return nil, losses.Badf("free_bits", "are of each dimension, which Gaussians with covariances are not divided into, want log_variance in both inputs")
	}
	var err error
	if p.sides[0], err = newSpread("posterior", g.Posterior, posterior, p.d); err != nil {
		return nil, err
	}
	p.sides[1], err = newSpread("prior", g.Prior, prior, p.d)
	return p, err
}

// newSpread takes an input; nil: N(0, I).
func newSpread(field, name string, in *losses.Gaussian, d int) (*spread, error) {
	if in == nil || in.Covariance == nil {
		a := newAxes(name, in, d)
		return &spread{name: name, rows: a.rows, mean: a.mean, logVariance: a.logVariance}, nil
	}
	s := &spread{name: name, rows: in.Mean.Shape[0], mean: in.Mean.Float64s(), factors: make([]factor, in.Mean.Shape[0])}
	precision := 0x1p-52
	if in.Covariance.F32 != nil {
		precision = 0x1p-23
	}
	for i := range s.factors {
		a := mat.NewSymDense(d, nil)
		for j := range d {
			for k := range j + 1 {
				at := i * d * d
				a.SetSym(j, k, in.Covariance.At(at+j*d+k)/2+in.Covariance.At(at+k*d+j)/2)
			}
		}
		s.factors[i] = factor{a, rootOf(a)}
		if s.factors[i].root != nil {
			continue
		}
		noise := noiseOf(a, precision)
		if semidefinite(a, noise) {
			continue
		}
		if least := leastEigenvalue(a); least < -noise {
			return nil, losses.Badf(field, "input %q has a covariance with eigenvalue %.6g in row %d, want positive semidefinite matrices", name, least, i)
		}
	}
	return s, nil
}

// rootOf is Cholesky's root; nil: the matrix is singular up to the rounding of that root, in units of the variances (Higham 2002, theorem 10.7), or not positive.
func rootOf(a *mat.SymDense) *mat.TriDense {
	var c mat.Cholesky
	if !c.Factorize(a) {
		return nil
	}
	d := a.SymmetricDim()
	root := mat.NewTriDense(d, mat.Lower, nil)
	c.LTo(root)
	for j := range d {
		if pivot := root.At(j, j); pivot*pivot <= float64(d)*0x1p-52*a.At(j, j) && d > 1 {
			return nil
		}
	}
	return root
}

// noiseOf is what rounding of its entries can do to the eigenvalues of a matrix.
func noiseOf(a *mat.SymDense, precision float64) (noise float64) {
	for j := range a.SymmetricDim() {
		noise = max(noise, 4*float64(a.SymmetricDim())*precision*a.At(j, j))
	}
	return noise
}

// semidefinite reports whether no eigenvalue is below -noise, by Cholesky's method on the matrix with the noise added to its diagonal, in a small part of the time
// that its eigenvalues take. Where it says no that may be rounding.
func semidefinite(a *mat.SymDense, noise float64) bool {
	raised := mat.NewSymDense(a.SymmetricDim(), nil)
	raised.CopySym(a)
	for j := range a.SymmetricDim() {
		raised.SetSym(j, j, a.At(j, j)+noise)
	}
	var c mat.Cholesky
	return c.Factorize(raised)
}

// leastEigenvalue is that of a symmetric matrix.
func leastEigenvalue(a *mat.SymDense) float64 {
	var e mat.EigenSym
	if !e.Factorize(a, false) {
		panic("kl: no eigenvalues of a finite symmetric matrix")
	}
	return e.Values(nil)[0]
}

// row is the row that stands for row i of the posterior.
func (s *spread) row(i int) int {
	if s.rows == 1 {
		return 0
	}
	return i
}

// full is row i in coordinates that are divided by scale.
func (s *spread) full(i int, scale []float64) factor {
	d := len(scale)
	if s.factors == nil {
		one := mat.NewDiagDense(d, nil) // scale is its own
		for j := range d {
			one.SetDiag(j, 1)
		}
		f := factor{mat.NewSymDense(d, nil), mat.NewTriDense(d, mat.Lower, nil)}
		f.covariance.CopySym(one)
		f.root.Copy(one)
		return f
	}
	f := s.factors[s.row(i)]
	if f.root == nil || unscaled(scale) {
		return f
	}
	out := factor{mat.NewSymDense(d, nil), mat.NewTriDense(d, mat.Lower, nil)}
	for j := range d {
		for k := range j + 1 {
			out.covariance.SetSym(j, k, f.covariance.At(j, k)/scale[j]/scale[k])
			out.root.SetTri(j, k, f.root.At(j, k)/scale[j])
		}
	}
	return out
}

func unscaled(scale []float64) bool { return floats.Min(scale) == 1 && floats.Max(scale) == 1 }

// Work implements [losses.Problem].
func (p *fullProblem) Work() losses.Work {
	work := float64(p.n*p.d) * float64(p.d*p.d)
	return losses.Work{Pairs: work, Iterations: 1, Bytes: int64(8 * p.d * p.d * (4*p.n + 12*parallel.Slots() + 64))}
}

// Solve implements [losses.Problem].
func (p *fullProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	out := answer{perRow: make([]float64, p.n)}
	partial := make([][2]slopes, parallel.GroupCount(p.n))
	common := [2]slopes{p.sides[0].wanted(want), p.sides[1].wanted(want)} // of a row for each row nobody else adds to
	cost := 64 * p.d * p.d * p.d
	err := parallel.Groups(ctx, p.n, func(group, lo, hi int, gate *parallel.Gate) {
		g := common
		for s := range g {
			if p.sides[s].rows == 1 && group > 0 {
				g[s] = p.sides[s].wanted(want)
			}
		}
		partial[group] = g
		done := 0
		for i := lo; i < hi; i++ {
			if done += cost; done > parallel.TileCost && i > lo {
				if !gate.Open() {
					return
				}
				done = 0
			}
			out.perRow[i] = p.solveRow(i, g)
		}
	})
	if err != nil {
		return losses.TermResult{}, err
	}
	out.perDimension = meanOf(out.perRow)
	out.gradients = map[losses.Ref][]float64{}
	for s, side := range p.sides {
		for _, g := range partial[1:] {
			if side.rows == 1 {
				common[s].add(g[s])
			}
		}
		common[s].hand(out.gradients, side, 1/float64(p.n))
	}
	return p.result(out, "a covariance is singular, or the divergence overflows binary64", want, "per_row"), nil
}

// slopes are gradients in one side, of the sum over rows; nil: nobody wants them.
type slopes struct {
	mean   []float64 // [rows,d]
	spread []float64 // [rows,d] or, of covariances, [rows,d,d]
}

// field is the name of the tensor that says how wide the rows are.
func (s *spread) field() string {
	if s.factors != nil {
		return "covariance"
	}
	return "log_variance"
}

func (s *spread) wanted(want losses.Want) slopes {
	var out slopes
	if want.Gradients[losses.Ref{Input: s.name, Field: "mean"}] {
		out.mean = make([]float64, len(s.mean))
	}
	if want.Gradients[losses.Ref{Input: s.name, Field: s.field()}] {
		size := len(s.mean)
		if s.factors != nil {
			size *= len(s.mean) / s.rows
		}
		out.spread = make([]float64, size)
	}
	return out
}

func (g slopes) add(other slopes) {
	if g.mean != nil {
		floats.Add(g.mean, other.mean)
	}
	if g.spread != nil {
		floats.Add(g.spread, other.spread)
	}
}

// hand hands the slopes times scale to the gradients. An input that is both sides gets the sum.
func (g slopes) hand(to map[losses.Ref][]float64, of *spread, scale float64) {
	for field, slope := range map[string][]float64{"mean": g.mean, of.field(): g.spread} {
		ref := losses.Ref{Input: of.name, Field: field}
		floats.Scale(scale, slope)
		switch {
		case slope == nil:
		case to[ref] == nil:
			to[ref] = slope
		default:
			floats.Add(to[ref], slope)
		}
	}
}

// solveRow is the divergence of a row, whose slopes it adds.
func (p *fullProblem) solveRow(i int, g [2]slopes) float64 {
	scale, means := make([]float64, p.d), [2][]float64{}
	for j := range scale {
		scale[j] = 1
	}
	for s, side := range p.sides {
		at := side.row(i) * p.d
		if side.factors == nil { // in units of its deviations it is N(., I), however large or small they are
			for j, v := range side.logVariance[at : at+p.d] {
				scale[j] = math.Exp(0.5 * v)
			}
		}
		means[s] = side.mean[at : at+p.d]
	}
	delta := mat.NewVecDense(p.d, nil)
	for j := range p.d {
		delta.SetVec(j, (means[0][j]-means[1][j])/scale[j])
	}
	posterior, prior := p.sides[0].full(i, scale), p.sides[1].full(i, scale)
	value := 0.0
	if p.Direction != Reverse {
		value += p.solveWay(i, [2]int{0, 1}, posterior, prior, delta, scale, g)
	}
	if p.Direction != Forward {
		delta.ScaleVec(-1, delta)
		value += p.solveWay(i, [2]int{1, 0}, prior, posterior, delta, scale, g)
	}
	return value
}

// solveWay is KL(N(m,A), N(n,B)), delta = m-n, whose slopes it adds to those of the two sides.
func (p *fullProblem) solveWay(i int, sides [2]int, a, b factor, delta *mat.VecDense, scale []float64, g [2]slopes) float64 {
	w := compare(a, b, delta)
	if math.IsInf(w.value, 1) {
		return w.value // and no slopes
	}
	of, from := p.sides[sides[0]], p.sides[sides[1]]
	if to := g[sides[0]].mean; to != nil {
		addScaled(to[of.row(i)*p.d:], 1, w.pull, scale)
	}
	if to := g[sides[1]].mean; to != nil {
		addScaled(to[from.row(i)*p.d:], -1, w.pull, scale)
	}
	of.addSpread(g[sides[0]].spread, i, w.slopeOf, scale)
	from.addSpread(g[sides[1]].spread, i, w.slopeFrom, scale)
	return w.value
}

func addScaled(to []float64, sign float64, v *mat.VecDense, scale []float64) {
	for j, s := range scale {
		to[j] += sign * v.AtVec(j) / s
	}
}

// addSpread adds the slope of row i in the covariance, or in the logarithms of variances, which are 1 in these coordinates.
func (s *spread) addSpread(to []float64, i int, slope func() *mat.Dense, scale []float64) {
	if to == nil {
		return
	}
	d, m := len(scale), slope()
	for j := range d {
		if s.factors == nil {
			to[s.row(i)*d+j] += m.At(j, j)
			continue
		}
		for k := range d {
			to[(s.row(i)*d+j)*d+k] += (m.At(j, k)/2 + m.At(k, j)/2) / scale[j] / scale[k]
		}
	}
}
