// Package order sorts numbers that say where things stand, in time that grows like their count.
package order

import (
	"math"

	"kantor/losses/internal/parallel"
)

// Item is a thing on a line.
type Item struct {
	At    float64
	Index int32 // of the thing
}

// Sorter sorts items; its memory is reused.
type Sorter struct {
	ends  []int32 // of the buckets
	spare []Item  // of a crowd
}

const (
	// Stretch is how many items are gone through between two looks at the gate.
	Stretch = 1 << 16
	// crowd is how many items in one bucket insertion is still fast for.
	crowd = 32
)

// Sort writes the values, finite, in order into sorted, of the same length; equal ones stay in the order of their indices. It reports whether the gate
// stayed open.
//
// Each value goes to one of some twice as many buckets of equal width as there are values, in O(n), and insertion puts the few that share one in order. Where
// the values are so unevenly spread that many do, that bucket is sorted by bytes, in O(n) as well.
func (s *Sorter) Sort(gate *parallel.Gate, sorted []Item, values []float64) bool {
	lo, hi := values[0], values[0]
	for _, v := range values { // a nanosecond each, as for the buckets below
		lo, hi = min(lo, v), max(hi, v)
	}
	buckets := 1
	for buckets < 2*len(values) {
		buckets *= 2
	}
	if cap(s.ends) < buckets {
		s.ends = make([]int32, buckets)
	}
	ends := s.ends[:buckets]
	clear(ends)
	// At most the largest number, lest 0 times infinity be NaN where all values are next to each other.
	scale := min(float64(buckets)/(hi-lo), largest)
	last := buckets - 1
	open := Stretches(gate, len(values), func(from, to int) {
		for _, v := range values[from:to] {
			ends[min(last, int((v-lo)*scale))]++
		}
	})
	if !open {
		return false
	}
	most, sum := int32(0), int32(0)
	for k, n := range ends {
		most = max(most, n)
		ends[k] = sum // where the bucket begins, until its values are in
		sum += n
	}
	open = Stretches(gate, len(values), func(from, to int) {
		for i, v := range values[from:to] {
			k := min(last, int((v-lo)*scale))
			sorted[ends[k]] = Item{v, int32(from + i)}
			ends[k]++
		}
	})
	if !open {
		return false
	}
	if most > crowd && !s.sortCrowds(gate, sorted, ends) {
		return false
	}
	return Stretches(gate, len(sorted), func(from, to int) { insert(sorted, from, to) })
}

// largest is the largest number of binary64.
const largest = 0x1.fffffffffffffp1023

// sortCrowds sorts the buckets that hold many. It reports whether the gate stayed open.
func (s *Sorter) sortCrowds(gate *parallel.Gate, sorted []Item, ends []int32) bool {
	begin := int32(0)
	for _, end := range ends {
		if end-begin > crowd && !s.radix(gate, sorted[begin:end]) {
			return false
		}
		begin = end
	}
	return true
}

// radix sorts by the bytes of the values, the last first; a byte that all have in common costs a look.
func (s *Sorter) radix(gate *parallel.Gate, sorted []Item) bool {
	if cap(s.spare) < len(sorted) {
		s.spare = make([]Item, len(sorted))
	}
	from, to := sorted, s.spare[:len(sorted)]
	for shift := 0; shift < 64; shift += 8 {
		var begins [256]int
		if !Stretches(gate, len(from), func(lo, hi int) {
			for _, p := range from[lo:hi] {
				begins[byte(key(p.At)>>shift)]++
			}
		}) {
			return false
		}
		if begins[byte(key(from[0].At)>>shift)] == len(from) {
			continue
		}
		sum := 0
		for k, n := range begins {
			begins[k] = sum
			sum += n
		}
		if !Stretches(gate, len(from), func(lo, hi int) {
			for _, p := range from[lo:hi] {
				k := byte(key(p.At) >> shift)
				to[begins[k]] = p
				begins[k]++
			}
		}) {
			return false
		}
		from, to = to, from
	}
	if &from[0] != &sorted[0] {
		copy(sorted, from)
	}
	return true
}

// key is in the order of the values, as an integer; both zeros have the same.
func key(v float64) uint64 {
	bits := math.Float64bits(v + 0)
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

// insert puts sorted[from:to] where they belong among those before, which are in order.
func insert(sorted []Item, from, to int) {
	for i := max(1, from); i < to; i++ {
		p, j := sorted[i], i
		for ; j > 0 && sorted[j-1].At > p.At; j-- {
			sorted[j] = sorted[j-1]
		}
		sorted[j] = p
	}
}

// Stretches calls body for ranges that cover 0..n and asks the gate between them. It reports whether it came to the end.
func Stretches(gate *parallel.Gate, n int, body func(from, to int)) bool {
	for from := 0; from < n; from += Stretch {
		if from > 0 && !gate.Open() {
			return false
		}
		body(from, min(n, from+Stretch))
	}
	return true
}
