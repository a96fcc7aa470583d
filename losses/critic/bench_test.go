package critic_test

import (
	"fmt"
	"testing"

	"kantor/losses/internal/losstest"
)

// A call as a training loop makes it: 64 cones of each function, batches of 256, gradients in the source and one step.
func BenchmarkCall(b *testing.B) {
	for _, d := range []int{2, 16, 128} {
		b.Run(fmt.Sprintf("D=%d", d), func(b *testing.B) {
			in := moved(d, 1).batch(losstest.Random(1), 256)
			_, state := call(b, loss(nil), in, nil)
			for b.Loop() {
				call(b, loss(nil), in, state, "source.points")
			}
		})
	}
}
