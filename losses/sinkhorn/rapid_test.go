package sinkhorn_test

import (
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// checkRandom tries a property on random problems, hostile ones among them. The seed is the same in every run, so that a failure is due to a change;
// RAPID_SEED=0 RAPID_CHECKS=20000 go test -run Random ./losses/sinkhorn looks further.
func checkRandom(t *testing.T, checks string, property func(t *rapid.T)) {
	t.Helper()
	for name, value := range map[string]string{"seed": "1", "checks": checks, "nofailfile": "true"} {
		if os.Getenv("RAPID_"+strings.ToUpper(name)) != "" {
			continue
		}
		if err := flag.Set("rapid."+name, value); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, property)
}

// randomProblem is a divergence and its clouds. Shapes, formats and parameters are drawn one by one, so that a failure shrinks; numbers come from a seed.
type randomProblem struct {
	loss   sinkhorn.Divergence
	x, y   *losses.Measure
	spread float64 // the cost across the box around the clouds, in units of the loss's cost
	mass   float64
}

func (p randomProblem) inputs() losses.Inputs { return losses.Inputs{"x": p.x, "y": p.y} }

// drawClouds draws points of hostile scales with coincidences, and weights with zeros and extremes.
func drawClouds(t *rapid.T) randomProblem {
	d := rapid.OneOf(rapid.IntRange(1, 32), rapid.IntRange(1, 32), rapid.IntRange(1, 4), rapid.Just(784)).Draw(t, "D")
	scale := math.Pow(10, float64(rapid.IntRange(-3, 3).Draw(t, "log scale")))
	offset := rapid.SampledFrom([]float64{0, 0, 1e4}).Draw(t, "offset")
	r := losstest.Random(rapid.Uint64().Draw(t, "points"))
	x := losstest.Normal(r, rapid.IntRange(1, 40).Draw(t, "N"), d, 0.7*scale, offset)
	y := losstest.Normal(r, rapid.IntRange(1, 40).Draw(t, "M"), d, scale, offset)
	p := randomProblem{x: &losses.Measure{Points: x}, y: &losses.Measure{Points: y}, mass: 1}
	if rapid.Bool().Draw(t, "coincide") {
		// Every second point of y is some point of x, and every third of x its first.
		for j := 0; j < y.Shape[0]; j += 2 {
			copy(y.F64[j*d:(j+1)*d], x.F64[r.IntN(x.Shape[0])*d:])
		}
		for i := 2; i < x.Shape[0]; i += 3 {
			copy(x.F64[i*d:(i+1)*d], x.F64[:d])
		}
	}
	if rapid.Bool().Draw(t, "weighted") {
		p.mass = rapid.SampledFrom([]float64{1, 1e-6, 1e6}).Draw(t, "mass")
		p.x.Weights, p.y.Weights = drawWeights(t, r, "x", x.Shape[0], p.mass), drawWeights(t, r, "y", y.Shape[0], p.mass)
	}
	if rapid.Bool().Draw(t, "float32") {
		p.x.Points, p.y.Points = single(p.x.Points), single(p.y.Points)
	}
	return p
}

// drawWeights draws n weights of the given mass.
func drawWeights(t *rapid.T, r *rand.Rand, name string, n int, mass float64) *losses.Array {
	w := losstest.Weights(r, n, mass)
	kind := rapid.SampledFrom([]string{"plain", "zeros", "extremes"}).Draw(t, name+" weights")
	for i := range w.F64 {
		switch {
		case i == 0: // so that there is a mass
		case kind == "zeros" && r.IntN(2) == 0:
			w.F64[i] = 0
		case kind == "extremes":
			w.F64[i] *= math.Pow(10, -30*r.Float64())
		}
	}
	sum := 0.0
	for _, v := range w.F64 {
		sum += v
	}
	for i := range w.F64 {
		w.F64[i] *= mass / sum
	}
	return w
}

// single is a in binary32.
func single(a losses.Array) losses.Array {
	out := losses.Array{Shape: a.Shape, F32: make([]float32, a.Len())}
	for i := range out.F32 {
		out.F32[i] = float32(a.At(i))
	}
	return out
}

// drawLoss draws cost, marginals and self terms.
func (p *randomProblem) drawLoss(t *rapid.T) {
	p.loss = divergence(nil)
	p.loss.Cost = rapid.SampledFrom([]losses.Cost{losses.HalfSquaredEuclidean, losses.SquaredEuclidean, losses.Euclidean}).Draw(t, "cost")
	p.loss.Debias = rapid.SampledFrom([]sinkhorn.Debias{sinkhorn.Self, sinkhorn.None}).Draw(t, "debias")
	d := p.x.Points.Shape[1]
	for j := range d {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, a := range []losses.Array{p.x.Points, p.y.Points} {
			for i := j; i < a.Len(); i += d {
				lo, hi = min(lo, a.At(i)), max(hi, a.At(i))
			}
		}
		p.spread += (hi - lo) * (hi - lo)
	}
	switch p.loss.Cost {
	case losses.HalfSquaredEuclidean:
		p.spread /= 2
	case losses.Euclidean:
		p.spread = math.Sqrt(p.spread)
	}
}

// drawTemperature draws ε as a part of the largest cost, from 2^lowest of it up, and with it ρ.
func (p *randomProblem) drawTemperature(t *rapid.T, lowest int) {
	// The box is measured here with other roundings than where it is checked; points that all coincide take any temperature.
	epsilon := math.Ldexp((1+1e-9)*max(p.spread, 1e-6), rapid.IntRange(lowest, 10).Draw(t, "log ε"))
	p.loss.Epsilon = &epsilon
	if rapid.Bool().Draw(t, "unbalanced") {
		p.loss.Rho = losstest.Ptr(math.Ldexp(epsilon, rapid.IntRange(-10, 20).Draw(t, "log ρ/ε")))
	}
}

// hasLess reports whether a weight is below that part of the largest.
func hasLess(m *losses.Measure, part float64) bool {
	return m.Weights != nil && slices.Min(m.Weights.F64) < part*slices.Max(m.Weights.F64)
}

// drawStop draws how to go about it and when to stop.
func (p *randomProblem) drawStop(t *rapid.T) {
	most := []int{500, 60, 10, 3, 2, 1}
	if hasLess(p.x, 1e-15) || hasLess(p.y, 1e-15) {
		most = most[:2] // what so little mass pulls at cannot be told before some convergence
	}
	p.loss.MaxIterations = rapid.SampledFrom(most).Draw(t, "max_iterations")
	switch rapid.SampledFrom([]string{"tolerance", "gap", "without interval", "geomloss", "defaults"}).Draw(t, "stop") {
	case "gap":
		p.loss.Gap = losstest.Ptr(math.Pow(10, -float64(rapid.IntRange(0, 9).Draw(t, "-log gap"))))
		return
	case "without interval":
		p.loss.WithoutInterval = true
	case "geomloss":
		if p.loss.Cost != losses.SquaredEuclidean { // which it does not know
			p.loss.Profile = sinkhorn.GeomLoss
			p.loss.Scaling = losstest.Ptr(rapid.SampledFrom([]float64{0.1, 0.5, 0.9}).Draw(t, "scaling"))
		}
	case "defaults":
		p.loss.Epsilon, p.loss.Rho = nil, nil
		return
	}
	p.loss.Tolerance = losstest.Ptr(math.Pow(10, -float64(rapid.IntRange(0, 12).Draw(t, "-log tolerance"))))
}

// solve evaluates with all gradients and the potentials.
func (p randomProblem) solve(t *rapid.T, in losses.Inputs) *losses.Result {
	t.Helper()
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: p.loss}}, Extras: []string{"sinkhorn.potentials"}}
	for name := range in {
		o.Gradients = append(o.Gradients, name+".points", name+".weights")
	}
	evaluation, err := o.Bind(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	result, err := evaluation.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestRandomProblems holds what is promised of any valid input, converged or not.
func TestRandomProblems(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	checkRandom(t, "120", func(t *rapid.T) {
		p := drawClouds(t)
		p.drawLoss(t)
		p.drawTemperature(t, -40)
		p.drawStop(t)
		in := p.inputs()

		runtime.GOMAXPROCS(1)
		result := p.solve(t, in)
		p.checkFinite(t, result)
		p.checkOutcome(t, result)
		runtime.GOMAXPROCS(2)
		if again := p.solve(t, in); !reflect.DeepEqual(again, result) {
			t.Errorf("two processors give %+v, one %+v", again, result)
		}

		p.loss.Epsilon = &result.Terms[0].Outcomes[0].Solve.Epsilon // the default's is set by the target
		exchanged := p.solve(t, losses.Inputs{"x": p.y, "y": p.x})
		p.checkOutcome(t, exchanged)
		checkMeet(t, "source and target exchanged", exchanged, result)
		if longer := p; p.loss.MaxIterations < 50 {
			longer.loss.MaxIterations *= 10
			checkMeet(t, "ten times as many iterations", longer.solve(t, in), result)
		}
	})
}

// checkFinite looks at every number.
func (p randomProblem) checkFinite(t *rapid.T, result *losses.Result) {
	finite := func(name string, values ...float64) {
		if i := slices.IndexFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }); i >= 0 {
			t.Errorf("%s[%d] is %v", name, i, values[i])
		}
	}
	o := result.Terms[0].Outcomes[0]
	finite("value", result.Value, o.Value)
	finite("epsilon", o.Solve.Epsilon)
	finite("marginal_error", o.Solve.MarginalError)
	if o.Interval != nil {
		finite("interval", o.Interval.Lower, o.Interval.Upper)
	}
	for ref, g := range result.Gradients {
		finite("gradient of "+ref.Input+"."+ref.Field, p.held(ref, g)...)
	}
	potentials := result.Terms[0].Extras["potentials"].(*losses.Potentials)
	finite("potential", slices.Concat(potentials.Source, potentials.Target, potentials.SourceSelf, potentials.TargetSelf)...)
}

// held is a gradient but for what is -Inf at points without weight in an unbalanced problem: nothing holds their potential, and e^{-f/ρ} may be larger than any
// number.
func (p randomProblem) held(ref losses.Ref, g losses.Array) []float64 {
	values, weights := g.Float64s(), map[string]*losses.Measure{"x": p.x, "y": p.y}[strings.TrimSuffix(ref.Input, "2")].Weights
	if ref.Field == "points" || weights == nil || p.loss.Rho == nil {
		return values
	}
	values = slices.Clone(values)
	for i, w := range weights.F64 {
		if w == 0 && math.IsInf(values[i], -1) {
			values[i] = 0
		}
	}
	return values
}

// checkOutcome holds the interval against the value, and what is said of convergence against what was asked.
func (p randomProblem) checkOutcome(t *rapid.T, result *losses.Result) {
	o, warned := result.Terms[0].Outcomes[0], map[string]bool{}
	for _, w := range result.Terms[0].Warnings {
		warned[w.Code] = true
	}
	if o.Interval != nil && !(o.Interval.Lower <= o.Value && o.Value <= o.Interval.Upper) {
		t.Errorf("the value %v is not in its interval %v", o.Value, *o.Interval)
	}
	if missing := o.Interval == nil && !p.loss.WithoutInterval; missing != warned[losses.IntervalUnavailable] {
		t.Errorf("interval %v, warnings %v", o.Interval, result.Terms[0].Warnings)
	}
	if o.Solve.Converged == warned[losses.NotConverged] {
		t.Errorf("%+v, warnings %v", *o.Solve, result.Terms[0].Warnings)
	}
	if tol := p.loss.Tolerance; tol != nil && o.Solve.Converged != (o.Solve.MarginalError <= *tol) {
		t.Errorf("%+v, tolerance %v", *o.Solve, *tol)
	}
	if p.loss.Gap != nil && o.Solve.Converged && o.Interval != nil && o.Interval.Upper-o.Interval.Lower > *p.loss.Gap*math.Abs(o.Value)*(1+1e-9) {
		t.Errorf("%v is wider than the gap %v", *o.Interval, *p.loss.Gap)
	}
	if o.Solve.Iterations > p.loss.MaxIterations && p.loss.Profile == sinkhorn.Accurate {
		t.Errorf("%d iterations, want at most %d", o.Solve.Iterations, p.loss.MaxIterations)
	}
}

// checkMeet takes two results whose exact values are the same: their intervals, which both hold it, have it in common.
func checkMeet(t *rapid.T, name string, a, b *losses.Result) {
	i, j := a.Terms[0].Outcomes[0].Interval, b.Terms[0].Outcomes[0].Interval
	if i != nil && j != nil && max(i.Lower, j.Lower) > min(i.Upper, j.Upper) {
		t.Errorf("%s: %v and %v have nothing in common", name, *i, *j)
	}
}

// TestRandomSymmetries holds what is equal in exact arithmetic where the solver converges tightly.
func TestRandomSymmetries(t *testing.T) {
	checkRandom(t, "40", func(t *rapid.T) {
		p := drawClouds(t)
		p.drawLoss(t)
		p.drawTemperature(t, -4)
		p.loss.Tolerance = losstest.Ptr(1e-10)
		result := p.converged(t, p.inputs())
		of := func(in, field string, r *losses.Result) losses.Array {
			return r.Gradients[losses.Ref{Input: in, Field: field}]
		}

		exchanged := p.converged(t, losses.Inputs{"x": p.y, "y": p.x})
		p.checkClose(t, "source and target exchanged", exchanged, result)
		for _, field := range []string{"points", "weights"} {
			p.checkGradient(t, "exchanged x."+field, p.y, of("x", field, exchanged), of("y", field, result))
			p.checkGradient(t, "exchanged y."+field, p.x, of("y", field, exchanged), of("x", field, result))
		}

		order := losstest.Random(rapid.Uint64().Draw(t, "order")).Perm(p.x.Points.Shape[0])
		x := reordered(p.x, order)
		permuted := p.converged(t, losses.Inputs{"x": x, "y": p.y})
		p.checkClose(t, "source in another order", permuted, result)
		for _, field := range []string{"points", "weights"} {
			p.checkGradient(t, "reordered x."+field, x, of("x", field, permuted), taken(of("x", field, result), order))
			p.checkGradient(t, "beside it y."+field, p.y, of("y", field, permuted), of("y", field, result))
		}

		if p.loss.Debias == sinkhorn.Self {
			p.checkZero(t, p.converged(t, losses.Inputs{"x": p.x, "y": p.x}))
		}
	})
}

// converged is solve where the solver gets to the tolerance; a problem where it does not is drawn again.
func (p randomProblem) converged(t *rapid.T, in losses.Inputs) *losses.Result {
	t.Helper()
	result := p.solve(t, in)
	if !result.Terms[0].Outcomes[0].Solve.Converged {
		t.Skip("not converged")
	}
	return result
}

// taken is the rows of a in the given order.
func taken(a losses.Array, order []int) losses.Array {
	row := a.Len() / a.Shape[0]
	out := losses.Array{Shape: slices.Concat([]int{len(order)}, a.Shape[1:])}
	for _, i := range order {
		lo, hi := i*row, (i+1)*row
		out.F32 = append(out.F32, a.F32[min(lo, len(a.F32)):min(hi, len(a.F32))]...)
		out.F64 = append(out.F64, a.F64[min(lo, len(a.F64)):min(hi, len(a.F64))]...)
	}
	return out
}

// reordered is a measure with its points in the given order.
func reordered(m *losses.Measure, order []int) *losses.Measure {
	out := &losses.Measure{Points: taken(m.Points, order)}
	if m.Weights != nil {
		w := taken(*m.Weights, order)
		out.Weights = &w
	}
	return out
}

// slack is what two values of the same problem may differ by. A dual objective is concave, so that it misses the optimum by at most the marginal error,
// 1e-10 of the mass, times the range of the potentials, which is about that of the costs, and three problems may be off on either side. Rounding is in
// proportion to costs, ε and the independent plan's mass.
func (p randomProblem) slack() float64 {
	epsilon := *p.loss.Epsilon
	return 8e-10*p.mass*(p.spread+epsilon) + 1e-13*epsilon*p.mass*p.mass
}

// checkClose compares values of what is the same problem in exact arithmetic.
func (p randomProblem) checkClose(t *rapid.T, name string, a, b *losses.Result) {
	t.Helper()
	checkMeet(t, name, a, b)
	if diff := math.Abs(a.Value - b.Value); !(diff <= p.slack()) {
		t.Errorf("%s: %v and %v differ by %.3g, want at most %.3g", name, a.Value, b.Value, diff, p.slack())
	}
}

// checkGradient compares gradients, those in points relative to the mass and the longest way across the clouds, those in weights to costs and ε. A marginal
// error moves them by itself over the slowest rate, 1e-10 over some 1e-5 at these temperatures; a constant added to a potential, which with ρ is all that
// sets the gradient in weights apart, by itself times ρ. What it may be at a point grows as the point's weight falls.
func (p randomProblem) checkGradient(t *rapid.T, name string, m *losses.Measure, got, want losses.Array) {
	t.Helper()
	size := p.spread + *p.loss.Epsilon
	if p.loss.Rho != nil {
		size += 1e-4 * *p.loss.Rho
	}
	if len(got.Shape) == 2 {
		size = p.mass
		if p.loss.Cost != losses.Euclidean {
			size *= 2 * math.Sqrt(p.spread)
		}
	}
	for i := range got.Len() {
		diff := math.Abs(got.At(i) - want.At(i))
		if len(got.Shape) == 1 && m.Weights != nil {
			diff *= min(1, m.Weights.At(i)/p.mass*float64(got.Len()))
		}
		if !(diff <= 1e-5*size) {
			t.Errorf("%s[%d]: got %v, want %v, which is %.3g of %.3g", name, i, got.At(i), want.At(i), diff/size, size)
			return
		}
	}
}

// checkZero looks at S(a,a), which is least there.
func (p randomProblem) checkZero(t *rapid.T, result *losses.Result) {
	t.Helper()
	o := result.Terms[0].Outcomes[0]
	if !(math.Abs(o.Value) <= p.slack()) {
		t.Errorf("S(a,a) is %v, want 0 to %.3g", o.Value, p.slack())
	}
	if o.Interval != nil && (o.Interval.Lower > 0 || o.Interval.Upper < 0) {
		t.Errorf("S(a,a) is 0, not in %v", *o.Interval)
	}
	for ref, g := range result.Gradients {
		p.checkGradient(t, "S(a,a): "+ref.Input+"."+ref.Field, p.x, g, losses.NewArray(make([]float64, g.Len()), g.Shape...))
	}
}
