package kl_test

import (
	"fmt"
	"testing"

	"kantor/losses"
	"kantor/losses/kl"
)

// BenchmarkGaussianOfIndependentAxes is what a step of a variational autoencoder asks for, as the decoder leaves it: checks, value and gradients.
func BenchmarkGaussianOfIndependentAxes(b *testing.B) {
	for _, n := range []int{256, 1024} {
		q := random(1, n, 32)
		for name, in := range map[string]losses.Inputs{"standard": {"q": q}, "rows": {"q": q, "p": random(2, n, 32)}} {
			loss, gradients := kl.Gaussian{Posterior: "q"}, []string{"q.mean", "q.log_variance"}
			if in["p"] != nil {
				loss.Prior = "p"
				gradients = append(gradients, "p.mean", "p.log_variance")
			}
			objective := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Gradients: gradients}
			b.Run(fmt.Sprintf("N=%d,D=32,%s", n, name), func(b *testing.B) {
				for b.Loop() {
					e, err := objective.Bind(in, 0)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := e.Evaluate(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
