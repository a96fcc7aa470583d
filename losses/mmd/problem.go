package mmd

import (
	"context"
	"slices"

	"kantor/losses"
	"kantor/losses/internal/parallel"
)

// problem is a discrepancy bound to its clouds.
type problem struct {
	radial
	kernel       Kernel
	blur         float64
	factor       float64 // of the convention
	a, b         *losses.Cloud
	selfA, selfB *self // without sums; b and selfB nil: N(0, I) itself
}

// wants are the gradients that are wanted of one cloud.
type wants struct{ points, weights bool }

func wantsOf(want losses.Want, c *losses.Cloud) wants {
	if c == nil {
		return wants{}
	}
	return wants{want.Gradients[losses.Ref{Input: c.Name, Field: "points"}], want.Gradients[losses.Ref{Input: c.Name, Field: "weights"}]}
}

// cross is what the pairs of both clouds come to.
type cross struct {
	meanX, meanY []float64                                // the kernel mean of b at the points of a, and of a at those of b; the second nil: not wanted
	inX, inY     func(dst []float64, scale float64) error // add scale times the gradient of m_a m_b E k(x,y) in the points
	value        float64                                  // m_a m_b E k(x,y)
	selfB        float64                                  // m_b² E k(y,y')
}

// Work implements [losses.Problem].
func (p *problem) Work() losses.Work {
	n := float64(p.a.N)
	if p.b == nil {
		return losses.Work{Pairs: n*n/2 + n, Iterations: 1, Bytes: bytes(p.a.N, p.a.D)}
	}
	m := float64(p.b.N)
	return losses.Work{Pairs: n*m + n*n/2 + m*m/2, Iterations: 1, Bytes: bytes(p.a.N+p.b.N, p.a.D)}
}

// Solve implements [losses.Problem].
func (p *problem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	run := *p // the problem itself stays as it was bound
	selfA := *p.selfA
	run.selfA = &selfA
	var c cross
	var pulls [2]*pairs
	var err error
	if p.b == nil {
		c, pulls, err = run.againstNormal(ctx, want)
	} else {
		selfB := *p.selfB
		run.selfB = &selfB
		c, pulls, err = run.againstCloud(ctx, want)
	}
	if err != nil {
		return losses.TermResult{}, err
	}
	var total sum
	total.add(selfA.value())
	total.add(c.selfB)
	total.add(-2 * c.value)
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: p.factor * total.value()}}}
	if result.Gradients, err = run.gradients(ctx, want, c, pulls); err != nil {
		return losses.TermResult{}, err
	}
	if want.Extras["witness"] {
		witness := make([]float64, p.a.N)
		for i, w := range p.a.W {
			witness[i] = selfA.sums[i] + w*p.atZero - c.meanX[i]
		}
		result.Extras = map[string]losses.Extra{"witness": losses.RowsOf("source", witness, p.a.N)}
	}
	return result, nil
}

// againstCloud computes all pairs of both clouds. It sets the sums of both statistics.
func (p *problem) againstCloud(ctx context.Context, want losses.Want) (cross, [2]*pairs, error) {
	inA, inB := wantsOf(want, p.a), wantsOf(want, p.b)
	aa, bb, ab, err := p.allPairs(ctx, inA, inB)
	if err != nil {
		return cross{}, [2]*pairs{}, err
	}
	if err := compute(ctx, aa, bb, ab); err != nil {
		return cross{}, [2]*pairs{}, err
	}
	p.selfA.set(aa.sumX, p.value)
	p.selfB.set(bb.sumX, p.value)
	c := cross{meanX: scaled(ab.sumX[:p.a.N], p.value), selfB: p.selfB.value()}
	c.value = weighted(p.a.W, c.meanX)
	if inB.weights {
		c.meanY = scaled(ab.sumY[:p.b.N], p.value)
	}
	c.inX = func(dst []float64, scale float64) error { return ab.addGradientX(ctx, dst, scale, p.a.W) }
	c.inY = func(dst []float64, scale float64) error { return ab.addGradientY(ctx, dst, scale, p.b.W) }
	return c, [2]*pairs{aa, bb}, nil
}

// pairsOf are those of a cloud with itself, taken relative to an origin of its own.
func pairsOf(ctx context.Context, k radial, c *losses.Cloud, gradient bool) (*pairs, error) {
	s, err := newSide(ctx, c, frameOf(c), gradient)
	if err != nil {
		return nil, err
	}
	return newPairs(k, s, s, true, gradient, gradient), nil
}

// allPairs are those of each cloud with itself and of both. Where the origin near one is that near both, the cloud is laid out once.
func (p *problem) allPairs(ctx context.Context, inA, inB wants) (aa, bb, ab *pairs, err error) {
	origin, gradients := frameOf(p.a, p.b), inA.points || inB.points
	var both [2]*side
	var own [2]*pairs
	for i, c := range []*losses.Cloud{p.a, p.b} {
		if both[i], err = newSide(ctx, c, origin, gradients); err != nil {
			return nil, nil, nil, err
		}
		alone := both[i]
		if near := frameOf(c); !slices.Equal(near, origin) {
			if alone, err = newSide(ctx, c, near, gradients); err != nil {
				return nil, nil, nil, err
			}
		}
		inOwn := [2]wants{inA, inB}[i].points
		own[i] = newPairs(p.radial, alone, alone, true, inOwn, inOwn)
	}
	return own[0], own[1], newPairs(p.radial, both[0], both[1], inB.weights, inA.points, inB.points), nil
}

func scaled(v []float64, by float64) []float64 {
	for i := range v {
		v[i] *= by
	}
	return v
}

// againstNormal computes the pairs of the source and the means of N(0, I) at its points, of the source's mass.
func (p *problem) againstNormal(ctx context.Context, want losses.Want) (cross, [2]*pairs, error) {
	inA := wantsOf(want, p.a)
	aa, err := pairsOf(ctx, p.radial, p.a, inA.points)
	if err != nil {
		return cross{}, [2]*pairs{}, err
	}
	if err := compute(ctx, aa); err != nil {
		return cross{}, [2]*pairs{}, err
	}
	p.selfA.set(aa.sumX, p.value)
	n, d := p.a.N, p.a.D
	squares, largest := make([]float64, n), 0.0
	for i := range squares {
		for _, v := range p.a.X[i*d : (i+1)*d] {
			squares[i] += v * v
		}
		largest = max(largest, squares[i])
	}
	mean := normalMeanOf(p.kernel, p.blur, d, largest)
	means, slopes := make([]float64, n), make([]float64, n)
	err = parallel.Rows(ctx, n, mean.cost(largest), func(lo, hi int, _ *parallel.Gate) {
		for i := lo; i < hi; i++ {
			means[i], slopes[i] = mean.at(squares[i])
			means[i] *= p.a.Mass
		}
	})
	c := cross{meanX: means, value: weighted(p.a.W, means), selfB: p.a.Mass * p.a.Mass * mean.self()}
	c.inX = func(dst []float64, scale float64) error {
		return parallel.Rows(ctx, n, 2*d, func(lo, hi int, _ *parallel.Gate) {
			for i := lo; i < hi; i++ {
				by := -scale * p.a.Mass * p.a.W[i] * slopes[i]
				for k, v := range p.a.X[i*d : (i+1)*d] {
					dst[i*d+k] += by * v
				}
			}
		})
	}
	return c, [2]*pairs{aa, nil}, err
}

// half is one of both measures and what its gradients are made of.
type half struct {
	*self
	pairs  *pairs
	mean   []float64 // the other's kernel mean at its points
	points func(dst []float64, scale float64) error
	other  *losses.Cloud // nil: N(0, I) itself
	rest   float64       // m² E k of the other with itself
	cross  float64
}

// gradients are those of the value. An input that is both source and target gets the sum. The error is the context's.
func (p *problem) gradients(ctx context.Context, want losses.Want, c cross, pulls [2]*pairs) (map[losses.Ref][]float64, error) {
	out := map[losses.Ref][]float64{}
	slot := func(cloud *losses.Cloud, field string, n int) []float64 {
		ref := losses.Ref{Input: cloud.Name, Field: field}
		if out[ref] == nil {
			out[ref] = make([]float64, n)
		}
		return out[ref]
	}
	for _, h := range []half{{p.selfA, pulls[0], c.meanX, c.inX, p.b, c.selfB, c.value}, {p.selfB, pulls[1], c.meanY, c.inY, p.a, p.selfA.value(), c.value}} {
		if h.self == nil || h.cloud.Sampled {
			continue
		}
		wanted := wantsOf(want, h.cloud)
		if wanted.points {
			gradient := slot(h.cloud, "points", h.cloud.N*h.cloud.D)
			if err := h.pairs.addGradientX(ctx, gradient, p.factor*h.pull(), h.cloud.W); err != nil {
				return nil, err
			}
			if err := h.points(gradient, -2*p.factor); err != nil {
				return nil, err
			}
		}
		if wanted.weights {
			sum := slot(h.cloud, "weights", h.cloud.N)
			for i, v := range p.inWeights(h) {
				sum[i] += v
			}
		}
	}
	return out, nil
}

// inWeights is the gradient in the weights of one measure.
func (p *problem) inWeights(h half) []float64 {
	gradient := make([]float64, h.cloud.N)
	h.addWeights(gradient, p.factor)
	follow := 0.0
	if h.other == nil || h.other.Sampled {
		// The other's mass is this one's: both what it has with itself and what they have together grow with it.
		follow = 2 * p.factor * (h.rest - h.cross) / h.cloud.Mass
	}
	for i, v := range h.mean {
		gradient[i] += follow - 2*p.factor*v
	}
	if p.kernel == Energy {
		centre(gradient, h.cloud)
	}
	return gradient
}

// centre subtracts what a gradient has along the weights, so that <w, gradient> = 0: masses have to stay equal.
func centre(gradient []float64, c *losses.Cloud) {
	mean := weighted(c.W, gradient) / c.Mass
	for i := range gradient {
		gradient[i] -= mean
	}
}
