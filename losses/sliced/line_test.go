package sliced

import (
	"math/rand/v2"
	"slices"
	"testing"

	"kantor/losses/internal/order"
	"kantor/losses/internal/parallel"
)

// sorted sorts by the package's own sort.
func sorted(t *testing.T, values []float64) []order.Item {
	t.Helper()
	out := make([]order.Item, len(values))
	var s order.Sorter
	withGate(t, func(gate *parallel.Gate) { s.Sort(gate, out, values) })
	return out
}

// units draws points on a small grid, so that they coincide, with whole numbers as weights that sum to mass.
func units(r *rand.Rand, n, mass int) (points []float64, weights []int) {
	points, weights = make([]float64, n), make([]int, n)
	for i := range points {
		points[i] = float64(r.IntN(9)) / 2
	}
	for range mass {
		weights[r.IntN(n)]++
	}
	return points, weights
}

// repeat lists every point as often as its weight says, in order.
func repeat(points []float64, weights []int) []float64 {
	var out []float64
	for i, p := range points {
		for range weights[i] {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// withGate calls body with an open gate.
func withGate(t *testing.T, body func(gate *parallel.Gate)) {
	t.Helper()
	if err := parallel.Do(t.Context(), body); err != nil {
		t.Fatal(err)
	}
}

func line(t *testing.T, points []float64, weights []int) side {
	s := side{sorted: sorted(t, points), weights: make([]float64, len(points)), slopes: make([]float64, len(points)), uniform: true}
	for i, w := range weights {
		s.weights[i] = float64(w) / 8
		s.uniform = s.uniform && w == weights[0]
	}
	return s
}

// Whole weights are repeated points, whose transport pairs them in order; weights of 0, ties and coincidences among them. The potentials are feasible and
// their value is the cost, which proves both optimal.
func TestTransportOnALine(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		mass := 1 + r.IntN(12)
		xs, ws := units(r, 1+r.IntN(6), mass)
		ys, vs := units(r, 1+r.IntN(6), mass)
		for _, p := range []int{1, 2} {
			want := 0.0
			for i, x := range repeat(xs, ws) {
				c, _ := cost(p, x-repeat(ys, vs)[i])
				want += c / 8
			}
			a, b := line(t, xs, ws), line(t, ys, vs)
			// Sums of a dozen numbers that binary64 holds exactly.
			f, g, got := make([]float64, len(xs)), make([]float64, len(ys)), 0.0
			withGate(t, func(gate *parallel.Gate) {
				got = transport(gate, p, a, b)
				addPotentials(gate, p, a, b, float64(mass)/8, f, g)
			})
			if got != want {
				t.Fatalf("p = %d, %v %v to %v %v: cost %v, want %v", p, xs, ws, ys, vs, got, want)
			}
			dual := 0.0
			for i, x := range xs {
				dual += a.weights[i] * f[i]
				for j, y := range ys {
					if c, _ := cost(p, x-y); f[i]+g[j] > c {
						t.Fatalf("p = %d, %v %v to %v %v: potentials %v, %v are above the cost at %d, %d", p, xs, ws, ys, vs, f, g, i, j)
					}
				}
			}
			for j := range ys {
				dual += b.weights[j] * g[j]
			}
			if dual != want {
				t.Fatalf("p = %d, %v %v to %v %v: potentials %v, %v are worth %v, want %v", p, xs, ws, ys, vs, f, g, dual, want)
			}
		}
	}
}

// Thirds do not add up in binary64: a tie that rounding hides is one all the same, so that the potentials are those in the middle.
func TestPotentialsAtTiesThatRoundingHides(t *testing.T) {
	a := side{sorted: sorted(t, []float64{0, 1, 2, 5, 6, 7}), weights: []float64{1. / 6, 1. / 6, 1. / 6, 1. / 6, 1. / 6, 1. / 6}}
	b := side{sorted: sorted(t, []float64{1, 6}), weights: []float64{1. / 2, 1. / 2}}
	f, g := make([]float64, 6), make([]float64, 2)
	withGate(t, func(gate *parallel.Gate) { addPotentials(gate, 2, a, b, 1, f, g) })
	// Up to the tie f is (x-1)², beyond it (x-6)² with a constant that may be from -15 to 15.
	for i, want := range []float64{1, 0, 1, 1, 0, 1} {
		if got := f[i] - f[0] + 1; got != want {
			t.Errorf("potential %d is %v, want %v", i, got, want)
		}
	}
	if g[0] != g[1] {
		t.Errorf("potentials of the target are %v, want the same", g)
	}
}
