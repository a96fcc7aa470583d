package sinkhorn

import (
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// The scale s of a source s·g at which the expectation over batches of S with self terms is least, for g and the target from N(0, I), fresh batches of as many
// points each, and ½|x-y|²: where every batch is matched to another, it would be 1. The test TestShrinkTable computes it.
var (
	shrinkDimensions = [...]float64{1, 2, 4, 8, 16, 32, 64, 128, 256}
	shrinkPoints     = [...]float64{16, 64, 256, 1024}
	shrinkParts      = [...]float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1} // ε over the trace of the target's covariance; .1 is the default
)

// By points, dimension and part of the trace. 0: the least is at a single point, or where Monte Carlo cannot tell it from one.
var shrinkTable = [len(shrinkPoints)][len(shrinkDimensions)][len(shrinkParts)]float64{
	{ // 16 points
		{0.87, 0.87, 0.87, 0.87, 0.87, 0.87, 0.87},
		{0.78, 0.78, 0.78, 0.79, 0.80, 0.81, 0.80},
		{0.66, 0.65, 0.66, 0.68, 0.71, 0.73, 0.71},
		{0.50, 0.50, 0.52, 0.56, 0.60, 0.61, 0.53},
		{0.37, 0.37, 0.42, 0.47, 0.50, 0.44, 0.15},
		{0.26, 0.28, 0.34, 0.37, 0.36, 0, 0},
		{0.20, 0.24, 0.28, 0.27, 0, 0, 0},
		{0.17, 0.19, 0.20, 0, 0, 0, 0},
		{0.14, 0.15, 0, 0, 0, 0, 0},
	},
	{ // 64 points
		{0.96, 0.96, 0.96, 0.96, 0.96, 0.96, 0.96},
		{0.92, 0.92, 0.93, 0.93, 0.94, 0.94, 0.95},
		{0.82, 0.82, 0.83, 0.85, 0.87, 0.90, 0.91},
		{0.66, 0.65, 0.67, 0.72, 0.78, 0.84, 0.85},
		{0.50, 0.49, 0.54, 0.61, 0.69, 0.76, 0.74},
		{0.36, 0.37, 0.45, 0.53, 0.61, 0.64, 0.56},
		{0.26, 0.30, 0.39, 0.46, 0.51, 0.45, 0},
		{0.21, 0.26, 0.33, 0.38, 0.38, 0.15, 0},
		{0.19, 0.23, 0.28, 0.28, 0, 0, 0},
	},
	{ // 256 points
		{0.99, 0.99, 0.99, 0.99, 0.99, 0.99, 0.99},
		{0.97, 0.97, 0.97, 0.98, 0.98, 0.98, 0.98},
		{0.90, 0.90, 0.92, 0.93, 0.95, 0.97, 0.97},
		{0.77, 0.76, 0.78, 0.83, 0.89, 0.94, 0.96},
		{0.60, 0.58, 0.63, 0.72, 0.81, 0.90, 0.92},
		{0.44, 0.43, 0.53, 0.64, 0.75, 0.85, 0.86},
		{0.30, 0.35, 0.47, 0.58, 0.68, 0.76, 0.74},
		{0.25, 0.31, 0.42, 0.52, 0.60, 0.64, 0.55},
		{0.22, 0.28, 0.38, 0.45, 0.51, 0.46, 0},
	},
	{ // 1024 points
		{1, 1, 1, 1, 1, 1, 1},
		{0.99, 0.99, 0.99, 0.99, 0.99, 0.99, 0.99},
		{0.95, 0.95, 0.96, 0.97, 0.98, 0.99, 0.99},
		{0.83, 0.83, 0.86, 0.91, 0.95, 0.98, 0.99},
		{0.67, 0.66, 0.71, 0.80, 0.90, 0.97, 0.98},
		{0.50, 0.49, 0.60, 0.72, 0.85, 0.95, 0.96},
		{0.35, 0.40, 0.54, 0.67, 0.81, 0.91, 0.92},
		{0.28, 0.36, 0.49, 0.62, 0.75, 0.86, 0.87},
		{0.25, 0.33, 0.46, 0.57, 0.68, 0.76, 0.74},
	},
}

// shrunk is that scale by interpolation between the table's entries, in the logarithms. Beyond it in dimension and temperature it is that of the nearest entry;
// above 1024 points what is missing to 1 goes on falling as it does from 256 to 1024.
func shrunk(dimension, points, part float64) float64 {
	d, dt := place(shrinkDimensions[:], dimension)
	e, et := place(shrinkParts[:], part)
	column := func(n int) float64 {
		row, next := shrinkTable[n][d], shrinkTable[n][d+1]
		return mix(mix(row[e], next[e], dt), mix(row[e+1], next[e+1], dt), et)
	}
	n, nt := place(shrinkPoints[:], points)
	s := mix(column(n), column(n+1), nt)
	if most := shrinkPoints[len(shrinkPoints)-1]; points > most && column(n) < s {
		return 1 - (1-s)*math.Pow((1-s)/(1-column(n)), math.Log(points/most)/math.Log(4))
	}
	return s
}

// place returns i and t such that log v is t of the way from log at[i] to log at[i+1], the ends for a v beyond them.
func place(at []float64, v float64) (i int, t float64) {
	v = min(max(v, at[0]), at[len(at)-1])
	for i < len(at)-2 && v > at[i+1] {
		i++
	}
	return i, math.Log(v/at[i]) / math.Log(at[i+1]/at[i])
}

func mix(a, b, t float64) float64 { return a + t*(b-a) }

// shape is how a cloud spreads: the trace of its covariance Σ, and the dimension (tr Σ)²/tr Σ² of an isotropic Gaussian whose spectrum has the same first two
// moments, with which the table holds for others too. Half of tr Σ is the mean cost to the mean. Tr Σ² is the mean of <x-m, x'-m>² over pairs of points
// at eight distances in the order of the batch. Of a large cloud it looks at some rows only, for about a millisecond.
func shape(c *losses.Cloud) (trace, dimension float64) {
	const numbers, fewest, lags = 1 << 17, 16, 8
	n := min(c.N, max(fewest, numbers/c.D))
	at := func(i int) (row []float64, weight float64) {
		i = int(int64(i) * int64(c.N) / int64(n))
		return c.X[i*c.D : (i+1)*c.D], c.W[i]
	}
	mean, mass := make([]float64, c.D), 0.0
	for i := range n {
		row, w := at(i)
		floats.AddScaled(mean, w, row)
		mass += w
	}
	floats.Scale(1/mass, mean)
	squares := 0.0
	for i := range n {
		row, w := at(i)
		trace += 2 * w / mass * vec.HalfSquared.Of(row, mean)
		for k := range lags {
			other, _ := at((i + 1 + k*(n/2-1)/(lags-1)) % n)
			inner := 0.0
			for l, m := range mean {
				inner += (row[l] - m) * (other[l] - m)
			}
			squares += inner * inner / float64(lags*n)
		}
	}
	return trace, min(max(1, trace*trace/squares), float64(c.D))
}

// effectivePoints is how many points of equal weight tell as much: (Σw)²/Σw².
func effectivePoints(c *losses.Cloud) float64 {
	squares := 0.0
	for _, w := range c.W {
		squares += w * w
	}
	return c.Mass * c.Mass / squares
}
