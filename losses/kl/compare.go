package kl

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// comparison is the divergence of N(m, A) from N(n, B), by E = L⁻¹(A-B)L⁻ᵀ with B = LLᵀ: where A is nearly B the difference is taken first, so that the
// digits of a small divergence are those of A-B.
type comparison struct {
	a, b   factor
	value  float64
	excess *mat.Dense    // E
	away   *mat.VecDense // L⁻¹(m-n)
	pull   *mat.VecDense // B⁻¹(m-n)
	near   bool          // no entry of E is above ½
}

// compare computes the value and what its slopes need; +Inf where a matrix is singular or a number overflows.
func compare(a, b factor, delta *mat.VecDense) *comparison {
	w := &comparison{a: a, b: b, value: math.Inf(1)}
	if a.root == nil || b.root == nil {
		return w
	}
	d := delta.Len()
	half, excess := mat.NewDense(d, d, nil), mat.NewDense(d, d, nil)
	half.Sub(a.covariance, b.covariance)
	forward(b.root, half)
	excess.Copy(half.T())
	forward(b.root, excess)
	away, pull := mat.NewDense(d, 1, nil), mat.NewDense(d, 1, nil)
	away.Copy(delta)
	forward(b.root, away)
	pull.Copy(away)
	backward(b.root, pull)
	w.excess, w.away, w.pull = excess, mat.VecDenseCopyOf(away.ColView(0)), mat.VecDenseCopyOf(pull.ColView(0))
	w.near = mat.Max(w.excess) <= 0.5 && mat.Min(w.excess) >= -0.5
	sum := 0.0
	for j := range d {
		sum += w.away.AtVec(j) * w.away.AtVec(j)
	}
	if w.near {
		sum += w.growth()
	} else {
		sum += w.ratios()
	}
	if value := 0.5 * sum; !math.IsNaN(value) {
		w.value = value
	}
	return w
}

// growth is tr E - ln det(I+E) from Cholesky's root I + F of I + E, computed without the I: with t = F_jj² + 2F_jj it is the sum of t - ln(1+t) over the diagonal and
// F_jk² below it, of which no term is negative.
func (w *comparison) growth() float64 {
	d, sum := w.away.Len(), 0.0
	f, diagonal := mat.NewDense(d, d, nil), make([]float64, d)
	for i := range d {
		row := f.RawRowView(i)
		for j := range i + 1 {
			rest := w.excess.At(i, j)/2 + w.excess.At(j, i)/2
			for k, v := range f.RawRowView(j)[:j] {
				rest -= row[k] * v
			}
			if i == j {
				if !(rest > -1) {
					return math.Inf(1)
				}
				log := math.Log1p(rest)
				_, beyond := expm(log)
				sum += beyond
				diagonal[j] = math.Sqrt(1 + rest)
				continue
			}
			row[j] = rest / diagonal[j]
			sum += row[j] * row[j]
		}
	}
	return sum
}

// ratios is tr(B⁻¹A) - D - ln det(B⁻¹A) from the ratio K = L⁻¹M of the roots, which is lower triangular: K_jj² - 1 - ln K_jj² over the diagonal and K_jk² below it.
func (w *comparison) ratios() float64 {
	d := w.away.Len()
	k := mat.NewDense(d, d, nil)
	k.Copy(w.a.root)
	forward(w.b.root, k)
	sum := 0.0
	for j := range d {
		_, beyond := expm(2 * (math.Log(w.a.root.At(j, j)) - math.Log(w.b.root.At(j, j))))
		sum += beyond
		for _, v := range k.RawRowView(j)[:j] {
			sum += v * v
		}
	}
	return sum
}

// slopeOf is ½(B⁻¹ - A⁻¹), as ½B⁻¹(A-B)A⁻¹ where the two are near.
func (w *comparison) slopeOf() *mat.Dense {
	d := w.away.Len()
	out := mat.NewDense(d, d, nil)
	if w.near {
		out.Sub(w.a.covariance, w.b.covariance)
		solve(w.b.root, out)
		out.Copy(mat.DenseCopyOf(out.T()))
		solve(w.a.root, out)
		out.Scale(0.5, out)
		return out
	}
	other := mat.NewDense(d, d, nil)
	for j := range d {
		out.Set(j, j, 0.5)
		other.Set(j, j, 0.5)
	}
	solve(w.b.root, out)
	solve(w.a.root, other)
	out.Sub(out, other)
	return out
}

// slopeFrom is ½(B⁻¹ - B⁻¹(A + δδᵀ)B⁻¹) = -½L⁻ᵀ(E + yyᵀ)L⁻¹ with y = L⁻¹δ.
func (w *comparison) slopeFrom() *mat.Dense {
	d := w.away.Len()
	half, out := mat.NewDense(d, d, nil), mat.NewDense(d, d, nil)
	half.Outer(-0.5, w.away, w.away)
	out.Scale(-0.5, w.excess)
	half.Add(half, out)
	backward(w.b.root, half)
	out.Copy(half.T())
	backward(w.b.root, out)
	return out
}

// solve replaces x by (LLᵀ)⁻¹x.
func solve(l *mat.TriDense, x *mat.Dense) {
	forward(l, x)
	backward(l, x)
}

// forward replaces x by L⁻¹x.
func forward(l *mat.TriDense, x *mat.Dense) {
	blas64.Trsm(blas.Left, blas.NoTrans, 1, l.RawTriangular(), x.RawMatrix())
}

// backward replaces x by L⁻ᵀx.
func backward(l *mat.TriDense, x *mat.Dense) {
	blas64.Trsm(blas.Left, blas.Trans, 1, l.RawTriangular(), x.RawMatrix())
}
