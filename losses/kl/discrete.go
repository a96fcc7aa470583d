package kl

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"math"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// Discrete is KL of two measures of equal mass on common points, Σ a ln(a/b), where points are the same that agree in all coordinates (-0 is 0). Points that an input
// has twice count once, with the sum of their weights. It is +Inf, with a warning and a gradient of 0, where a point of the one has no mass in the other.
//
// Nothing is known of how far points are from each other: the gradient in points is 0, that in weights ln(a/b), centred.
type Discrete struct {
	Source    string // name of a Measure
	Target    string // name of a Measure
	Direction Direction
}

// Kind implements [losses.Loss].
func (Discrete) Kind() string { return "discrete_kl" }

// Uses implements [losses.Loss].
func (d Discrete) Uses() []losses.Use {
	return []losses.Use{{Field: "source", Input: d.Source}, {Field: "target", Input: d.Target}}
}

// Extras implements [losses.Loss].
func (Discrete) Extras() []string { return nil }

// Bind implements [losses.Loss].
func (d Discrete) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	a, b, err := clouds(inputs, d.Source, d.Target)
	return &atomsProblem{a: a, b: b, sum: d.Direction.sum()}, err
}

// clouds are two measures of one dimension and one mass.
func clouds(inputs losses.Inputs, source, target string) (a, b *losses.Cloud, err error) {
	if a, err = inputs.Cloud("source", source); err != nil {
		return nil, nil, err
	}
	if b, err = inputs.Cloud("target", target); err != nil {
		return nil, nil, err
	}
	if a.D != b.D {
		return nil, nil, losses.Badf("target", "input %q has dimension %d, want %d, that of source %q", target, b.D, a.D, source)
	}
	return a, b, losses.Balance(a, b)
}

// atomsProblem is a divergence between measures.
type atomsProblem struct {
	a, b *losses.Cloud
	sum  []summand
}

// Work implements [losses.Problem].
func (p *atomsProblem) Work() losses.Work {
	n := p.a.N + p.b.N
	return losses.Work{Pairs: float64(n * p.a.D), Iterations: 1, Bytes: int64(8 * 16 * n)}
}

// Solve implements [losses.Problem].
func (p *atomsProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	var out answer
	err := parallel.Do(ctx, func(gate *parallel.Gate) { out = p.solve(gate, want) })
	if err != nil {
		return losses.TermResult{}, err
	}
	return Allowance{}.result(out, "the divergence is infinite: a point of the one measure has no mass in the other", want), nil
}

func (p *atomsProblem) solve(gate *parallel.Gate, want losses.Want) answer {
	atoms := newAtoms(p.a.N + p.b.N)
	at := [2][]int32{atoms.find(gate, p.a), atoms.find(gate, p.b)}
	if !gate.Open() {
		return answer{} // of no use, as not all points may have been found
	}
	var sides [2]*distribution
	for s, cloud := range []*losses.Cloud{p.a, p.b} {
		sides[s] = newDistribution(atoms.count, true)
		for i, k := range at[s] {
			sides[s].given[k] += cloud.W[i]
		}
		sides[s].normalise(gate)
	}
	forward := newPair(sides[0], sides[1])
	both := [2]*pair{forward, forward.swapped()}
	out := answer{perDimension: []float64{0}, gradients: map[losses.Ref][]float64{}}
	for _, s := range p.sum {
		q := both[0]
		if s.swapped {
			q = both[1]
		}
		q.compare(gate)
		out.perDimension[0] += p.a.Mass * s.value(q, gate)
		for side, cloud := range []*losses.Cloud{p.a, p.b} {
			if to := slot(out.gradients, want, cloud.Name, "weights", cloud.N); to != nil {
				ofAtoms := make([]float64, atoms.count)
				// By the sum of the masses it is that in the masses.
				sides[side].pull(gate, ofAtoms, q.slopes[slopeOf(side, s.swapped)], p.a.Mass)
				for i, k := range at[side] {
					to[i] += ofAtoms[k]
				}
			}
		}
	}
	return out
}

// atoms finds points that agree. They are numbered as they are found first, so that nothing depends on the hash, whose seed is another one every time lest points can
// be chosen to collide.
type atoms struct {
	seed   maphash.Seed
	first  map[uint64]int32 // the atom found first of those with a hash
	next   []int32          // [count], the one found after it; -1: none
	points [][]float64      // [count]
	count  int
}

func newAtoms(most int) *atoms {
	return &atoms{seed: maphash.MakeSeed(), first: make(map[uint64]int32, most)}
}

// findCost is the work of a coordinate, in units of [parallel.TileCost].
const findCost = 32

// find returns the number of each point's atom.
func (a *atoms) find(gate *parallel.Gate, cloud *losses.Cloud) []int32 {
	out, done := make([]int32, cloud.N), 0
	bytes := make([]byte, 8*cloud.D)
	for i := range out {
		if done += findCost * (cloud.D + 8); done > parallel.TileCost {
			if !gate.Open() {
				return out
			}
			done = 0
		}
		out[i] = a.number(cloud.X[i*cloud.D:(i+1)*cloud.D], bytes)
	}
	return out
}

// number is that of a point's atom; bytes is room for its coordinates.
func (a *atoms) number(point []float64, bytes []byte) int32 {
	for j, v := range point {
		binary.LittleEndian.PutUint64(bytes[8*j:], math.Float64bits(v+0)) // -0 + 0 is 0
	}
	hash := maphash.Bytes(a.seed, bytes)
	k, known := a.first[hash]
	if !known {
		a.first[hash] = a.add(point)
		return a.first[hash]
	}
	for ; !equal(a.points[k], point); k = a.next[k] {
		if a.next[k] < 0 {
			a.next[k] = a.add(point)
			return a.next[k]
		}
	}
	return k
}

func (a *atoms) add(point []float64) int32 {
	a.points, a.next, a.count = append(a.points, point), append(a.next, -1), a.count+1
	return int32(a.count - 1)
}

func equal(x, y []float64) bool {
	for j, v := range x {
		if v != y[j] {
			return false
		}
	}
	return true
}
