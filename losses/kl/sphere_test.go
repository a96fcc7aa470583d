package kl_test

import (
	"math"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kl"
)

// directionsOf is a row for each concentration, all along the first axis.
func directionsOf(d int, concentrations ...float64) *losses.VonMisesFisher {
	mean := make([]float64, d*len(concentrations))
	for i := range concentrations {
		mean[i*d] = 1
	}
	return &losses.VonMisesFisher{Mean: losses.NewArray(mean, len(concentrations), d), Concentration: losses.NewArray(concentrations, len(concentrations))}
}

// In three dimensions KL = κ coth κ - 1 - ln(sinh κ/κ): for κ above 20 it is ln 2κ - 1 up to 1e-15, with the slope 1/κ, wherever κ ends.
func TestSphereOfThreeDimensions(t *testing.T) {
	loss := kl.VonMisesFisher{Posterior: "q"}
	for _, kappa := range []float64{25, 63, 65, 1e3, 1e6, 1e9, 1e100, 1e300} {
		in := losses.Inputs{"q": directionsOf(3, kappa)}
		if got, want := value(t, loss, in), math.Log(2*kappa)-1; !near(got, want, 1e-13) {
			t.Errorf("κ = %v: got %v, want %v", kappa, got, want)
		}
		if g := gradient(t, loss, in, "q", "concentration")[0]; !near(g, 1/kappa, 1e-12) {
			t.Errorf("κ = %v: slope %v, want %v", kappa, g, 1/kappa)
		}
	}
	for _, kappa := range []float64{0.5, 1, 5} {
		want := kappa/math.Tanh(kappa) - 1 - math.Log(math.Sinh(kappa)/kappa)
		if got := value(t, loss, losses.Inputs{"q": directionsOf(3, kappa)}); !near(got, want, 1e-13) {
			t.Errorf("κ = %v: got %v, want %v", kappa, got, want)
		}
	}
}

// Uniform is 0, and near it KL = κ²/2D with all digits.
func TestNearlyUniformDirections(t *testing.T) {
	loss := kl.VonMisesFisher{Posterior: "q"}
	for _, d := range []int{2, 17, 5000} {
		if got := value(t, loss, losses.Inputs{"q": directionsOf(d, 0)}); got != 0 {
			t.Errorf("D = %d, κ = 0: got %v, want 0", d, got)
		}
		for _, kappa := range []float64{1e-200, 1e-9} {
			in := losses.Inputs{"q": directionsOf(d, kappa)}
			if got, want := value(t, loss, in), kappa*kappa/float64(2*d); !near(got, want, 1e-14) {
				t.Errorf("D = %d, κ = %v: got %v, want %v", d, kappa, got, want)
			}
			if g, want := gradient(t, loss, in, "q", "concentration")[0], kappa/float64(d); !near(g, want, 1e-14) {
				t.Errorf("D = %d, κ = %v: slope %v, want %v", d, kappa, g, want)
			}
		}
	}
}

func TestSphereGradients(t *testing.T) {
	for _, d := range []int{2, 3, 8, 1000} {
		in := losses.Inputs{"q": directionsOf(d, 0.5, 3, 63.99, 64.01, 200)} // differences across the change of method too
		slopes(t, "sphere", kl.VonMisesFisher{Posterior: "q"}, in, "q.concentration")
		for i, g := range gradient(t, kl.VonMisesFisher{Posterior: "q"}, in, "q", "mean") {
			if g != 0 {
				t.Errorf("gradient %v in a mean direction at %d, want 0", g, i)
			}
		}
	}
	in := losses.Inputs{"q": directionsOf(3, 100, 1000)}
	rows, _ := extra(t, kl.VonMisesFisher{Posterior: "q"}, in, "per_row")
	if want := math.Log(200) - 1; len(rows) != 2 || !near(rows[0], want, 1e-13) {
		t.Errorf("got rows %v, want the first %v", rows, want)
	}
	if got := value(t, kl.VonMisesFisher{Posterior: "q"}, in); !near(got, (rows[0]+rows[1])/2, 1e-15) {
		t.Errorf("got %v, want the mean of %v", got, rows)
	}
	refused(t, kl.VonMisesFisher{Posterior: "q"}, losses.Inputs{"q": random(1, 2, 2)}, "posterior")
	// Many rows are the same whoever computes them.
	r := losstest.Random(3)
	many, first := make([]float64, 3000), directionsOf(4, 7)
	for i := range many {
		many[i] = math.Exp(3 * r.NormFloat64())
	}
	many[2999] = 7
	last, _ := extra(t, kl.VonMisesFisher{Posterior: "q"}, losses.Inputs{"q": directionsOf(4, many...)}, "per_row")
	if want := value(t, kl.VonMisesFisher{Posterior: "q"}, losses.Inputs{"q": first}); last[2999] != want {
		t.Errorf("got %v in the last row, want %v", last[2999], want)
	}
}
