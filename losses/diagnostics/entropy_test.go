package diagnostics

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// ending is a context that ends when it has been looked at so many times.
type ending struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (e *ending) Err() error {
	if e.left.Add(-1) < 0 {
		e.cancel()
	}
	return e.Context.Err()
}

// onesAndI is a Gaussian of one row with the covariance I + 11ᵀ, whose determinant is 1+d.
func onesAndI(d int) *losses.Gaussian {
	values := make([]float64, d*d)
	for k := range values {
		values[k] = 1
		if k%(d+1) == 0 {
			values[k] = 2
		}
	}
	covariance := losses.NewArray(values, 1, d, d)
	return &losses.Gaussian{Mean: losses.NewArray(make([]float64, d), 1, d), Covariance: &covariance}
}

// A root of the largest covariance is not computed in one go: a context that ends is seen within a tile of it.
func TestEntropyOfALargeCovarianceStops(t *testing.T) {
	const d = maxCovariance
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: Entropy{Source: "x"}}}}.Bind(losses.Inputs{"x": onesAndI(d)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := parallel.Tiles()
	result, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := d/2.*math.Log(2*math.Pi*math.E) + math.Log(1+d)/2; !near(result.Value, want, 1e-11*want) {
		t.Errorf("entropy %v, want %v", result.Value, want)
	}
	// A third of d³ products, a tile of as many at a time.
	if tiles, want := parallel.Tiles()-before, int64(d*d*d/4/parallel.TileCost); tiles < want {
		t.Errorf("%d tiles, want %d or more", tiles, want)
	}
	for _, looks := range []int64{1, 2, 10, 30} {
		ctx := &ending{}
		ctx.Context, ctx.cancel = context.WithCancel(t.Context())
		ctx.left.Store(looks)
		before := parallel.Tiles()
		if _, err := e.Evaluate(ctx); !errors.Is(err, context.Canceled) || parallel.Tiles()-before > looks {
			t.Errorf("after %d looks: %v and %d tiles", looks, err, parallel.Tiles()-before)
		}
	}
}

func BenchmarkEntropyOfACovariance(b *testing.B) {
	e, err := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: Entropy{Source: "x"}}}}.Bind(losses.Inputs{"x": onesAndI(maxCovariance)}, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Evaluate(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
