package kantorovich_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
)

// Row T18c: along the displacement interpolation W_p from the time s to t is |t-s| W_p.
func TestT18cDisplacementInterpolation(t *testing.T) {
	for seed := range uint64(20) {
		r := losstest.Random(400 + seed)
		d := 1 + int(seed%3)
		in := random(seed, 5+r.IntN(30), 5+r.IntN(30), d)
		for _, p := range []float64{1, 2, 3} {
			if p == 3 && d > 1 {
				continue
			}
			at := func(time float64) *losses.Measure {
				loss := powered(p)
				loss.Time = &time
				return extra(t, loss, in, "interpolation").(*losses.Measure)
			}
			whole := math.Pow(losstest.Outcome(t, powered(p), in).Value, 1/p)
			for _, times := range [][2]float64{{0, 1}, {0, 0.25}, {0.25, 0.875}, {0.5, 1}} {
				part := math.Pow(losstest.Outcome(t, powered(p), pair(at(times[0]), at(times[1]))).Value, 1/p)
				near(t, fmt.Sprintf("problem %d, p = %v, times %v", seed, p, times), part, (times[1]-times[0])*whole, 1e-12)
			}
			// At the ends it is source and target.
			if o := losstest.Outcome(t, powered(p), pair(at(0), in["x"].(*losses.Measure))); o.Value > 1e-15 {
				t.Errorf("at the time 0 it is %v from the source", o.Value)
			}
		}
	}
}

// extra evaluates one term for one extra.
func extra(t *testing.T, loss losses.Loss, in losses.Inputs, name string) losses.Extra {
	t.Helper()
	objective := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: loss}}, Extras: []string{loss.Kind() + "." + name}}
	return losstest.EvaluateObjective(t, objective, in).Terms[0].Extras[name]
}

// The plan has the marginals, costs the value, and lies where the potentials touch the cost; their means are equal and add up to the value.
func TestPlanAndPotentialsProveEachOther(t *testing.T) {
	for seed := range uint64(30) {
		in := random(500+seed, 3+int(seed), 40-int(seed), 1+int(seed%3))
		x, y := in["x"].(*losses.Measure), in["y"].(*losses.Measure)
		d := x.Points.Shape[1]
		for _, cost := range costs {
			value := losstest.Outcome(t, transport(cost), in).Value
			plan := extra(t, transport(cost), in, "plan").(*losses.Plan)
			p := extra(t, transport(cost), in, "potentials").(*losses.Potentials)
			of := func(i, j int) float64 {
				r := distance(x.Points.F64[i*d:][:d], y.Points.F64[j*d:][:d])
				return map[losses.Cost]float64{losses.HalfSquaredEuclidean: r * r / 2, losses.SquaredEuclidean: r * r, losses.Euclidean: r}[cost]
			}
			rows, columns, total := slices.Clone(x.Weights.F64), slices.Clone(y.Weights.F64), 0.0
			for k, mass := range plan.Mass {
				i, j := int(plan.Source[k]), int(plan.Target[k])
				rows[i], columns[j], total = rows[i]-mass, columns[j]-mass, total+mass*of(i, j)
				near(t, "slack of a pair with mass", of(i, j)-p.Source[i]-p.Target[j], 0, 1e-12)
				if mass <= 0 || k > 0 && (plan.Source[k] < plan.Source[k-1] || plan.Source[k] == plan.Source[k-1] && plan.Target[k] <= plan.Target[k-1]) {
					t.Errorf("entry %d has mass %v, or stands out of order", k, mass)
				}
			}
			for _, left := range append(rows, columns...) {
				near(t, "what the plan misses of a weight", left, 0, 1e-15)
			}
			near(t, "<P,C>", total, value, 1e-13)
			means := [2]float64{}
			for i, f := range p.Source {
				means[0] += x.Weights.F64[i] * f
				for j, g := range p.Target {
					if f+g > of(i, j)+1e-12 {
						t.Errorf("f + g = %v is above the cost %v", f+g, of(i, j))
					}
				}
			}
			for j, g := range p.Target {
				means[1] += y.Weights.F64[j] * g
			}
			near(t, "<a,f>", means[0], value/2, 1e-13)
			near(t, "<b,g>", means[1], value/2, 1e-13)
			if p.Gauge != losses.EqualMeans {
				t.Errorf("gauge %v", p.Gauge)
			}
		}
	}
}

// The map is the mean of where a point's mass goes; a point without mass gets the target with mass that its next grain would go to.
func TestMap(t *testing.T) {
	// 0 sends a quarter each to 1 and to 2, 10 to 2 and to 11, so that with f(0) = 0 the potentials are g(1) = ½, g(2) = 2, f(10) = 30, g(11) = -29½. The least of
	// ½(x-y)² - g(y) is then at 2 for x = 4, at 11 for x = 20, and at 1 for x = -4: -5 is nearer, but has no mass.
	x := losstest.Weighted([]float64{0, 10, 4, 20, -4}, []float64{0.5, 0.5, 0, 0, 0})
	y := losstest.Weighted([]float64{1, 2, 11, -5}, []float64{0.25, 0.5, 0.25, 0})
	got := extra(t, transport(losses.HalfSquaredEuclidean), pair(x, y), "map").(*losses.Array)
	if want := []float64{1.5, 6.5, 2, 11, 1}; !slices.Equal(got.F64, want) || !slices.Equal(got.Shape, []int{5, 1}) {
		t.Errorf("got %v of shape %v, want %v of shape [5,1]", got.F64, got.Shape, want)
	}
	plane := extra(t, transport(losses.HalfSquaredEuclidean), lifted(pair(x, y)), "map").(*losses.Array)
	if want := []float64{1.5, 0, 6.5, 0, 2, 0, 11, 0, 1, 0}; !slices.Equal(plane.F64, want) {
		t.Errorf("in the plane: got %v, want %v", plane.F64, want)
	}
}
