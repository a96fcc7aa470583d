package entropic

import (
	"math"
	"testing"

	"kantor/losses/internal/losstest"
	"kantor/losses/internal/vec"
)

// climbing is a path at its temperature with exact rows, in one of the formats and strategies.
func climbing(t *testing.T, p Problem, tolerance float64, store bool) *newton {
	t.Helper()
	f := p.frame()
	s := newScaling(p, f, newKernel(p, f, tolerance, store))
	copy(s.f, f.rx)
	copy(s.g, f.ry)
	if err := s.absorb(t.Context(), p.Epsilon); err != nil {
		t.Fatal(err)
	}
	n := newNewton(s)
	if ok, err := n.rowsExact(t.Context()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	return n
}

// The gradient of the semi-dual is what the columns miss, and its curvature what a finite difference of that gradient says.
func TestCurvatureIsTheDerivativeOfTheGradient(t *testing.T) {
	for _, store := range []bool{true, false} {
		p := uneven(3, 30, 41, 3, vec.HalfSquared, 0)
		n := climbing(t, p, 0, store)
		r, d := losstest.Random(5), make([]float64, p.B.N)
		for j := range d {
			d[j] = r.NormFloat64()
		}
		got := make([]float64, p.B.N)
		if err := n.curvature(t.Context(), got, d); err != nil {
			t.Fatal(err)
		}
		const h = 1e-5
		at := func(step float64) (q []float64, value float64) {
			v := append([]float64(nil), n.v...)
			for j := range n.v {
				n.v[j] *= math.Exp(step * d[j])
			}
			if ok, err := n.rowsExact(t.Context()); !ok || err != nil {
				t.Fatal(ok, err)
			}
			copy(n.v, v)
			return append([]float64(nil), n.q...), n.value
		}
		q0, before := at(-h)
		q1, after := at(h)
		slope := 0.0
		for j := range got {
			// The third derivative of log-sum-exp is at most that of its argument cubed.
			if want := (q1[j] - q0[j]) / (2 * h); math.Abs(got[j]-want) > 1e-7 {
				t.Errorf("store %v, column %d: curvature %v, want %v", store, j, got[j], want)
			}
			slope += (p.B.W[j] - (q0[j]+q1[j])/2) * d[j]
		}
		if got := (after - before) / (2 * h); math.Abs(got-slope) > 1e-7 {
			t.Errorf("store %v: the value climbs by %v, want %v", store, got, slope)
		}
	}
}

// A step of conjugate gradients leaves the residual that it says.
func TestStepSolvesTheSystem(t *testing.T) {
	p := uneven(4, 50, 60, 2, vec.HalfSquared, 0)
	n := climbing(t, p, 0, true)
	n.damping = 1e-3
	if err := n.solveStep(t.Context(), 1e-9, 500); err != nil {
		t.Fatal(err)
	}
	product := make([]float64, p.B.N)
	if err := n.curvature(t.Context(), product, n.step); err != nil {
		t.Fatal(err)
	}
	left := 0.0
	for j, b := range p.B.W {
		left += math.Abs(b - n.q[j] - product[j])
	}
	if left > 2e-9*p.B.Mass {
		t.Errorf("the residual is %v, want at most 1e-9", left)
	}
}

// No pass of an iteration allocates.
func TestIterationsDoNotAllocate(t *testing.T) {
	p := shifted(6, 200, 3, 0.3)
	for _, single := range []bool{false, true} {
		p.A.Single, p.B.Single = single, single
		n := climbing(t, p, 1e-3, true)
		dst := make([]float64, p.B.N)
		if count := testing.AllocsPerRun(20, func() {
			_, _ = n.rowsExact(t.Context())
			_ = n.curvature(t.Context(), dst, n.residual)
		}); count > 0 {
			t.Errorf("float32 %v: %v allocations, want none", single, count)
		}
	}
}

// Halving the temperature by squares is making the kernel anew.
func TestSquaresAreTheKernelAtHalfTheTemperature(t *testing.T) {
	p := uneven(8, 37, 70, 3, vec.HalfSquared, 0)
	one, other := climbing(t, p, 0, true).scaling, climbing(t, p, 0, true).scaling
	if ok, err := one.halve(t.Context()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := other.absorb(t.Context(), p.Epsilon/2); err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := other.sweep(t.Context(), 1); !ok || err != nil {
		t.Fatal(ok, err)
	}
	f, g, err := one.potentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantF, wantG, err := other.potentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Squares double relative errors of some 1e-14.
	near(t, "f", f, wantF, 1e-12)
	near(t, "g", g, wantG, 1e-12)
}

// A symmetric kernel sums its rows as the whole one does, precisely or not, in any number of parts.
func TestSymmetricSums(t *testing.T) {
	for _, n := range []int{1, 31, 32, 33, 100, 1500} {
		p := uneven(9, n+1, 1, 3, vec.HalfSquared, 0)
		p.B = p.A
		f := p.frame()
		half, whole := newScaling(p, f, newSelfKernel(p, f, 0)), newScaling(p, f, newKernel(p, f, 0, true))
		y := potentials(7, p.A.N)
		for _, s := range []*scaling{half, whole} {
			if err := s.absorb(t.Context(), p.Epsilon); err != nil {
				t.Fatal(err)
			}
		}
		for _, precise := range []bool{false, true} {
			sums := func(k kernel) []float64 {
				out := make([]float64, p.A.N)
				if _, err := k.pass(t.Context(), pass{y: y, precise: precise, x: func(lo, _ int, sums, _ []float64) bool {
					copy(out[lo:], sums)
					return true
				}}); err != nil {
					t.Fatal(err)
				}
				return out
			}
			near(t, "sums", sums(half.kernel), sums(whole.kernel), 1e-11)
		}
	}
}
