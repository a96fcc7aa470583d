package order

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kantor/losses/internal/parallel"
)

func sorted(t *testing.T, values []float64) []Item {
	t.Helper()
	out := make([]Item, len(values))
	var s Sorter
	err := parallel.Do(t.Context(), func(gate *parallel.Gate) { s.Sort(gate, out, values) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Fast = deliberately slow, for values that fill the buckets evenly and for those that do not.
func TestSortIsTheStableSort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func(i int) float64{
		"normal":             func(int) float64 { return r.NormFloat64() },
		"few values":         func(int) float64 { return float64(r.IntN(3)) },
		"all the same":       func(int) float64 { return -2 },
		"signed zeros":       func(i int) float64 { return math.Copysign(0, float64(i%2)-0.5) },
		"some far away":      func(i int) float64 { return r.Float64() + 1e300*float64(i%7/6) },
		"octaves":            func(int) float64 { return math.Ldexp(r.Float64()-0.5, -r.IntN(1000)) },
		"next to each other": func(int) float64 { return float64(r.IntN(40)) * 5e-324 },
		"wide":               func(int) float64 { return (r.Float64() - 0.5) * largest },
		"in order":           func(i int) float64 { return float64(i) },
		"against it":         func(i int) float64 { return -float64(i) },
	} {
		for _, n := range []int{1, 2, 3, 17, 1000, Stretch + 100} {
			values := make([]float64, n)
			for i := range values {
				values[i] = draw(i)
			}
			want := make([]int32, n)
			for i := range want {
				want[i] = int32(i)
			}
			slices.SortStableFunc(want, func(i, j int32) int {
				switch {
				case values[i] < values[j]:
					return -1
				case values[i] > values[j]:
					return 1
				}
				return 0
			})
			for k, p := range sorted(t, values) {
				if p.Index != want[k] || p.At != values[p.Index] {
					t.Fatalf("%s, n = %d: place %d holds %v, want point %d", name, n, k, p, want[k])
				}
			}
		}
	}
}
