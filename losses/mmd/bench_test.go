package mmd

import (
	"fmt"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// Value and gradients in both clouds.
func BenchmarkDiscrepancy(b *testing.B) {
	for _, shape := range [][2]int{{64, 8}, {1024, 2}, {1024, 32}, {4096, 32}, {1024, 512}} {
		n, d := shape[0], shape[1]
		r := losstest.Random(1)
		x, y := &losses.Measure{Points: losstest.Normal(r, n, d, 0.7, 0.2)}, &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0)}
		inputs := losses.Inputs{"source": x, "target": y}
		terms := []losses.Loss{Stein{Source: "source", Kernel: IMQ}}
		names := []string{"stein"}
		for _, k := range kernels {
			terms, names = append(terms, discrepancy(k, 1, U)), append(names, k.String())
		}
		for i, loss := range terms {
			b.Run(fmt.Sprintf("%s/N=%d/D=%d", names[i], n, d), func(b *testing.B) {
				in, gradients := inputs, []string{"source.points", "target.points"}
				if i == 0 {
					in, gradients = losses.Inputs{"source": inputs["source"]}, gradients[:1]
				}
				o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Gradients: gradients}
				for b.Loop() {
					e, err := o.Bind(in, 0)
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
