package vec

import "fmt"

// Poles writes value_j = Σ_s residues_s/(x_j scale + at_s), and slope_j, the same with squares in place of the denominators, which is its derivative in
// x_j scale but for the sign. There are as many residues as places, and value, slope and x have the same length, a multiple of [Pad]; value or slope may be x. Of
// positive numbers each is right to a few roundings and one a pole. A denominator of 0 gives ±Inf, and what is divided further NaN.
func Poles[T Float](value, slope, x []T, scale T, residues, at []T) {
	checkLengths(len(value), len(slope), len(x))
	if len(residues) != len(at) {
		panic(fmt.Sprintf("vec: %d residues and %d poles", len(residues), len(at)))
	}
	if len(at) == 0 {
		clear(value)
		clear(slope)
		return
	}
	active[T]().poles(value, slope, x, scale, residues, at)
}

func genericPoles[T Float](value, slope, x []T, scale T, residues, at []T) {
	for j, v := range x {
		var sum, squares T
		for s, place := range at {
			r := 1 / (v*scale + place)
			part := residues[s] * r
			sum += part
			squares += part * r
		}
		value[j], slope[j] = sum, squares
	}
}
