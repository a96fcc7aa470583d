package entropic

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/bigmath"
	"kantor/losses/internal/vec"
)

// setting is a kind of random problem whose bounds are tested against arithmetic of 160 bits.
type setting struct {
	name          string
	n, m, d       int
	offset, noise float64 // of all points; of the target around the source, 0: independent
	mass          float64
	single        bool // numbers are rounded to binary32
	zeros         bool // one weight of 0 on each side
	duplicates    bool // the first two points coincide
}

var settings = []setting{
	{name: "plain", n: 4, m: 5, d: 2, mass: 1},
	{name: "one dimension, N=1", n: 1, m: 4, d: 1, mass: 1},
	{name: "mass 7", n: 3, m: 4, d: 3, mass: 7},
	{name: "mass 1e-3", n: 4, m: 3, d: 2, mass: 1e-3},
	{name: "D=784 in binary32", n: 3, m: 4, d: 784, mass: 1, single: true},
	{name: "D=784, target near the source", n: 3, m: 3, d: 784, noise: 1e-4, mass: 1, single: true},
	{name: "target near the source", n: 4, m: 4, d: 2, noise: 1e-6, mass: 1},
	{name: "offset 1e4", n: 4, m: 4, d: 3, offset: 1e4, mass: 1},
	{name: "offset 1e4 in binary32", n: 4, m: 4, d: 3, offset: 1e4, mass: 1, single: true},
	{name: "weights of 0", n: 4, m: 5, d: 2, mass: 1, zeros: true},
	{name: "duplicates", n: 4, m: 4, d: 2, mass: 1, duplicates: true},
}

func (s setting) clouds(r *rand.Rand) (a, b *losses.Cloud) {
	round := func(v float64) float64 {
		if s.single {
			return float64(float32(v))
		}
		return v
	}
	weight := func(int) float64 { return round(0.2 + r.Float64()) }
	a = cloud(s.n, s.d, func(int) float64 { return round(r.NormFloat64() + s.offset) }, weight)
	b = cloud(s.m, s.d, func(int) float64 { return round(0.7*r.NormFloat64() + s.offset + 0.3) }, weight)
	if s.noise > 0 {
		b = cloud(s.m, s.d, func(i int) float64 { return round(a.X[i] + s.noise*r.NormFloat64()) }, weight)
	}
	for _, c := range []*losses.Cloud{a, b} {
		c.Single = s.single // in a kernel of binary32, where the tolerance allows
		if s.duplicates {
			copy(c.X[s.d:2*s.d], c.X[:s.d])
		}
		if s.zeros {
			c.Mass -= c.W[1]
			c.W[1] = 0
		}
		for i := range c.W {
			c.W[i] *= s.mass / c.Mass
		}
		c.Mass = 0
		for _, w := range c.W {
			c.Mass += w
		}
	}
	if err := losses.Balance(a, b); err != nil {
		panic(err)
	}
	return a, b
}

// lower ≤ exact ≤ upper with no tolerance, also where the iteration was stopped long before it converged.
func TestBoundsContainTheExactValue(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			for trial := range 10 {
				a, b := s.clouds(r)
				for _, p := range []Problem{{Cost: vec.HalfSquared}, {Cost: vec.Distance}, {Cost: vec.HalfSquared, Rho: 1}, {Cost: vec.Distance, Rho: 1}} {
					p.A, p.B = a, b
					p.Epsilon = (0.2 + r.Float64()) * p.spread()
					if !p.balanced() {
						p.Rho = min(8, math.Exp(r.NormFloat64())) * p.spread() // the plain reference needs some ρ/ε iterations a digit
						p.B = heavier(b, 0.5+r.Float64())
					}
					start := solve(t, p, Options{1e-13, 2000})
					exact := newReference(p).value(t, start.F, start.G)
					for _, o := range []Options{{1e-13, 2000}, {1e-3, 2000}, {1e-3, 1}, {1e-3, 3}} {
						checkBounds(t, p, o, exact)
					}
					if t.Failed() {
						t.Fatalf("trial %d: cost %v, ε %v, ρ %v", trial, p.Cost, p.Epsilon, p.Rho)
					}
				}
			}
		})
	}
}

// heavier returns the cloud with other masses, which an unbalanced problem may have.
func heavier(c *losses.Cloud, by float64) *losses.Cloud {
	return cloud(c.N, c.D, func(i int) float64 { return c.X[i] }, func(i int) float64 { return by * c.W[i] })
}

func checkBounds(t *testing.T, p Problem, o Options, exact *big.Float) {
	t.Helper()
	solution, err := Solve(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	if solution.Iterations > o.MaxIterations {
		t.Errorf("%d iterations, want at most %d", solution.Iterations, o.MaxIterations)
	}
	compare(t, fmt.Sprint(o), p, solution, exact)
}

func compare(t *testing.T, name string, p Problem, solution *Solution, exact *big.Float) {
	t.Helper()
	bounds, err := Bound(t.Context(), solution)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !bounds.Valid:
		t.Errorf("%s: no bounds", name)
	case exact.Cmp(bigmath.New(bounds.Lower)) < 0 || exact.Cmp(bigmath.New(bounds.Upper)) > 0:
		t.Errorf("%s: the exact value %.25g is outside of [%.17g, %.17g]", name, exact, bounds.Lower, bounds.Upper)
	}
	// The width is at most what the marginal error and rounding explain: first order in them, with costs and potentials as their price.
	entry, sum := solution.plan.kernel.errors()
	mass := max(p.A.Mass, p.B.Mass)
	scale := 1 + (3*p.spread()+p.Rho)*mass + p.Epsilon*mass*(1+math.Abs(math.Log(mass)))
	if width := bounds.Upper - bounds.Lower; solution.Converged && width > 10*scale*(solution.MarginalError+1e-11)+20*(p.Epsilon*entry*mass*(1+mass)+scale*sum) {
		t.Errorf("%s: width %.3g at a marginal error of %.3g, out of proportion", name, width, solution.MarginalError)
	}
}

func TestSelfBoundsContainTheExactValue(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, s := range settings {
		a, _ := s.clouds(r)
		p := Problem{Cost: vec.HalfSquared, A: a, B: a}
		p.Epsilon = (0.2 + r.Float64()) * (p.spread() + 1e-3)
		start := solve(t, p, Options{1e-13, 2000})
		exact := newReference(p).value(t, start.F, start.G)
		solution, err := SolveSelf(t.Context(), p, Options{1e-3, 100})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, s.name, p, solution, exact)
	}
}
