package kl_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
)

// Dimensions of ½, ⅛ and 2 on average: free bits of ½ lift the second, whose gradient goes, and leave the first, which is not below.
func TestFreeBitsOfDimensions(t *testing.T) {
	in := losses.Inputs{"q": gaussian(2, 3, []float64{1, 0.5, 2, 1, 0.5, 2}, make([]float64, 6))}
	loss := kl.Gaussian{Posterior: "q", Allowance: allow(0.5, -1)}
	if got := value(t, loss, in); got != 3 {
		t.Errorf("got %v, want ½ + ½ + 2", got)
	}
	for i, g := range gradient(t, loss, in, "q", "mean") {
		if want := []float64{0.5, 0, 1, 0.5, 0, 1}[i]; g != want {
			t.Errorf("gradient %v at %d, want %v", g, i, want)
		}
	}
	// The extra tells what there was.
	perDimension, _ := extra(t, loss, in, "per_dimension")
	for j, want := range []float64{0.5, 0.125, 2} {
		if perDimension[j] != want {
			t.Errorf("dimension %d: got %v, want %v", j, perDimension[j], want)
		}
	}
	// It is the mean over rows that counts: a row above and one below make a dimension that is above.
	mixed := losses.Inputs{"q": gaussian(2, 1, []float64{2, 0.1}, []float64{0, 0})}
	if g := gradient(t, loss, mixed, "q", "mean"); g[1] != 0.05 {
		t.Errorf("gradient %v in a row below of a dimension above, want 0.05", g[1])
	}
	// A prior's gradient goes with it, of both sides in both directions.
	sides := losses.Inputs{"q": gaussian(1, 2, []float64{0.1, 3}, []float64{0, 0.1}), "p": gaussian(1, 2, []float64{0, 0}, []float64{0.1, 0})}
	both := kl.Gaussian{Posterior: "q", Prior: "p", Direction: kl.Symmetric, Allowance: allow(0.5, -1)}
	for _, field := range []string{"mean", "log_variance"} {
		if g := gradient(t, both, sides, "p", field); g[0] != 0 || g[1] == 0 {
			t.Errorf("the prior's gradient in %s is %v, want 0 and some", field, g)
		}
	}
}

// Choices count as a whole, bits one by one.
func TestFreeBitsOfChoices(t *testing.T) {
	q := losses.Inputs{"q": probabilities(2, 0.5, 0.5, 0.9, 0.1)}
	v := value(t, kl.Categorical{Posterior: "q"}, q)
	if got := value(t, kl.Categorical{Posterior: "q", Allowance: allow(v-0.01, -1)}, q); got != v {
		t.Errorf("free bits below: got %v, want %v", got, v)
	}
	lifted := kl.Categorical{Posterior: "q", Allowance: allow(v+0.01, -1)}
	if got := value(t, lifted, q); got != v+0.01 {
		t.Errorf("free bits above: got %v, want %v", got, v+0.01)
	}
	for i, g := range gradient(t, lifted, q, "q", "probabilities") {
		if g != 0 {
			t.Errorf("gradient %v at %d, want 0", g, i)
		}
	}
	bits := losses.Inputs{"q": bitProbabilities(2, 0.6, 0.99)}
	some := kl.Bernoulli{Posterior: "q", Allowance: allow(0.1, -1)}
	plain := gradient(t, kl.Bernoulli{Posterior: "q"}, bits, "q", "probabilities")
	if g := gradient(t, some, bits, "q", "probabilities"); g[0] != 0 || g[1] != plain[1] {
		t.Errorf("gradient %v, want 0 and %v", g, plain[1])
	}
	sphere := losses.Inputs{"q": directionsOf(3, 0.1, 0.2)}
	if g := gradient(t, kl.VonMisesFisher{Posterior: "q", Allowance: allow(1, -1)}, sphere, "q", "concentration"); g[0] != 0 || g[1] != 0 {
		t.Errorf("gradient %v in concentrations, want 0", g)
	}
}

// |KL - C|: the gradient turns round below C, and is 0 where they are equal.
func TestCapacity(t *testing.T) {
	in := losses.Inputs{"q": gaussian(1, 1, []float64{2}, []float64{0})} // KL = 2
	for _, c := range []struct{ capacity, value, slope float64 }{{0, 2, 2}, {0.5, 1.5, 2}, {2, 0, 0}, {5, 3, -2}} {
		loss := kl.Gaussian{Posterior: "q", Allowance: allow(-1, c.capacity)}
		if got := value(t, loss, in); got != c.value {
			t.Errorf("capacity %v: got %v, want %v", c.capacity, got, c.value)
		}
		if g := gradient(t, loss, in, "q", "mean"); g[0] != c.slope {
			t.Errorf("capacity %v: gradient %v, want %v", c.capacity, g[0], c.slope)
		}
	}
	// Of the mean over rows, not of each.
	two := losses.Inputs{"q": gaussian(2, 1, []float64{2, 0}, []float64{0, 0})}
	if got := value(t, kl.Gaussian{Posterior: "q", Allowance: allow(-1, 1)}, two); got != 0 {
		t.Errorf("got %v of rows of 2 and 0 for a capacity of 1, want 0", got)
	}
	infinite(t, "capacity", kl.Gaussian{Posterior: "q", Allowance: allow(-1, 1)}, losses.Inputs{"q": gaussian(1, 1, []float64{0}, []float64{800})},
		"q.mean", "q.log_variance")
}

func TestAllowancesAreNumbers(t *testing.T) {
	in := losses.Inputs{"q": random(1, 2, 2)}
	for _, v := range []float64{-1, math.NaN(), inf} {
		refused(t, kl.Gaussian{Posterior: "q", Allowance: kl.Allowance{FreeBits: losstest.Ptr(v)}}, in, "free_bits")
		refused(t, kl.Gaussian{Posterior: "q", Allowance: kl.Allowance{Capacity: losstest.Ptr(v)}}, in, "capacity")
	}
	refused(t, kl.Gaussian{Posterior: "q", Allowance: allow(1, 1)}, in, "capacity")
	refused(t, kl.VonMisesFisher{Posterior: "q", Allowance: allow(1, 1)}, losses.Inputs{"q": directionsOf(3, 1)}, "capacity")
}

// The reverse is the forward one with the sides changed, their sum is symmetric, bit for bit.
func TestDirectionsOfGaussians(t *testing.T) {
	q, p := random(1, 5, 3), random(2, 5, 3)
	in, swapped := losses.Inputs{"q": q, "p": p}, losses.Inputs{"q": p, "p": q}
	forward := kl.Gaussian{Posterior: "q", Prior: "p"}
	reverse, symmetric := forward, forward
	reverse.Direction, symmetric.Direction = kl.Reverse, kl.Symmetric
	if got, want := value(t, reverse, in), value(t, forward, swapped); got != want {
		t.Errorf("reverse: got %v, want %v", got, want)
	}
	if got, want := value(t, symmetric, in), value(t, forward, in)+value(t, reverse, in); !near(got, want, 1e-15) {
		t.Errorf("symmetric: got %v, want %v", got, want)
	}
	for _, rows := range []int{1, 5} {
		for name, direction := range directions {
			loss := kl.Gaussian{Posterior: "q", Prior: "p", Direction: direction}
			slopes(t, name, loss, losses.Inputs{"q": q, "p": random(2, rows, 3)}, "q.mean", "q.log_variance", "p.mean", "p.log_variance")
		}
	}
	rows, _ := extra(t, symmetric, in, "per_row")
	sum := 0.0
	for _, v := range rows {
		sum += v / 5
	}
	if got := value(t, symmetric, in); !near(sum, got, 1e-15) {
		t.Errorf("the rows' mean is %v, the value %v", sum, got)
	}
}

// Neither a distance whose square overflows beside a variance that makes up for it, nor one that underflows, is lost.
func TestGaussiansBeyondTheRangeOfSquares(t *testing.T) {
	for _, c := range []struct{ mean, logVariance, want float64 }{
		{1e200, 2 * 200 * math.Ln10, 0.5}, {1e-200, -2 * 200 * math.Ln10, 0.5}, {1e308, 2 * 308 * math.Ln10, 0.5},
	} {
		in := losses.Inputs{"q": gaussian(1, 1, []float64{c.mean}, []float64{c.logVariance}), "p": gaussian(1, 1, []float64{0}, []float64{c.logVariance})}
		loss := kl.Gaussian{Posterior: "q", Prior: "p"}
		if got := value(t, loss, in); !near(got, c.want, 1e-12) {
			t.Errorf("mean %v: got %v, want %v", c.mean, got, c.want)
		}
		if g, want := gradient(t, loss, in, "q", "mean")[0], 1/c.mean; !near(g, want, 1e-12) {
			t.Errorf("mean %v: gradient %v, want %v", c.mean, g, want)
		}
		if g := gradient(t, loss, in, "p", "log_variance")[0]; !near(g, -0.5, 1e-12) {
			t.Errorf("mean %v: gradient %v in the prior's variance, want -½", c.mean, g)
		}
	}
	apart := losses.Inputs{"q": gaussian(1, 1, []float64{1.7e308}, []float64{1e308}), "p": gaussian(1, 1, []float64{-1.7e308}, []float64{-1e308})}
	infinite(t, "everything overflows", kl.Gaussian{Posterior: "q", Prior: "p", Direction: kl.Symmetric}, apart, "q.mean", "p.log_variance")
}
