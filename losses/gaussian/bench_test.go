package gaussian_test

import (
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// BenchmarkBures is the ways that a distance is computed, with gradients in what is learnt: rows of independent axes, rows of covariances, and points.
func BenchmarkBures(b *testing.B) {
	r := losstest.Random(1)
	for _, c := range []struct {
		name      string
		in        losses.Inputs
		gradients []string
	}{
		{"axes 4096x64", losses.Inputs{"q": randomAxes(r, 4096, 64), "p": randomAxes(r, 1, 64)}, []string{"q.mean", "q.log_variance"}},
		{"covariances 128x64", losses.Inputs{"q": randomFull(r, 128, 64, 128), "p": randomAxes(r, 1, 64)}, []string{"q.mean", "q.covariance"}},
		{"points 4096x64", losses.Inputs{"q": &losses.Measure{Points: losstest.Normal(r, 4096, 64, 1, 0)}, "p": randomAxes(r, 1, 64)}, []string{"q.points"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: between}}, Gradients: c.gradients}.Bind(c.in, 0)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := e.Evaluate(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
