package entropic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"kantor/losses/internal/vec"
)

func TestSweepsAreSoftmins(t *testing.T) {
	testSweeps[float64](t, 1e-12)
	testSweeps[float32](t, 3e-4)
}

func testSweeps[T vec.Float](t *testing.T, tolerance float64) {
	for _, size := range productSizes {
		p := uneven(uint64(size[0]), size[0]+1, size[1], size[2], vec.HalfSquared, 0)
		p.Epsilon = 3 * float64(size[2])
		back := p
		back.A, back.B = p.B, p.A
		f, g := potentials(3, p.A.N), potentials(4, p.B.N)
		softF, softG := make([]float64, p.A.N), make([]float64, p.B.N)
		name := fmt.Sprintf("%T, %v", T(0), size)
		if ok, err := newSweep[T](p.A, p.B, false).run(t.Context(), softF, softG, f, g, p.Epsilon); !ok || err != nil {
			t.Fatalf("%s: %v, %v", name, ok, err)
		}
		near(t, name+", rows", softF, plainSoftmin(p, g), tolerance)
		near(t, name+", columns", softG, plainSoftmin(back, f), tolerance)

		p.B = p.A
		if ok, err := newSweep[T](p.A, p.A, true).run(t.Context(), softF, nil, f, nil, p.Epsilon); !ok || err != nil {
			t.Fatalf("%s, self: %v, %v", name, ok, err)
		}
		near(t, name+", self", softF, plainSoftmin(p, f), tolerance)
	}
}

// Where a sum leaves the range, the sweep says so rather than return an infinity, and a step takes the log domain.
func TestSweepOutOfRange(t *testing.T) {
	p := uneven(5, 20, 30, 2, vec.HalfSquared, 0)
	for _, far := range []float64{-3000, 3000} {
		f := potentials(3, p.A.N)
		for i := range f {
			f[i] += far
		}
		field := fieldsOf[float32](Annealing{Problem: p})[0]
		copy(field.f, f)
		if ok, err := field.sweep.run(t.Context(), field.softF, field.softG, field.f, field.g, p.Epsilon); ok || err != nil {
			t.Fatalf("%v: %v, %v, want false", far, ok, err)
		}
		if err := field.step(t.Context(), p.Epsilon); err != nil {
			t.Fatal(err)
		}
		back := p
		back.A, back.B = p.B, p.A
		near(t, "rows", field.softF, plainSoftmin(p, field.g), 3e-4)
		near(t, "columns", field.softG, plainSoftmin(back, f), 3e-4)
	}
}

func TestSweepsStopWithTheContext(t *testing.T) {
	p := uneven(6, 200, 300, 3, vec.HalfSquared, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Annealing{Problem: p, Blur: 0.5, Scaling: 0.5, Debias: true}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// The bound of [Annealed], for clouds that came in binary32: each of the steps adds the rounding of an exponent, whatever the temperature.
func TestAnnealingInSingles(t *testing.T) {
	for _, d := range []int{2, 32} {
		p := uneven(8, 90, 110, d, vec.HalfSquared, 0)
		for i, v := range p.A.X {
			p.A.X[i] = float64(float32(v))
		}
		for i, v := range p.B.X {
			p.B.X[i] = float64(float32(v))
		}
		p.Epsilon = 0.05 * 0.05
		s := Annealing{Problem: p, Blur: 0.05, Scaling: 0.5, Debias: true}
		if s.single() {
			t.Error("clouds in binary64 are annealed in binary32")
		}
		want, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.A.Single, s.B.Single = true, true
		if cold := s; s.single() {
			cold.Epsilon = 1e-9
			if cold.single() {
				t.Error("binary32 is taken where it does not resolve the exponents")
			}
		} else {
			t.Fatal("binary32 is not taken")
		}
		got, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unit, length := unitOf[float32](), 0.0
		center := Mean(p.B)
		length = max(largest(costsTo(p.Cost, p.A, center)), largest(costsTo(p.Cost, p.B, center)))
		// Potentials are costs at most: |x||y| + ½|x|² + ½|y|² + |f| + |g| is twelve lengths of ½|x|² at most.
		bound := float64(got.Iterations+2) * (float64(d+8)*unit*12*length + float64(p.A.N+p.B.N+8)*unit*p.Epsilon)
		for _, pair := range [][2][]float64{{got.F, want.F}, {got.G, want.G}, {got.SelfF, want.SelfF}, {got.SelfG, want.SelfG}} {
			for i, v := range pair[1] {
				if !(math.Abs(pair[0][i]-v) <= bound) {
					t.Fatalf("dimension %d: potential %d is %v, in binary64 %v, want it within %v", d, i, pair[0][i], v, bound)
				}
			}
		}
		a, b := make([]float64, len(p.A.X)), make([]float64, len(p.A.X))
		if err := errors.Join(got.AddPointGradient(t.Context(), a, false, 1), want.AddPointGradient(t.Context(), b, false, 1)); err != nil {
			t.Fatal(err)
		}
		diff, norm := 0.0, 0.0
		for i := range a {
			diff += (a[i] - b[i]) * (a[i] - b[i])
			norm += b[i] * b[i]
		}
		// Entries of the plan are off by what exponents are, lengths of up to 100 by ε of 0.0025 times 2^-24, which is 2e-3 and mostly averages out.
		if math.Sqrt(diff/norm) > 2e-3 {
			t.Errorf("dimension %d: the gradient is off by %v", d, math.Sqrt(diff/norm))
		}
	}
}
