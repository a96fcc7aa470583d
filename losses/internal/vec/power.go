package vec

import "math"

// ExpRow writes dst_j = 2^(h_j - c_j scale + shift), within 2 ulps of the power of the exponent as rounded: 0 for an exponent of -Inf, NaN for NaN. Below
// the smallest normal number the result may be 0. The lengths are equal and a multiple of [Pad].
func ExpRow[T Float](dst, c, h []T, scale, shift T) {
	checkLengths(len(dst), len(c), len(h))
	active[T]().expRow(dst, c, h, scale, shift)
}

func genericExpRow[T Float](dst, c, h []T, scale, shift T) {
	for j := range dst {
		dst[j] = exp2(h[j] - c[j]*scale + shift)
	}
}

// ExpRowNarrow writes dst_j = 2^(h_j - c_j scale + shift), with the exponent in binary64 and only its distance from the integer below narrowed: within
// 3e-7 of the power of the exponent as rounded in binary64, relative. It is 0 where floor(exponent) is below that of the smallest normal float32, 2^-126,
// +Inf above the largest, NaN for NaN. The lengths are equal and a multiple of [Pad].
func ExpRowNarrow(dst []float32, c, h []float64, scale, shift float64) {
	checkLengths(len(dst), len(c), len(h))
	chosen.f32.expRowNarrow(dst, c, h, scale, shift)
}

func genericExpRowNarrow(dst []float32, c, h []float64, scale, shift float64) {
	for j := range dst {
		dst[j] = 0
		if t := h[j] - c[j]*scale + shift; !(t < -126) {
			dst[j] = float32(math.Exp2(t))
		}
	}
}

func exp2[T Float](t T) T { return T(math.Exp2(float64(t))) }

// LogRow writes the natural logarithms of x, within 2 ulps: -Inf for 0, NaN for a negative number or NaN. The lengths are equal and a multiple of [Pad].
func LogRow(dst, x []float64) {
	checkLengths(len(dst), len(x))
	chosen.f64.logRow(dst, x)
}

func genericLogRow(dst, x []float64) {
	for j, v := range x {
		dst[j] = ln(v)
	}
}

// ln scales a subnormal number up first: on amd64 math.Log takes all of them for one and the same.
func ln(v float64) float64 {
	if v > 0 && v < 0x1p-1022 {
		return math.Log(v*0x1p54) - 54*math.Ln2
	}
	return math.Log(v)
}
