package exact

import (
	"fmt"
	"testing"

	"kantor/losses/internal/losstest"
	"kantor/losses/internal/vec"
)

// Clouds as in docs/performance.md: x ~ .7N+.2, y ~ N(0,I), in binary32.
func BenchmarkSolve(b *testing.B) {
	for _, d := range []int{2, 16} {
		for _, n := range []int{64, 256, 1024, 4096} {
			for k, cost := range []vec.Cost{vec.Distance, vec.HalfSquared} {
				b.Run(fmt.Sprintf("N=%d/D=%d/p=%d", n, d, k+1), func(b *testing.B) {
					r := losstest.Random(uint64(n + d))
					x, y := normal(r, n, d, 0.7, 0.2), normal(r, n, d, 1, 0)
					for i := range x {
						x[i], y[i] = float64(float32(x[i])), float64(float32(y[i]))
					}
					p := Problem{Cost: cost, A: cloud(x, d, nil), B: cloud(y, d, nil)}
					var s *Solution
					for b.Loop() {
						var err error
						if s, err = Solve(b.Context(), p); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(s.Pivots), "pivots")
					b.ReportMetric(float64(s.Rounds), "rounds")
				})
			}
		}
	}
}
