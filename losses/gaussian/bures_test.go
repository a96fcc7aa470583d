package gaussian_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kantor/losses"
	"kantor/losses/gaussian"
	"kantor/losses/internal/losstest"
)

// (μ, σ) = (3, ½) to N(0, 1): 9 + ¼, with gradients 2μ and σ(σ-1).
func TestToStandardNormal(t *testing.T) {
	in := losses.Inputs{"q": axes(1, 1, []float64{3}, []float64{math.Log(0.25)})}
	loss := gaussian.Bures{Posterior: "q"}
	result := losstest.Evaluate(t, loss, in, "q.mean", "q.log_variance")
	if math.Abs(result.Value-9.25) > 4*0x1p-52 {
		t.Errorf("got %v, want 9.25", result.Value)
	}
	mean, logVariance := result.Gradients[losses.Ref{Input: "q", Field: "mean"}].F64[0], result.Gradients[losses.Ref{Input: "q", Field: "log_variance"}].F64[0]
	if mean != 6 || math.Abs(logVariance+0.25) > 0x1p-53 {
		t.Errorf("gradients %v, %v, want 6, -0.25", mean, logVariance)
	}
	if o := result.Terms[0].Outcomes[0]; o.Interval != nil || o.Solve != nil {
		t.Errorf("a closed form came with %v, %v", o.Interval, o.Solve)
	}
}

// The sum over dimensions, the mean over rows, and each row by itself.
func TestRows(t *testing.T) {
	in := losses.Inputs{"q": axes(2, 2, []float64{1, 2, 0, 0}, []float64{0, 0, math.Log(4), math.Log(9)}), "p": axes(1, 2, []float64{0, 0}, []float64{0, 0})}
	for _, prior := range []*losses.Gaussian{in["p"].(*losses.Gaussian), promoted(in["p"].(*losses.Gaussian))} {
		in["p"] = prior
		perRow := extra(t, in, "per_row")
		if got := losstest.Evaluate(t, between, in).Value; math.Abs(got-5) > 1e-14 || math.Abs(perRow.F64[0]-5) > 1e-14 || math.Abs(perRow.F64[1]-5) > 1e-14 {
			t.Errorf("got %v of %v, want 5 of 1+4 and (2-1)²+(3-1)²", got, perRow.F64)
		}
	}
}

// Row T10 of docs/mathematics.md: A = [[2,1],[1,2]] has eigenvalues 1 and 3, so to the identity it is (1-1)² + (√3-1)² = 6-2(√3+1), by any formula.
func TestT10BuresOfAKnownPair(t *testing.T) {
	a, want := []float64{2, 1, 1, 2}, 6-2*(math.Sqrt(3)+1)
	identity := []float64{1, 0, 0, 1}
	for name, prior := range map[string]*losses.Gaussian{"covariance": full(1, 2, []float64{0, 0}, identity), "axes": axes(1, 2, []float64{0, 0}, []float64{0, 0})} {
		for _, in := range []losses.Inputs{{"q": full(1, 2, []float64{0, 0}, a), "p": prior}, {"p": full(1, 2, []float64{0, 0}, a), "q": prior}} {
			if got := losstest.Evaluate(t, between, in).Value; math.Abs(got-want) > 1e-15 {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	}
	if got := losstest.Evaluate(t, gaussian.Bures{Posterior: "q"}, losses.Inputs{"q": full(1, 2, []float64{0, 0}, a)}).Value; math.Abs(got-want) > 1e-15 {
		t.Errorf("to N(0, I): got %v, want %v", got, want)
	}
}

// Row T9 of docs/mathematics.md, Brenier's map between Gaussians: T = A^-½(A^½BA^½)^½A^-½ is a gradient of a convex function, that is symmetric and positive,
// moves N(a,A) to N(b,B), that is TAT = B, and costs W2² = |a-b|² + tr((T-I)A(T-I)).
func TestT9BrenierMap(t *testing.T) {
	r := losstest.Random(1)
	for range 50 {
		d := 1 + r.IntN(8)
		q, p := randomFull(r, 1, d, d+3), randomFull(r, 1, d, d+3)
		in := losses.Inputs{"q": q, "p": p}
		m := extra(t, in, "map")
		a, b, brenier := matrix(q, 0), matrix(p, 0), mat.NewDense(d, d, m.F64)
		root, inverse := power(a, math.Sqrt), power(a, func(v float64) float64 { return 1 / math.Sqrt(v) })
		want := product(inverse, power(product(root, b, root), math.Sqrt), inverse)
		// Rounding times the condition of the root, which is up to 1e3 for matrices of d+3 samples, and its square for the square.
		if !mat.EqualApprox(brenier, want, 1e-9) || !mat.EqualApprox(product(brenier, a, brenier), b, 1e-10) || !mat.Equal(brenier, brenier.T()) {
			t.Fatalf("d = %d: map %v, want %v", d, mat.Formatted(brenier), mat.Formatted(want))
		}
		power(brenier, func(v float64) float64 {
			if v < 0 {
				t.Errorf("the map has the eigenvalue %v", v)
			}
			return v
		})
		apart, cost := mat.DenseCopyOf(brenier), 0.0
		for i := range d {
			apart.Set(i, i, apart.At(i, i)-1)
			cost += math.Pow(q.Mean.F64[i]-p.Mean.F64[i], 2)
		}
		cost += mat.Trace(product(apart, a, apart))
		if got := losstest.Evaluate(t, between, in).Value; math.Abs(got-cost) > 1e-10*cost {
			t.Errorf("the map costs %v, the value is %v", cost, got)
		}
	}
}

// One answer by three ways: independent axes, covariances, and one of each; and values by the textbook's formula. Gradients too.
func TestAxesAndCovariancesAgree(t *testing.T) {
	r := losstest.Random(2)
	for range 100 {
		n, d := 1+r.IntN(3), 1+r.IntN(6)
		q, p := randomAxes(r, n, d), randomAxes(r, []int{1, n}[r.IntN(2)], d)
		names := []string{"q.mean", "q.log_variance", "p.mean", "p.log_variance"}
		want := losstest.Evaluate(t, between, losses.Inputs{"q": q, "p": p}, names...)
		for _, in := range []losses.Inputs{{"q": promoted(q), "p": p}, {"q": q, "p": promoted(p)}, {"q": promoted(q), "p": promoted(p)}} {
			var mine []string
			for _, name := range names {
				input, field, _ := strings.Cut(name, ".")
				if field == "mean" || in[input].(*losses.Gaussian).Covariance == nil {
					mine = append(mine, name)
				}
			}
			got := losstest.Evaluate(t, between, in, mine...)
			if math.Abs(got.Value-want.Value) > 1e-13*(1+want.Value) {
				t.Fatalf("got %v, want %v", got.Value, want.Value)
			}
			for ref, gradient := range got.Gradients {
				for i, v := range gradient.F64 {
					if math.Abs(v-want.Gradients[ref].F64[i]) > 1e-12 {
						t.Fatalf("gradient of %v is %v at %d, want %v", ref, v, i, want.Gradients[ref].F64[i])
					}
				}
			}
		}
		a, b := randomFull(r, n, d, d+2), randomFull(r, n, d, d+2)
		textbook := 0.0
		for i := range n {
			textbook += bures(matrix(a, i), matrix(b, i)) / float64(n)
		}
		for i, v := range a.Mean.F64 {
			textbook += math.Pow(v-b.Mean.F64[i], 2) / float64(n)
		}
		if got := losstest.Evaluate(t, between, losses.Inputs{"q": a, "p": b}).Value; math.Abs(got-textbook) > 1e-12*textbook {
			t.Fatalf("got %v, by eigenvalues %v", got, textbook)
		}
	}
}

// Where A is nearly B the formula with traces has no digits; here the value, some 1e-16 times the variances, is right to the digits that A and B themselves
// have of their difference.
func TestSmallDifferencesKeepTheirDigits(t *testing.T) {
	r := losstest.Random(3)
	for range 20 {
		q := rotation(r, 4)
		a, b, want := make([]float64, 4), make([]float64, 4), 0.0
		for k := range a {
			a[k] = 1 + float64(k)
			b[k] = a[k] * (1 + 1e-8*r.NormFloat64())
			want += math.Pow((a[k]-b[k])/(math.Sqrt(a[k])+math.Sqrt(b[k])), 2)
		}
		rotated := func(values []float64) []float64 {
			m := product(q, mat.NewDiagDense(4, values), q.T())
			return m.RawMatrix().Data
		}
		got := losstest.Evaluate(t, between, losses.Inputs{"q": full(1, 4, make([]float64, 4), rotated(a)), "p": full(1, 4, make([]float64, 4), rotated(b))}).Value
		if math.Abs(got-want) > 1e-6*want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	in := losses.Inputs{"q": axes(1, 1, []float64{0}, []float64{1e-9})}
	if got, want := losstest.Evaluate(t, gaussian.Bures{Posterior: "q"}, in).Value, math.Pow(math.Expm1(5e-10), 2); math.Abs(got-want) > 4*0x1p-53*want {
		t.Errorf("independent axes: got %v, want %v", got, want)
	}
}

// All mass in a point or on a line: the value is finite and known, and so are the gradients. For A = vvᵀ, W2² = |v|² + tr B - 2(vᵀBv)^½.
func TestDegenerateCovariances(t *testing.T) {
	r := losstest.Random(4)
	for d := 1; d <= 5; d++ {
		p := randomFull(r, 1, d, d+2)
		b := matrix(p, 0)
		zero := make([]float64, d)
		v := losstest.Normal(r, d, 1, 1, 0).F64
		line, square, mean := make([]float64, d*d), 0.0, 0.0
		var image mat.VecDense
		image.MulVec(b, mat.NewVecDense(d, v))
		for i := range d {
			for j := range d {
				line[i*d+j] = v[i] * v[j]
			}
			square += v[i] * image.AtVec(i) // vᵀBv
			mean += p.Mean.F64[i] * p.Mean.F64[i]
		}
		norm := 0.0
		for _, x := range v {
			norm += x * x
		}
		for name, c := range map[string]struct {
			covariance []float64
			want       float64
		}{
			"a point": {make([]float64, d*d), mean + mat.Trace(b)},
			"a line":  {line, mean + norm + mat.Trace(b) - 2*math.Sqrt(square)},
		} {
			in := losses.Inputs{"q": full(1, d, zero, c.covariance), "p": p}
			result := losstest.Evaluate(t, between, in, "q.mean", "q.covariance", "p.mean", "p.covariance")
			if math.Abs(result.Value-c.want) > 1e-12 {
				t.Errorf("%s: got %v, want %v", name, result.Value, c.want)
			}
			for ref, gradient := range result.Gradients {
				for i, g := range gradient.F64 {
					if math.IsNaN(g) || math.IsInf(g, 0) {
						t.Errorf("%s: gradient of %v is %v at %d", name, ref, g, i)
					}
				}
			}
			if name == "a point" {
				continue
			}
			// The mean of where the plan moves v·z is Bv z/(vᵀBv)^½.
			m := extra(t, in, "map")
			for i := range d {
				moved := 0.0
				for j := range d {
					moved += m.F64[i*d+j] * v[j]
				}
				if want := image.AtVec(i) / math.Sqrt(square); math.Abs(moved-want) > 1e-12 {
					t.Errorf("%s: the map moves v to %v at %d, want %v", name, moved, i, want)
				}
			}
		}
	}
}

// Variances that underflow are points as well.
func TestVariancesThatUnderflow(t *testing.T) {
	flat := axes(1, 2, []float64{1, 0}, []float64{-3000, -3000})
	for _, in := range []losses.Inputs{{"q": flat}, {"q": promoted(flat)}} {
		result := losstest.Evaluate(t, gaussian.Bures{Posterior: "q"}, in, "q.mean")
		if result.Value != 3 || result.Gradients[losses.Ref{Input: "q", Field: "mean"}].F64[0] != 2 {
			t.Errorf("a point at distance 1 of N(0, I): %v with %v, want 3 with 2", result.Value, result.Gradients)
		}
	}
}

// Mass on two lines that are at right angles: where each goes on the other is up to nobody, so the mean of it is 0, and rounding of the right angle is no
// direction to go in.
func TestNothingInCommon(t *testing.T) {
	r := losstest.Random(7)
	for range 20 {
		q := rotation(r, 4)
		on := func(first, last float64) *losses.Gaussian {
			return full(1, 4, make([]float64, 4), product(q, mat.NewDiagDense(4, []float64{first, first, last, last}), q.T()).RawMatrix().Data)
		}
		in := losses.Inputs{"q": on(1, 0), "p": on(0, 4)}
		if got := losstest.Evaluate(t, between, in).Value; math.Abs(got-10) > 1e-14*10 {
			t.Errorf("got %v, want 2·1 + 2·4", got)
		}
		for i, v := range extra(t, in, "map").F64 {
			if math.Abs(v) > 1e-14 {
				t.Errorf("map %v at %d, want 0", v, i)
			}
		}
	}
}

// What overflows is infinite, and says so; nothing is NaN.
func TestInfiniteValues(t *testing.T) {
	for name, in := range map[string]losses.Inputs{
		"axes":       {"q": axes(1, 2, []float64{0, 0}, []float64{3000, 0}), "p": axes(1, 2, []float64{0, 0}, []float64{-3000, 0})},
		"both":       {"q": axes(1, 2, []float64{0, 0}, []float64{3000, 0}), "p": axes(1, 2, []float64{0, 0}, []float64{3010, 0})},
		"covariance": {"q": axes(1, 2, []float64{0, 0}, []float64{3000, 0}), "p": full(1, 2, []float64{0, 0}, []float64{1, 0, 0, 1})},
		"means":      {"q": axes(1, 2, []float64{1e200, 0}, []float64{0, 0}), "p": full(1, 2, []float64{0, 0}, []float64{1, 0, 0, 1})},
	} {
		gradients := []string{"q.mean", "q.log_variance", "p.mean"}
		if in["p"].(*losses.Gaussian).Covariance == nil {
			gradients = append(gradients, "p.log_variance")
		}
		result := losstest.Evaluate(t, between, in, gradients...)
		if w := result.Terms[0].Warnings; !math.IsInf(result.Value, 1) || len(w) != 1 || w[0].Code != losses.InfiniteValue {
			t.Errorf("%s: got %v with %v", name, result.Value, w)
		}
		for ref, gradient := range result.Gradients {
			if slices.ContainsFunc(gradient.F64, math.IsNaN) {
				t.Errorf("%s: gradient of %v is %v", name, ref, gradient.F64)
			}
		}
	}
	large := full(1, 2, []float64{0, 0}, []float64{1e300, 0, 0, 1e-300})
	if got := losstest.Evaluate(t, gaussian.Bures{Posterior: "q"}, losses.Inputs{"q": large}).Value; math.Abs(got-1e300) > 1e286 {
		t.Errorf("got %v, want 1e300 + 1", got)
	}
}

func TestBadInputs(t *testing.T) {
	r := losstest.Random(5)
	point := &losses.Measure{Points: losstest.Normal(r, 7, 4, 1, 0)}
	weights := losses.NewArray([]float64{1, 1, 1, 1, 1, 1, 1, 0, 0}, 9)
	zero := []float64{0, 0}
	for _, c := range []struct {
		field, says string
		in          losses.Inputs
	}{
		{"posterior", "eigenvalue -1 ", losses.Inputs{"q": full(1, 2, zero, []float64{1, 2, 2, 1}), "p": full(1, 2, zero, []float64{1, 0, 0, 1})}},
		{"posterior", "eigenvalue -3 ", losses.Inputs{"q": full(1, 2, zero, []float64{-3, 0, 0, 1}), "p": full(1, 2, zero, []float64{1, 0, 0, 1})}},
		{"prior", "eigenvalue -4 in row 1", losses.Inputs{"p": full(2, 2, []float64{0, 0, 0, 0}, []float64{1, 0, 0, 1, 0, 4, 4, 0}),
			"q": axes(2, 2, []float64{0, 0, 0, 0}, []float64{0, 0, 0, 0})}},
		{"posterior", "7 points of dimension 4, want at least 8", losses.Inputs{"q": point, "p": randomAxes(r, 1, 4)}},
		{"prior", "7 points of dimension 4, want at least 8", losses.Inputs{"p": point, "q": randomAxes(r, 1, 4)}},
		{"posterior", "7 points of dimension 4", losses.Inputs{"q": &losses.Measure{Points: losstest.Normal(r, 9, 4, 1, 0), Weights: &weights}, "p": randomAxes(r, 1, 4)}},
		{"prior", "2 rows of dimension 3, want 3 or 1 of dimension 3", losses.Inputs{"q": randomAxes(r, 3, 3), "p": randomAxes(r, 2, 3)}},
		{"prior", "dimension 2", losses.Inputs{"q": randomAxes(r, 3, 3), "p": randomAxes(r, 3, 2)}},
		{"prior", "neither a Gaussian nor a measure", losses.Inputs{"q": randomAxes(r, 3, 3), "p": &losses.Prior{Family: losses.StandardNormal{}}}},
		{"posterior", "want at most 512", losses.Inputs{"q": randomAxes(r, 1, 513), "p": promoted(randomAxes(r, 1, 513))}},
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: between}}}.Bind(c.in, 0)
		bad, ok := err.(*losses.InputError)
		if !ok || bad.Field != "objective.terms[0].bures."+c.field || !strings.Contains(bad.Reason, c.says) {
			t.Errorf("got %v, want %q at %s", err, c.says, c.field)
		}
	}
}

// Singular covariances have eigenvalues of both signs by rounding, in binary32 by a lot: they are taken.
func TestRoundedCovariances(t *testing.T) {
	r := losstest.Random(6)
	for range 50 {
		d := 2 + r.IntN(20)
		g := randomFull(r, 1, d, 1+r.IntN(d))
		exact := losstest.Evaluate(t, gaussian.Bures{Posterior: "q"}, losses.Inputs{"q": g}).Value
		rounded := losses.Array{Shape: g.Covariance.Shape, F32: make([]float32, d*d)}
		for i, v := range g.Covariance.F64 {
			rounded.F32[i] = float32(v)
		}
		single := &losses.Gaussian{Mean: g.Mean, Covariance: &rounded}
		got := losstest.Evaluate(t, gaussian.Bures{Posterior: "q"}, losses.Inputs{"q": single}).Value
		// The nuclear norm of a root changes by at most d times the root of what its square changes by.
		if math.Abs(got-exact) > 2*float64(d)*math.Sqrt(8*float64(d)*0x1p-23*4) {
			t.Errorf("d = %d: in binary32 %v, in binary64 %v", d, got, exact)
		}
	}
}

// A large map is left out, with a warning: it is more than what came in by a factor of the dimension.
func TestLargeMapsAreLeftOut(t *testing.T) {
	n, d := 65, 512
	objective := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: gaussian.Bures{Posterior: "q"}}}, Extras: []string{"bures.map"}}
	in := losses.Inputs{"q": axes(n, d, make([]float64, n*d), make([]float64, n*d))}
	term := losstest.EvaluateObjective(t, objective, in).Terms[0]
	if len(term.Warnings) != 1 || term.Warnings[0].Code != losses.ExtraTooLarge || len(term.Extras) != 0 {
		t.Errorf("got %v with %v, want EXTRA_TOO_LARGE", fmt.Sprint(term.Extras), term.Warnings)
	}
}
