package gaussian_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kantor/losses"
	"kantor/losses/gaussian"
	"kantor/losses/internal/losstest"
)

// between is the loss from q to p.
var between = gaussian.Bures{Posterior: "q", Prior: "p"}

// axes is rows of Gaussians with independent axes.
func axes(n, d int, mean, logVariance []float64) *losses.Gaussian {
	return &losses.Gaussian{Mean: losses.NewArray(mean, n, d), LogVariance: losses.NewArray(logVariance, n, d)}
}

// full is rows of Gaussians with covariances.
func full(n, d int, mean, covariance []float64) *losses.Gaussian {
	c := losses.NewArray(covariance, n, d, d)
	return &losses.Gaussian{Mean: losses.NewArray(mean, n, d), Covariance: &c}
}

func randomAxes(r *rand.Rand, n, d int) *losses.Gaussian {
	return &losses.Gaussian{Mean: losstest.Normal(r, n, d, 1, 0.3), LogVariance: losstest.Normal(r, n, d, 0.7, -0.5)}
}

// randomFull has covariances GGᵀ/k of d x k normal matrices: singular where k < d.
func randomFull(r *rand.Rand, n, d, k int) *losses.Gaussian {
	c := make([]float64, n*d*d)
	for i := range n {
		g := mat.NewDense(d, k, losstest.Normal(r, d, k, 1, 0).F64)
		var a mat.Dense
		a.Mul(g, g.T())
		a.Scale(1/float64(k), &a)
		for j := range d {
			for l := range d {
				c[(i*d+j)*d+l] = (a.At(j, l) + a.At(l, j)) / 2
			}
		}
	}
	return full(n, d, losstest.Normal(r, n, d, 1, 0.3).F64, c)
}

// promoted is the same with covariances.
func promoted(g *losses.Gaussian) *losses.Gaussian {
	n, d := g.Mean.Shape[0], g.Mean.Shape[1]
	c := make([]float64, n*d*d)
	for i, v := range g.LogVariance.F64 {
		c[i*d+i%d] = math.Exp(v)
	}
	return full(n, d, g.Mean.F64, c)
}

// matrix is row i of the covariances.
func matrix(g *losses.Gaussian, i int) *mat.Dense {
	d := g.Mean.Shape[1]
	return mat.NewDense(d, d, g.Covariance.F64[i*d*d:(i+1)*d*d])
}

// power is a function of a symmetric matrix by its eigenvalues.
func power(a mat.Matrix, f func(float64) float64) *mat.Dense {
	d, _ := a.Dims()
	s := mat.NewSymDense(d, nil)
	for i := range d {
		for j := range i + 1 {
			s.SetSym(i, j, (a.At(i, j)+a.At(j, i))/2)
		}
	}
	var e mat.EigenSym
	if !e.Factorize(s, true) {
		panic("no eigenvalues")
	}
	var q, out mat.Dense
	e.VectorsTo(&q)
	values := e.Values(nil)
	for i := range values {
		values[i] = f(values[i])
	}
	out.Mul(&q, mat.NewDiagDense(d, values))
	out.Mul(&out, q.T())
	return &out
}

// product multiplies matrices.
func product(first mat.Matrix, more ...mat.Matrix) *mat.Dense {
	out := mat.DenseCopyOf(first)
	for _, m := range more {
		var next mat.Dense
		next.Mul(out, m)
		out = &next
	}
	return out
}

// rotation is a random orthogonal matrix.
func rotation(r *rand.Rand, d int) *mat.Dense {
	var factors mat.QR
	factors.Factorize(mat.NewDense(d, d, losstest.Normal(r, d, d, 1, 0).F64))
	var q mat.Dense
	factors.QTo(&q)
	return &q
}

// bures is the textbook's formula, by eigenvalues.
func bures(a, b mat.Matrix) float64 {
	root := power(a, math.Sqrt)
	cross := power(product(root, b, root), func(v float64) float64 { return math.Sqrt(max(0, v)) })
	return mat.Trace(a) + mat.Trace(b) - 2*mat.Trace(cross)
}

// extra evaluates and returns an extra.
func extra(t *testing.T, in losses.Inputs, name string) losses.Array {
	t.Helper()
	objective := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: between}}, Extras: []string{"bures." + name}}
	return *losstest.EvaluateObjective(t, objective, in).Terms[0].Extras[name].(*losses.Array)
}
