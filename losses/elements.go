package losses

// finite reports whether no element is NaN or infinite: v-v is 0 for a finite number and NaN for any other, and a sum with a NaN in it is NaN.
func finite[T float32 | float64](values []T) bool {
	var a, b, c, d T // four chains of additions, which do not wait for each other
	for ; len(values) >= 4; values = values[4:] {
		a += values[0] - values[0]
		b += values[1] - values[1]
		c += values[2] - values[2]
		d += values[3] - values[3]
	}
	for _, v := range values {
		a += v - v
	}
	return a+b+c+d == 0
}
