package exact

import (
	"math"

	"kantor/losses"
)

// masses are the weights of two clouds as multiples of one unit, so that flows are integers and none drifts. Weights that are all alike are exact;
// others are rounded to 2^-60 of the mass.
type masses struct {
	a, b   []int64 // [N], [M]; 0: the point takes no part
	total  int64   // of either
	unit   float64
	missed float64 // at most that mass has to move for the weights to become the multiples
}

// finest is the number of units that weights are rounded to: sums of them fit 63 bits.
const finest = 1 << 60

func newMasses(a, b *losses.Cloud) *masses {
	ma, mb := exactSum(a.W), exactSum(b.W)
	m := &masses{}
	n, sameA := alike(a.W)
	k, sameB := alike(b.W)
	if sameA && sameB {
		g := gcd(n, k)
		m.a, m.b, m.total = multiples(a.W, k/g), multiples(b.W, n/g), n/g*k
		m.unit = ma.value() / float64(m.total)
		return m
	}
	m.total, m.unit = finest, ma.value()/finest
	var missedA, missedB float64
	m.a, missedA = rounded(a.W, ma.value(), m.unit)
	m.b, missedB = rounded(b.W, mb.value(), m.unit)
	// Some multiples are off in the last bit, and so is what they miss. What one side misses moves mass from points with too much to others with too little.
	m.missed = (missedA+missedB)/2*(1+0x1p-20) + 8*unit*ma.value()
	return m
}

// alike counts the positive weights, and reports whether they are all the same.
func alike(w []float64) (count int64, same bool) {
	first := 0.0
	same = true
	for _, v := range w {
		if v > 0 {
			if count == 0 {
				first = v
			}
			same = same && v == first
			count++
		}
	}
	return count, same
}

// multiples is each for every positive weight.
func multiples(w []float64, each int64) []int64 {
	units := make([]int64, len(w))
	for i, v := range w {
		if v > 0 {
			units[i] = each
		}
	}
	return units
}

// rounded are weights that sum to mass as multiples of a unit that sum to finest: the largest takes what rounding leaves. missed is the L1 distance to them.
func rounded(w []float64, mass, unit float64) (units []int64, missed float64) {
	units = make([]int64, len(w))
	rest, largest := int64(finest), 0
	for i, v := range w {
		units[i] = int64(math.Round(v / mass * finest))
		rest -= units[i]
		if units[i] > units[largest] {
			largest = i
		}
	}
	units[largest] += rest
	scale := unit * finest / mass // b's weights become a's
	for i, v := range w {
		missed += math.Abs(v*scale - float64(units[i])*unit)
	}
	return units, missed
}

// positive counts the points that take part.
func positive(units []int64) (count int) {
	for _, u := range units {
		if u > 0 {
			count++
		}
	}
	return count
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// sum is a sum in twice the digits: its error is that of its value's rounding, and the number of terms by 2^-105 of the sum of their sizes (Ogita, Rump, Oishi
// 2005, proposition 4.4).
type sum struct{ hi, lo float64 }

func exactSum(x []float64) (s sum) {
	for _, v := range x {
		s.add(v)
	}
	return s
}

func (s *sum) add(x float64) {
	t := s.hi + x
	z := t - s.hi
	s.lo += (s.hi - (t - z)) + (x - z)
	s.hi = t
}

// addProduct adds x y.
func (s *sum) addProduct(x, y float64) {
	p := x * y
	s.lo += math.FMA(x, y, -p)
	s.add(p)
}

func (s sum) value() float64 { return s.hi + s.lo }
