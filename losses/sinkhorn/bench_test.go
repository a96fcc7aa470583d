package sinkhorn_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"kantor/losses"
	"kantor/losses/sinkhorn"
)

// singles is N(0,I) scaled and shifted, in binary32.
func singles(seed uint64, n, d int, scale, shift float64) *losses.Measure {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n*d)
	for i := range x {
		x[i] = float32(scale*r.NormFloat64() + shift)
	}
	return &losses.Measure{Points: losses.Array{Shape: []int{n, d}, F32: x}}
}

// The profile at SamplesLoss's defaults, with the gradient in the source's points.
func BenchmarkGeomLoss(b *testing.B) {
	for _, d := range []int{2, 32} {
		for _, n := range []int{64, 256, 1024, 4096} {
			for _, without := range []bool{true, false} {
				b.Run(fmt.Sprintf("N=%d/D=%d/interval=%v", n, d, !without), func(b *testing.B) {
					in := losses.Inputs{"x": singles(1, n, d, 0.7, 0.2), "y": singles(2, n, d, 1, 0)}
					loss := sinkhorn.Divergence{Source: "x", Target: "y", Profile: sinkhorn.GeomLoss, WithoutInterval: without}
					benchmark(b, loss, in)
				})
			}
		}
	}
}

// What the self terms cost, at the default temperature and with the gradient in the source's points.
func BenchmarkDebias(b *testing.B) {
	for _, d := range []int{8, 64} {
		for _, n := range []int{128, 512, 2048} {
			for name, debias := range map[string]sinkhorn.Debias{"none": sinkhorn.None, "self": sinkhorn.Self, "split": sinkhorn.Split} {
				b.Run(fmt.Sprintf("N=%d/D=%d/%s", n, d, name), func(b *testing.B) {
					loss := sinkhorn.Divergence{Source: "x", Target: "y", Debias: debias, WithoutInterval: true}
					benchmark(b, loss, losses.Inputs{"x": singles(1, n, d, 0.7, 0.2), "y": singles(2, n, d, 1, 0)})
				})
			}
		}
	}
}

// benchmark evaluates with the gradient in the source's points.
func benchmark(b *testing.B, loss losses.Loss, in losses.Inputs) {
	objective := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Gradients: []string{"x.points"}}
	b.ReportAllocs()
	for b.Loop() {
		e, err := objective.Bind(in, 0)
		if err == nil {
			_, err = e.Evaluate(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
