package mmd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/internal/parallel"
)

func permuted(kernel Kernel, blur float64, count int) Permutation {
	p := Permutation{Source: "source", Target: "target", Kernel: kernel, Permutations: count}
	if kernel != Energy {
		p.Blur = &blur
	}
	return p
}

// tested is the p-value and the statistic.
func tested(t *testing.T, p Permutation, inputs losses.Inputs, seed uint64) (value float64, statistic []float64) {
	t.Helper()
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: p}}, Extras: []string{"permutation_test.statistic"}}.Bind(inputs, seed)
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.Value, r.Terms[0].Extras["statistic"].(*losses.Array).F64
}

func samples(seed uint64, n, m, d int, shift float64) losses.Inputs {
	r := losstest.Random(seed)
	return losses.Inputs{"source": &losses.Measure{Points: losstest.Normal(r, n, d, 1, shift)}, "target": &losses.Measure{Points: losstest.Normal(r, m, d, 1, 0)}}
}

// The statistic is the value of the loss between the samples, for sizes beside the multiples that kernels take.
func TestPermutationStatisticIsTheDiscrepancy(t *testing.T) {
	for seed := range uint64(40) {
		r := losstest.Random(seed)
		inputs := samples(seed, 2+r.IntN(60), 2+r.IntN(60), 1+r.IntN(6), 0.3)
		for _, kernel := range kernels {
			_, got := tested(t, permuted(kernel, 0.7, 3), inputs, 0)
			want := losstest.Outcome(t, discrepancy(kernel, 0.7, U), inputs).Value
			if len(got) != 1 || math.Abs(got[0]-want) > 1e-12 {
				t.Errorf("seed %d, %v: statistic %v, want %v", seed, kernel, got, want)
			}
		}
	}
}

// enumerated is the share of all splits into these sizes that are at least as far apart as the one that is given.
func enumerated(inputs losses.Inputs, kernel Kernel) float64 {
	x, y := inputs["source"].(*losses.Measure).Points, inputs["target"].(*losses.Measure).Points
	all, d, n := slices.Concat(x.F64, y.F64), x.Shape[1], x.Shape[0]
	points := len(all) / d
	as, count, given := 0.0, 0.0, math.NaN()
	for set := range 1 << points { // the set of the first n comes before any other of its size
		if bits.OnesCount(uint(set)) != n {
			continue
		}
		var a, b []float64
		for i := range points {
			if set>>i&1 == 1 {
				a = append(a, all[i*d:(i+1)*d]...)
			} else {
				b = append(b, all[i*d:(i+1)*d]...)
			}
		}
		ma, mb := &losses.Measure{Points: losses.NewArray(a, n, d)}, &losses.Measure{Points: losses.NewArray(b, points-n, d)}
		v := brute(ma, mb, kernel, 0.7, U)
		if math.IsNaN(given) {
			given = v
		}
		if count++; v >= given-1e-12 {
			as++
		}
	}
	return as / count
}

// With many random splits p comes near the share of all splits, of samples so small that those can be counted.
func TestPermutationsApproachAllSplits(t *testing.T) {
	const count = 1 << 14
	for seed := range uint64(12) {
		inputs := samples(seed, 2+int(seed%4), 3+int(seed%3), 2, 0.8)
		for _, kernel := range []Kernel{Energy, Gaussian} {
			want := enumerated(inputs, kernel)
			got, _ := tested(t, permuted(kernel, 0.7, count), inputs, seed)
			if se := math.Sqrt(want * (1 - want) / count); math.Abs(got-want) > 5*se+1./count {
				t.Errorf("seed %d, %v: p %v, of all splits %v", seed, kernel, got, want)
			}
		}
	}
}

// Of two samples of one distribution p is uniform; of shifted ones it is as small as it can be.
func TestPermutationPIsUniformUnderTheNull(t *testing.T) {
	var ps []float64
	const seeds, count = 200, 99
	for seed := range uint64(seeds) {
		p, _ := tested(t, permuted(Kernel(seed%4), 1, count), samples(seed, 20, 30, 2, 0), seed)
		ps = append(ps, p)
	}
	slices.Sort(ps)
	for i, p := range ps {
		// Kolmogorov's distance is below 1.63/√n with a probability of .99, beside the step of p.
		if off := math.Abs(p - (float64(i)+0.5)/seeds); off > 1.63/math.Sqrt(seeds)+1./(count+1) {
			t.Errorf("quantile %d of %d is %v", i, seeds, p)
		}
	}
	for _, kernel := range kernels {
		if p, _ := tested(t, Permutation{Source: "source", Target: "target", Kernel: kernel}, samples(1, 60, 50, 2, 1.5), 1); p != 1./1000 {
			t.Errorf("%v: shifted samples have p = %v, want 1/1000", kernel, p)
		}
	}
	// All in one place no split is further apart than another.
	same := losses.Inputs{"source": losstest.Cloud([]float64{1}, []float64{1}), "target": losstest.Cloud([]float64{1}, []float64{1})}
	if p, _ := tested(t, permuted(Energy, 0, 50), same, 0); p != 1 {
		t.Errorf("p of equal points is %v", p)
	}
}

// Without a blur the test does not know source from target: swapped samples have the same statistic.
func TestPermutationDefaultBlurIsOfAllPoints(t *testing.T) {
	inputs := samples(3, 9, 14, 3, 2)
	swapped := losses.Inputs{"source": inputs["target"], "target": inputs["source"]}
	for _, kernel := range kernels {
		p := Permutation{Source: "source", Target: "target", Kernel: kernel, Permutations: 9}
		_, a := tested(t, p, inputs, 0)
		_, b := tested(t, p, swapped, 0)
		if math.Abs(a[0]-b[0]) > 1e-12 {
			t.Errorf("%v: %v, swapped %v", kernel, a, b)
		}
	}
}

// A problem of a batch is what it is alone, and a prior is sampled.
func TestPermutationsOfABatch(t *testing.T) {
	a, b := samples(1, 8, 8, 2, 0), samples(2, 8, 8, 2, 1)
	batch := losses.Inputs{"target": &losses.Prior{Family: losses.StandardNormal{}}}
	x := slices.Concat(a["source"].(*losses.Measure).Points.F64, b["source"].(*losses.Measure).Points.F64)
	batch["source"] = &losses.Measure{Points: losses.NewArray(x, 2, 8, 2)}
	r := losstest.Evaluate(t, permuted(Energy, 0, 99), batch)
	for i, in := range []losses.Inputs{a, b} {
		alone := losstest.Outcome(t, permuted(Energy, 0, 99), losses.Inputs{"source": in["source"], "target": batch["target"]})
		if got := r.Terms[0].Outcomes[i].Value; got != alone.Value {
			t.Errorf("problem %d: p %v, alone %v", i, got, alone.Value)
		}
	}
}

func TestPermutationRefusals(t *testing.T) {
	good := samples(1, 4, 4, 2, 0)
	weighted := losses.Inputs{"source": losstest.Weighted([]float64{1, 2}, []float64{0.5, 0.5}), "target": losstest.Cloud([]float64{1}, []float64{2})}
	for name, c := range map[string]struct {
		loss   Permutation
		inputs losses.Inputs
		field  string
	}{
		"weights":           {permuted(Energy, 0, 9), weighted, "source"},
		"weights of target": {permuted(Energy, 0, 9), losses.Inputs{"source": weighted["target"], "target": weighted["source"]}, "target"},
		"one point":         {permuted(Energy, 0, 9), losses.Inputs{"source": losstest.Cloud([]float64{1, 2}), "target": good["target"]}, "source"},
		"negative":          {permuted(Energy, 0, -1), good, "permutations"},
		"too many":          {permuted(Energy, 0, 1<<21), good, "permutations"},
		"overflow":          {permuted(Energy, 0, math.MaxInt32), good, "permutations"},
		"blur":              {permuted(Gaussian, 0, 9), good, "blur"},
		"dimension":         {permuted(Energy, 0, 9), losses.Inputs{"source": good["source"], "target": weighted["target"]}, "target"},
	} {
		_, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: c.loss}}}.Bind(c.inputs, 0)
		var bad *losses.InputError
		if !errors.As(err, &bad) || bad.Field != fmt.Sprintf("objective.terms[0].permutation_test.%s", c.field) {
			t.Errorf("%s: got %v, want an error of %s", name, err, c.field)
		}
	}
}

// ending is a context that ends when it has been looked at some times.
type ending struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (e *ending) Err() error {
	if e.left.Add(-1) < 0 {
		e.cancel()
	}
	return e.Context.Err()
}

// Cancelled work stops between tiles, whether splits are drawn or pairs are summed.
func TestCancelledPermutationsStop(t *testing.T) {
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: permuted(Energy, 0, 999)}}}.Bind(samples(1, 1000, 1000, 2, 0), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, looks := range []int64{0, 1, 10, 40, 100} { // some 31 tiles are of the splits
		ctx := &ending{}
		ctx.Context, ctx.cancel = context.WithCancel(t.Context())
		ctx.left.Store(looks)
		before := parallel.Tiles()
		if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d looks: %v, want context.Canceled", looks, err)
		}
		if tiles := parallel.Tiles() - before; tiles > looks {
			t.Errorf("%d tiles were computed after %d looks", tiles, looks)
		}
	}
}
