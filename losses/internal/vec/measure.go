package vec

// Peak does rounds of independent fused multiply-adds in binary32 on registers and nothing else, with the named implementation, and returns how many
// operations that were: the limit that kernels are held against. ok is false where this CPU has no such implementation.
func Peak(name string, rounds int) (operations int, ok bool) {
	for _, i := range implementations() {
		if i.name == name {
			i.f32.peak(rounds)
			return rounds * i.f32.peakOperations, true
		}
	}
	return 0, false
}

// Names are the implementations that this CPU can run, the fastest first.
func Names() []string {
	var names []string
	for _, i := range implementations() {
		names = append(names, i.name)
	}
	return names
}

// LogSumProductsOf is [LogSumProducts] in binary32 with the named implementation, which has to be one of [Names].
func LogSumProductsOf(name string, scratch *Scratch[float32], max, sum, x []float32, d int, y, h []float32) {
	i := choose(name, implementations())
	logSumProducts(&i.f32, scratch, max, sum, x, d, y, h)
}

// genericPeak is a product and a sum in each of four chains, which a compiler may fuse.
func genericPeak[T Float](rounds int) T {
	var a0, a1, a2, a3 T
	half := T(rounds) / (2*T(rounds) + 1)
	for range rounds {
		a0, a1, a2, a3 = a0*half+half, a1*half+half, a2*half+half, a3*half+half
	}
	return a0 + a1 + a2 + a3
}
