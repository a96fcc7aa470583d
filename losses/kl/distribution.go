package kl

import (
	"iter"
	"math"

	"kantor/losses/internal/parallel"
)

// distribution is one on K classes, from logarithms of its probabilities up to a constant or from masses.
type distribution struct {
	masses bool      // given by masses
	given  []float64 // [K], the masses, or the logarithms
	log    []float64 // [K], logarithms of the probabilities plus norm: of masses theirs, else what was given
	p      []float64 // [K], the probabilities
	norm   float64
	sum    float64 // of the masses; 1 of logarithms
}

func newDistribution(k int, masses bool) *distribution {
	return &distribution{masses: masses, given: make([]float64, k), log: make([]float64, k), p: make([]float64, k)}
}

// pieceCost is the work of a class in a loop below, in units of [parallel.TileCost].
const pieceCost = 32

// pieces cuts 0..k into tiles, before each of which but the first the gate is asked. Where it closes they end, and what they were to compute is of no use.
func pieces(gate *parallel.Gate, k int) iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		for lo := 0; lo < k; lo += parallel.TileCost / pieceCost {
			if lo > 0 && !gate.Open() || !yield(lo, min(k, lo+parallel.TileCost/pieceCost)) {
				return
			}
		}
	}
}

// normalise computes the rest from what was given.
func (d *distribution) normalise(gate *parallel.Gate) {
	if d.masses {
		d.normaliseMasses(gate)
		return
	}
	most := math.Inf(-1)
	for lo, hi := range pieces(gate, len(d.given)) {
		for k := lo; k < hi; k++ {
			most = max(most, d.given[k])
		}
	}
	var shift, total float64
	if math.Abs(most) > 1e300 { // a difference of two such logarithms may overflow
		shift = most
	}
	for lo, hi := range pieces(gate, len(d.given)) {
		for k := lo; k < hi; k++ {
			d.log[k] = d.given[k] - shift
			d.p[k] = math.Exp(d.given[k] - most)
			total += d.p[k]
		}
	}
	d.norm, d.sum = most-shift+math.Log(total), 1
	for lo, hi := range pieces(gate, len(d.given)) {
		for k := lo; k < hi; k++ {
			d.p[k] /= total
		}
	}
}

func (d *distribution) normaliseMasses(gate *parallel.Gate) {
	d.sum = 0
	for lo, hi := range pieces(gate, len(d.given)) {
		for k := lo; k < hi; k++ {
			d.log[k] = math.Log(d.given[k])
			d.sum += d.given[k]
		}
	}
	d.norm = math.Log(d.sum)
	for lo, hi := range pieces(gate, len(d.given)) {
		for k := lo; k < hi; k++ {
			d.p[k] = d.given[k] / d.sum
		}
	}
}

// pull adds scale times the gradient in what was given to to. The slopes are those in the probabilities, up to a constant, and of logarithms times the probabilities.
// Where a mass is 0 its slope may be infinite, for which there is no number: it stays where it is.
func (d *distribution) pull(gate *parallel.Gate, to, slopes []float64, scale float64) {
	mean := 0.0
	for lo, hi := range pieces(gate, len(d.p)) {
		for k := lo; k < hi; k++ {
			switch {
			case !d.masses:
				mean += slopes[k]
			case d.p[k] > 0:
				mean += d.p[k] * slopes[k]
			}
		}
	}
	for lo, hi := range pieces(gate, len(d.p)) {
		for k := lo; k < hi; k++ {
			switch {
			case !d.masses:
				to[k] += scale * (slopes[k] - d.p[k]*mean)
			case !math.IsInf(slopes[k], 0):
				to[k] += scale / d.sum * (slopes[k] - mean)
			}
		}
	}
}

// pair is two distributions on the same classes.
type pair struct {
	a, b   *distribution
	ratio  []float64    // [K], ln(b/a); +Inf where a is 0, also where both are
	slopes [2][]float64 // [K] each, of what was computed last, in a and b, as pull takes them
}

func newPair(a, b *distribution) *pair {
	k := len(a.p)
	return &pair{a: a, b: b, ratio: make([]float64, k), slopes: [2][]float64{make([]float64, k), make([]float64, k)}}
}

// compare computes the ratios. Where the two are near, in shape, what is common to all classes is taken from the differences of what was given: with
// d = ln(b/a) + c it is c = E_a d + ln(1 + E_a(e^(d-E_a d) - 1 - (d - E_a d))), so that small ratios keep their digits.
func (p *pair) compare(gate *parallel.Gate) {
	mean, common, base := 0.0, true, p.difference(0) // which is taken off before anything is multiplied
	if math.IsInf(base, 0) {
		base = 0
	}
	for lo, hi := range pieces(gate, len(p.ratio)) {
		for k := lo; k < hi; k++ {
			p.ratio[k] = p.difference(k) - base
			if math.IsInf(p.ratio[k], 0) {
				common = false
			} else {
				mean += p.a.p[k] * p.ratio[k]
			}
		}
	}
	shift := p.b.norm - p.a.norm - base
	if common {
		beyond := 0.0
		for lo, hi := range pieces(gate, len(p.ratio)) {
			for k := lo; k < hi && common; k++ {
				_, less2 := expm(p.ratio[k] - mean)
				beyond += p.a.p[k] * less2
				common = math.Abs(p.ratio[k]-mean) < 0.5
			}
		}
		if common {
			shift = mean + math.Log1p(beyond)
		}
	}
	for lo, hi := range pieces(gate, len(p.ratio)) {
		for k := lo; k < hi; k++ {
			p.ratio[k] -= shift
		}
	}
}

// difference is ln(b/a) of a class, up to what is common to all; +Inf where a is 0.
func (p *pair) difference(k int) float64 {
	switch {
	case p.a.p[k] == 0:
		return math.Inf(1)
	case p.b.log[k] == math.Inf(-1): // while a probability that underflows has a logarithm
		return math.Inf(-1)
	case p.a.masses && p.b.masses:
		if x, y := p.a.given[k], p.b.given[k]; y < 2*x && x < 2*y {
			return math.Log1p((y - x) / x) // y-x is exact (Sterbenz 1974)
		}
	}
	return p.b.log[k] - p.a.log[k]
}

// leibler is KL(a, b), Σ a ln(a/b) - a + b, of which no term is negative; compare was called. It leaves its slopes.
func (p *pair) leibler(gate *parallel.Gate) float64 {
	sum := 0.0
	for lo, hi := range pieces(gate, len(p.ratio)) {
		for k := lo; k < hi; k++ {
			a, b, h := p.a.p[k], p.b.p[k], p.ratio[k]
			switch {
			case a == 0:
				sum += b
			case math.Abs(h) < 0.5:
				_, less2 := expm(h)
				sum += a * less2
			default:
				sum += b - a - a*h
			}
			p.slopes[0][k], p.slopes[1][k] = p.leiblerSlopes(k)
		}
	}
	return sum
}

// leiblerSlopes are ln(a/b) and 1 - a/b, or these times the probabilities.
func (p *pair) leiblerSlopes(k int) (inA, inB float64) {
	a, b, h := p.a.p[k], p.b.p[k], p.ratio[k]
	inA, inB = -h, -math.Expm1(-h)
	if !p.a.masses {
		inA = times(a, -h)
	}
	if !p.b.masses {
		if inB = b - a; math.Abs(h) < 0.5 {
			inB = a * math.Expm1(h)
		}
	}
	return inA, inB
}

// times is a product in which 0 wins over infinity.
func times(x, y float64) float64 {
	if x == 0 || y == 0 {
		return 0
	}
	return x * y
}

// shannon is the divergence of Jensen and Shannon, with m = ½(a+b) and u = (b-a)/2m the sum of ½m[(1-u) ln(1-u) + (1+u) ln(1+u)]; compare was called. It leaves its
// slopes.
func (p *pair) shannon(gate *parallel.Gate) float64 {
	sum := 0.0
	for lo, hi := range pieces(gate, len(p.ratio)) {
		for k := lo; k < hi; k++ {
			a, b := p.a.p[k], p.b.p[k]
			u := math.Tanh(p.ratio[k] / 2)
			sum += 0.25 * (a + b) * entropyGap(u)
			p.slopes[0][k], p.slopes[1][k] = 0.5*math.Log1p(-u), 0.5*math.Log1p(u)
			if a == 0 && b == 0 {
				p.slopes[1][k] = math.Inf(-1) // as that in a: where both are 0 neither moves
			}
			if !p.a.masses {
				p.slopes[0][k] = times(a, p.slopes[0][k])
			}
			if !p.b.masses {
				p.slopes[1][k] = times(b, p.slopes[1][k])
			}
		}
	}
	return sum
}

// entropyGap is (1-u) ln(1-u) + (1+u) ln(1+u), near 0 as the series Σ u^2n/(n(2n-1)), whose 14 terms reach binary64 for |u| < 0.3.
func entropyGap(u float64) float64 {
	if u = math.Abs(u); u == 1 {
		return 2 * math.Ln2
	}
	if u >= 0.3 {
		return (1-u)*math.Log1p(-u) + (1+u)*math.Log1p(u)
	}
	sum, square := 0.0, u*u
	for n := 14.0; n >= 1; n-- {
		sum = square * (sum + 1/(n*(2*n-1)))
	}
	return sum
}
