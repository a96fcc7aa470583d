package critic

import (
	"context"
	"math"
	"math/rand/v2"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// spread is the root of the mean squared deviation of a coordinate from the mean of a and b, half of each: 0 if all points are the same.
func spread(ctx context.Context, a, b *losses.Cloud) (float64, error) {
	mean, square := make([]float64, a.D), 0.0
	toMean := func(share float64, x []float64) {
		for k, v := range x {
			mean[k] += share * v
		}
	}
	toSquare := func(share float64, x []float64) {
		sum := 0.0
		for k, v := range x {
			sum += (v - mean[k]) * (v - mean[k])
		}
		square += share * sum
	}
	err := parallel.Do(ctx, func(gate *parallel.Gate) {
		for _, add := range []func(float64, []float64){toMean, toSquare} {
			for _, c := range []*losses.Cloud{a, b} {
				inTurn(gate, c.N, c.D, func(i int) { add(0.5*(c.W[i]/c.Mass), c.X[i*c.D:(i+1)*c.D]) })
			}
		}
	})
	return math.Sqrt(square / float64(a.D)), err
}

// start makes a critic of a batch: the cones that open upwards stand on points of the target, where φ is to be small, those that open downwards hang from
// points of the source, all at height 0.
func start(ctx context.Context, count int, a, b *losses.Cloud, length float64, random *rand.Rand) (*state, error) {
	s := newState(count, a.D)
	if err := choose(ctx, s.tipsOf(below), b, length, random); err != nil {
		return nil, err
	}
	return s, choose(ctx, s.tipsOf(above), a, length, random)
}

// choose writes points of c that are far from each other into tips: each is drawn with a probability in proportion to its weight times the squared distance
// to those before it (Arthur and Vassilvitskii 2007, section 2.2), so that no part of the measure is without one. Cones that are far from the others early
// on do not come back. Once every point is a tip, further tips are points moved at random by about a length.
func choose(ctx context.Context, tips []float64, c *losses.Cloud, length float64, random *rand.Rand) error {
	d := c.D
	chances := append([]float64(nil), c.W...)
	square := make([]float64, c.N) // of the distance to the nearest tip
	for i := range square {
		square[i] = math.Inf(1)
	}
	for at := 0; at < len(tips); at += d {
		tip := tips[at : at+d]
		var i int
		var ok bool
		err := parallel.Do(ctx, func(*parallel.Gate) {
			if i, ok = draw(chances, random); !ok {
				i, _ = draw(c.W, random)
			}
		})
		if err != nil {
			return err
		}
		copy(tip, c.X[i*d:(i+1)*d])
		if !ok {
			for k := range tip {
				tip[k] += length * random.NormFloat64()
			}
			continue
		}
		err = parallel.Rows(ctx, c.N, 2*d, func(lo, hi int, _ *parallel.Gate) {
			for r := lo; r < hi; r++ {
				sum := 0.0
				for k, v := range c.X[r*d : (r+1)*d] {
					sum += (v - tip[k]) * (v - tip[k])
				}
				square[r] = min(square[r], sum)
				chances[r] = c.W[r] / c.Mass * square[r]
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// draw picks an index with a probability in proportion to its chance; none if all are 0.
func draw(chances []float64, random *rand.Rand) (int, bool) {
	sum, last := 0.0, -1
	for i, v := range chances {
		if v > 0 {
			sum, last = sum+v, i
		}
	}
	rest := sum * random.Float64()
	for i, v := range chances {
		if v > 0 && rest < v {
			return i, true
		}
		rest -= v
	}
	return last, last >= 0 // rounding
}
