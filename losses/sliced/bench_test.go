package sliced_test

import (
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// BenchmarkSliced is 200 directions of clouds of 1,024 points of dimension 32, with the gradient in the source.
func BenchmarkSliced(b *testing.B) {
	r := losstest.Random(1)
	in := losses.Inputs{"x": &losses.Measure{Points: losstest.Normal(r, 1024, 32, 1, 0)}, "y": &losses.Measure{Points: losstest.Normal(r, 1024, 32, 0.7, 0.3)}}
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: along(2, 200)}}, Gradients: []string{"x.points"}}.Bind(in, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Evaluate(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
