package sinkhorn_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/sinkhorn"
)

// scaleGradients are the derivatives in s of the loss between s·g, g a batch of n points from N(0, diag(variances)), and another such batch of m points, for
// each of count seeds: the mean over a pair of batches and the same exchanged, in which what they differ by in their own scales cancels.
func scaleGradients(t *testing.T, d sinkhorn.Divergence, variances []float64, n, m int, s float64, count int) []float64 {
	t.Helper()
	out := make([]float64, count)
	for seed := range out {
		r := losstest.Random(uint64(seed))
		g, y := gaussians(r, variances, max(n, m)), gaussians(r, variances, max(n, m))
		out[seed] = (scaleGradient(t, d, rows(g, n), rows(y, m), s) + scaleGradient(t, d, rows(y, n), rows(g, m), s)) / 2
	}
	return out
}

// rows are the first n of a.
func rows(a losses.Array, n int) losses.Array {
	return losses.NewArray(a.F64[:n*a.Shape[1]], n, a.Shape[1])
}

// gaussians are n points from N(0, diag(variances)).
func gaussians(r *rand.Rand, variances []float64, n int) losses.Array {
	x := losstest.Normal(r, n, len(variances), 1, 0)
	for i := range x.F64 {
		x.F64[i] *= math.Sqrt(variances[i%len(variances)])
	}
	return x
}

// scaleGradient is the derivative in s of the loss between s·g and y.
func scaleGradient(t *testing.T, d sinkhorn.Divergence, g, y losses.Array, s float64) (total float64) {
	t.Helper()
	x := losses.NewArray(make([]float64, g.Len()), g.Shape...)
	for i, v := range g.F64 {
		x.F64[i] = s * v
	}
	in := losses.Inputs{"x": &losses.Measure{Points: x}, "y": &losses.Measure{Points: y}}
	for i, v := range losstest.Evaluate(t, d, in, "x.points").Gradients[losses.Ref{Input: "x", Field: "points"}].F64 {
		total += v * g.F64[i]
	}
	return total
}

// meanOf returns the mean and its standard error.
func meanOf(values []float64) (mean, standardError float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		standardError += (v - mean) * (v - mean) / (n - 1)
	}
	return mean, math.Sqrt(standardError / n)
}

// bestScale is the scale s at which the mean derivative is 0, as it is at the least of the expected loss, and its standard error; it starts from a guess. At
// s = 0 the derivative vanishes by symmetry, so that divided by s is what a line is drawn through.
func bestScale(t *testing.T, d sinkhorn.Divergence, variances []float64, n, m, count int, guess float64) (s, standardError float64) {
	t.Helper()
	s = guess
	for range 8 {
		lo, hi := 0.98*s, 1.02*s
		a, b := scaleGradients(t, d, variances, n, m, lo, count), scaleGradients(t, d, variances, n, m, hi, count)
		ga, ea := meanOf(a)
		gb, eb := meanOf(b)
		slope := (gb/hi - ga/lo) / (hi - lo)
		if slope <= 0 {
			return math.NaN(), 0 // no least there
		}
		root := s - (ga/lo+gb/hi)/2/slope
		standardError = (ea/lo + eb/hi) / 2 / slope
		near := math.Abs(root-s) < 0.04*s
		s = min(max(root, 0.6*s), 1.5*s)
		if near {
			break
		}
	}
	return s, standardError
}

func isotropic(d int) []float64 {
	v := make([]float64, d)
	for i := range v {
		v[i] = 1
	}
	return v
}

// TestExpectedSplitLossIsLeastAtTheTruth holds what split batches are for: the expected loss between s·g and another batch of the same distribution is least at
// s = 1, where with self terms it is at the scale that a table computed elsewhere has: N = 128, ε = .1 D. Unbalanced too, of equal masses.
func TestExpectedSplitLossIsLeastAtTheTruth(t *testing.T) {
	const n = 128
	for _, tt := range []struct {
		dim  int
		self float64 // ± .02
	}{{2, 0.95}, {8, 0.77}, {16, 0.67}, {64, 0.52}} {
		d := divergence(func(d *sinkhorn.Divergence) {
			d.Epsilon, d.WithoutInterval = losstest.Ptr(0.1*float64(tt.dim)), true
		})
		s, e := bestScale(t, d, isotropic(tt.dim), n, n, 5, tt.self)
		if !(math.Abs(s-tt.self) <= 0.02+3*e) || tt.dim > 2 && !(s+3*e < 0.9) {
			t.Errorf("D=%d with self terms: %.4f ± %.4f, want %v", tt.dim, s, e, tt.self)
		}
		t.Logf("D=%d, self: %.4f ± %.4f", tt.dim, s, e)
		splitting(&d)
		for name, rho := range map[string]*float64{"balanced": nil, "unbalanced": losstest.Ptr(float64(tt.dim))} {
			if d.Rho = rho; rho != nil && tt.dim != 8 {
				continue
			}
			// Three standard errors are at most .02, so that .98 to 1.02 is what a pass shows.
			if s, e := bestScale(t, d, isotropic(tt.dim), n, n, 16, 1); !(math.Abs(s-1) <= 3*e) || 3*e > 0.02 {
				t.Errorf("D=%d, split, %s: %.4f ± %.4f, want 1 and an error of at most .0067", tt.dim, name, s, e)
			} else {
				t.Logf("D=%d, split, %s: %.4f ± %.4f", tt.dim, name, s, e)
			}
		}
	}
}

// Its second batches are worth twice the data: the same, with half the noise in s or less.
func TestExpectedSplitLossOfSecondBatches(t *testing.T) {
	const n, dim = 64, 8
	values := make([][]float64, 2)
	for i, s := range []float64{0.95, 1.05} {
		for seed := range uint64(24) {
			r := losstest.Random(seed)
			g, g2, y, y2 := gaussians(r, isotropic(dim), n), gaussians(r, isotropic(dim), n), gaussians(r, isotropic(dim), n), gaussians(r, isotropic(dim), n)
			both := func(g, g2, y, y2 losses.Array) (total float64) {
				in := losses.Inputs{"y": &losses.Measure{Points: y}, "y2": &losses.Measure{Points: y2}}
				for name, a := range map[string]losses.Array{"x": g, "x2": g2} {
					x := losses.NewArray(make([]float64, n*dim), n, dim)
					for i, v := range a.F64 {
						x.F64[i] = s * v
					}
					in[name] = &losses.Measure{Points: x}
				}
				d := divergence(joining)
				d.Epsilon, d.WithoutInterval = losstest.Ptr(0.8), true
				gradients := losstest.Evaluate(t, d, in, "x.points", "x2.points").Gradients
				for i, v := range g.F64 {
					total += v*gradients[losses.Ref{Input: "x", Field: "points"}].F64[i] + g2.F64[i]*gradients[losses.Ref{Input: "x2", Field: "points"}].F64[i]
				}
				return total
			}
			values[i] = append(values[i], (both(g, g2, y, y2)+both(y, y2, g, g2))/2)
		}
	}
	lo, e := meanOf(values[0])
	hi, _ := meanOf(values[1])
	slope := (hi - lo) / 0.1
	if s, e := 1-(lo+hi)/2/slope, e/slope; !(math.Abs(s-1) <= 3*e) || 3*e > 0.03 {
		t.Errorf("%.4f ± %.4f, want 1", s, e)
	}
}

var shrinkTable = flag.Bool("shrink", false, "compute the whole table of the shrink law, for some minutes, and print it")

// TestShrinkTable holds entries of the table against what is computed here; with -shrink all of them, which are printed in the form of the table:
//
//	go test -run ShrinkTable -shrink -v -timeout 1h ./losses/sinkhorn
func TestShrinkTable(t *testing.T) {
	for n, points := range sinkhorn.ShrinkPoints {
		for i, dim := range sinkhorn.ShrinkDimensions {
			if short := points == 64 && (dim == 4 || dim == 32); short || *shrinkTable {
				t.Run(fmt.Sprintf("N=%v/D=%v", points, dim), func(t *testing.T) { checkShrinkRow(t, int(points), int(dim), sinkhorn.ShrinkTable[n][i][:]) })
			}
		}
	}
}

// checkShrinkRow holds a row of the table against what is computed here.
func checkShrinkRow(t *testing.T, points, dim int, row []float64) {
	var line []string
	for k, part := range sinkhorn.ShrinkParts {
		count := max(2, 2048/points)
		if !*shrinkTable {
			if count = 12; part != 0.05 && part != 0.5 {
				continue
			}
		}
		d := divergence(func(d *sinkhorn.Divergence) {
			d.Epsilon, d.Tolerance, d.WithoutInterval = losstest.Ptr(part*float64(dim)), losstest.Ptr(1e-4), true
		})
		s, e := bestScale(t, d, isotropic(dim), points, points, count, max(row[k], 0.1))
		line = append(line, fmt.Sprintf("%.2f", min(1, s)))
		// The table is rounded, and what a line through two scales misses moves with where they are. Where there is no least, Monte Carlo finds none.
		if math.Abs(s-row[k]) > 0.01+4*e && row[k] > 0 {
			t.Errorf("ε = %v tr: %.3f ± %.3f, in the table %v", part, s, e, row[k])
		}
	}
	t.Logf("{%s},", strings.Join(line, ", "))
}

// The law holds for spectra that are not flat, in the effective dimension, for other shapes, and for a target of another size: it is the source's that counts.
// Spectra with long tails shrink by a few hundredths more than it says, so that the warning errs on the side of silence.
func TestShrinkLaw(t *testing.T) {
	spectrum := func(d int, of func(k float64) float64) []float64 {
		v := make([]float64, d)
		for k := range v {
			v[k] = of(float64(k))
		}
		return v
	}
	for name, tt := range map[string]struct {
		variances []float64
		n, m      int
	}{
		"D=3":                       {isotropic(3), 128, 128},
		"D=24":                      {isotropic(24), 128, 128},
		"D=8, a larger target":      {isotropic(8), 128, 512},
		"D=8, a smaller target":     {isotropic(8), 256, 128},
		"8 axes and noise in 56":    {spectrum(64, func(k float64) float64 { return map[bool]float64{true: 1, false: 0.01}[k < 8] }), 128, 128},
		"exponential":               {spectrum(64, func(k float64) float64 { return math.Exp(-k / 4) }), 128, 128},
		"1/k":                       {spectrum(64, func(k float64) float64 { return 1 / (k + 1) }), 128, 128},
		"1/k², of three or so":      {spectrum(64, func(k float64) float64 { return 1 / (k + 1) / (k + 1) }), 128, 128},
		"1/√k, of about forty-five": {spectrum(64, func(k float64) float64 { return 1 / math.Sqrt(k+1) }), 128, 128},
	} {
		trace, squares := 0.0, 0.0
		for _, v := range tt.variances {
			trace += v
			squares += v * v
		}
		dimension := trace * trace / squares
		law := sinkhorn.Shrunk(dimension, float64(tt.n), 0.1)
		d := divergence(func(d *sinkhorn.Divergence) { d.Epsilon, d.WithoutInterval = losstest.Ptr(0.1*trace), true })
		s, e := bestScale(t, d, tt.variances, tt.n, tt.m, 4, law)
		if diff := law - s; diff < -0.02-3*e || diff > 0.06+3*e {
			t.Errorf("%s: %.3f ± %.3f, by the law %.3f", name, s, e, law)
		}
		// And what a batch tells of its own spread: the trace to the noise of N·D numbers, the dimension to that of pairs.
		batch := gaussians(losstest.Random(5), tt.variances, tt.n)
		cloud := &losses.Cloud{N: tt.n, D: len(tt.variances), X: batch.F64, W: slices.Repeat([]float64{1 / float64(tt.n)}, tt.n), Mass: 1}
		if gotTrace, got := sinkhorn.Shape(cloud); math.Abs(gotTrace/trace-1) > 0.25 || math.Abs(math.Log(got/dimension)) > 0.4 {
			t.Errorf("%s: trace %.3g and dimension %.3g, want %.3g and %.3g", name, gotTrace, got, trace, dimension)
		}
	}
}

// warned are the codes of a term's warnings, and the text of the first.
func warned(t *testing.T, d sinkhorn.Divergence, in losses.Inputs, gradients ...string) (codes []string, text string) {
	t.Helper()
	for _, w := range losstest.Evaluate(t, d, in, gradients...).Terms[0].Warnings {
		codes, text = append(codes, w.Code), text+w.Message
	}
	return codes, text
}

func TestAdvice(t *testing.T) {
	r := losstest.Random(70)
	normal := func(n, d int, scale float64) *losses.Measure {
		return &losses.Measure{Points: losstest.Normal(r, n, d, scale, 0)}
	}
	few, many := losses.Inputs{"x": normal(128, 16, 1), "y": normal(128, 16, 1)}, losses.Inputs{"x": normal(256, 2, 1), "y": normal(256, 2, 1)}
	prior := losses.Inputs{"x": few["x"], "y": &losses.Prior{Family: losses.StandardNormal{}}}
	wide := losses.Inputs{"x": normal(16, 256, 0.25), "y": normal(16, 256, 0.25)} // 1.5 is a tenth of the trace, all but a little
	toy := losses.Inputs{"x": normal(8, 16, 1), "y": normal(8, 16, 1)}
	set := func(change func(d *sinkhorn.Divergence)) sinkhorn.Divergence { return divergence(change) }
	for name, tt := range map[string]struct {
		d        sinkhorn.Divergence
		in       losses.Inputs
		gradient string
		want     []string
		says     string
	}{
		"few points in many dimensions":   {set(nil), few, "x.points", []string{losses.SelfShrinks}, "take debias split"},
		"against a prior":                 {set(nil), prior, "x.points", []string{losses.SelfShrinks}, "batches of 128 points is least where the source is about 0.6"},
		"the target is trained":           {set(nil), losses.Inputs{"y": few["x"], "x": prior["y"]}, "y.points", []string{losses.SelfShrinks}, "about 0.6"},
		"squared cost":                    {set(func(d *sinkhorn.Divergence) { d.Cost = losses.SquaredEuclidean }), few, "x.points", []string{losses.SelfShrinks}, "about 0.6"},
		"without a gradient":              {set(nil), few, "", nil, ""},
		"in the weights":                  {set(nil), few, "x.weights", nil, ""},
		"split":                           {set(splitting), few, "x.points", nil, ""},
		"without self terms":              {set(func(d *sinkhorn.Divergence) { d.Debias = sinkhorn.None }), few, "x.points", nil, ""},
		"many points in few dimensions":   {set(nil), many, "x.points", nil, ""},
		"distances":                       {set(func(d *sinkhorn.Divergence) { d.Cost = losses.Euclidean }), few, "x.points", nil, ""},
		"unbalanced":                      {set(func(d *sinkhorn.Divergence) { d.Reach = losstest.Ptr(5) }), few, "x.points", nil, ""},
		"the GeomLoss profile":            {set(func(d *sinkhorn.Divergence) { d.Profile, d.Tolerance = sinkhorn.GeomLoss, losstest.Ptr(3) }), few, "x.points", nil, ""},
		"batches that collapse":           {set(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(1.5) }), wide, "x.points", []string{losses.SelfShrinks}, "less than 0.1 times as wide"},
		"a toy":                           {set(nil), toy, "x.points", nil, ""},
		"one place":                       {set(nil), losses.Inputs{"x": few["x"], "y": losstest.Cloud(make([]float64, 16))}, "x.points", nil, ""},
		"a large blur":                    {set(func(d *sinkhorn.Divergence) { d.Blur = losstest.Ptr(2) }), many, "x.points", []string{losses.BlurLarge}, "0.1"},
		"a large blur of split":           {set(func(d *sinkhorn.Divergence) { d.Blur = losstest.Ptr(2); splitting(d) }), many, "x.points", []string{losses.BlurLarge}, "0.1"},
		"a large blur without a gradient": {set(func(d *sinkhorn.Divergence) { d.Blur = losstest.Ptr(2) }), many, "", nil, ""},
		"a small blur":                    {set(func(d *sinkhorn.Divergence) { d.Blur = losstest.Ptr(0.9) }), many, "x.points", nil, ""},
		"the default given, split":        {set(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(1.4); splitting(d) }), few, "x.points", nil, ""},
		"its large blur of the squared": {set(func(d *sinkhorn.Divergence) { d.Epsilon, d.Cost = losstest.Ptr(1.8), losses.SquaredEuclidean }), many, "x.points",
			nil, ""}, // 1.8 for |x-y|² is .9 for its half
	} {
		var gradients []string
		if tt.gradient != "" {
			gradients = append(gradients, tt.gradient)
		}
		if codes, text := warned(t, tt.d, tt.in, gradients...); !slices.Equal(codes, tt.want) || !strings.Contains(text, tt.says) {
			t.Errorf("%s: got %v %q, want %v …%s…", name, codes, text, tt.want, tt.says)
		}
	}
	// What else would do is said where something does, and followed says nothing more.
	middle := losses.Inputs{"x": normal(256, 4, 1), "y": normal(256, 4, 1)}
	_, text := warned(t, set(func(d *sinkhorn.Divergence) { d.Epsilon = losstest.Ptr(0.2) }), middle, "x.points")
	if !strings.Contains(text, "or batches of 1024 points, or a blur of 0.") {
		t.Errorf("%q, want a batch size and a blur", text)
	}
}
