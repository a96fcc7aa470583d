//go:build !purego

package vec

import "testing"

// The limit of the arithmetic: fused multiply-adds on registers and nothing else.
func BenchmarkPeak(b *testing.B) {
	const rounds, vectors = 1000, 12
	for _, i := range implementations() {
		peak64, peak32, bytes := peakF64AVX512, peakF32AVX512, 64
		switch i.name {
		case "generic":
			continue
		case "avx2":
			peak64, peak32, bytes = peakF64AVX2, peakF32AVX2, 32
		}
		b.Run(i.name+"/f64", func(b *testing.B) {
			for b.Loop() {
				peak64(rounds)
			}
			perSecond(b, rounds*vectors*2*bytes/8, "Gflop/s")
		})
		b.Run(i.name+"/f32", func(b *testing.B) {
			for b.Loop() {
				peak32(rounds)
			}
			perSecond(b, rounds*vectors*2*bytes/4, "Gflop/s")
		})
	}
}
