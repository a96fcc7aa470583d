// Package kernelbench lends the vector kernels to whoever times them: it has no clock.
package kernelbench

import (
	"context"
	"math"
	"math/rand/v2"

	"kantor/losses"
	"kantor/losses/internal/entropic"
	"kantor/losses/internal/vec"
)

// Implementations are the instruction sets that this CPU can run, the fastest first: of avx512, avx2 and generic.
func Implementations() []string { return vec.Names() }

// Peak is work that consists of fused multiply-adds in registers, and how many floating-point operations it has. The implementation is one of
// [Implementations].
func Peak(implementation string) (run func(), operations int) {
	const rounds = 100_000
	operations, _ = vec.Peak(implementation, 1)
	return func() { vec.Peak(implementation, rounds) }, rounds * operations
}

// Softmin is a fused softmin in binary32 on one processor: the exponents of so many pairs of points in dimension d, each 2d operations, and a
// log-sum-exp over them. All that it reads stays in the second cache. At d = 0 only the exponential and its sum are left.
func Softmin(implementation string, d int) (run func(), pairs int) {
	const rows, columns = 48, 1024
	r := rand.New(rand.NewPCG(uint64(d), 1))
	fill := func(n int) []float32 {
		s := make([]float32, n)
		for i := range s {
			s[i] = float32(r.NormFloat64())
		}
		return s
	}
	x, y, h := fill(rows*d), fill(columns*d), fill(columns)
	most, sum, scratch := make([]float32, rows), make([]float32, rows), new(vec.Scratch[float32])
	return func() { vec.LogSumProductsOf(implementation, scratch, most, sum, x, d, y, h) }, rows * columns
}

// Pass is a softmin over all pairs of n points with n others in dimension d, on as many processors as there are, and with the kernels that were chosen at
// start. The error is the context's.
func Pass(n, d int) (run func(ctx context.Context) error, pairs int) {
	r := rand.New(rand.NewPCG(uint64(n), uint64(d)))
	cloud := func(scale, shift float64) *losses.Cloud {
		c := &losses.Cloud{N: n, D: d, X: make([]float64, n*d), W: make([]float64, n), Mass: 1, Single: true}
		for i := range c.X {
			c.X[i] = float64(float32(scale*r.NormFloat64() + shift))
		}
		for i := range c.W {
			c.W[i] = 1 / float64(n)
		}
		return c
	}
	return entropic.SoftminPass(cloud(0.7, 0.2), cloud(1, 0), math.Max(1, float64(d))/100), n * n
}
