package losses

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Prior is a distribution that is sampled here, in the dimension of the measure it is compared with. The seed of the request and the name of the input
// decide the samples.
type Prior struct {
	Family Family
	Size   int // number of samples; 0: as many as the measure it is compared with

	problems int // for which it is sampled; 0: one
}

// Family is a distribution that a [Prior] can name: [StandardNormal], [UniformCube], [UniformSphere] or *[GaussianMixture].
type Family interface {
	// check says what is wrong with its parameters; the path is that of the family.
	check(path string) error
	// fits says why it cannot be sampled in dimension d; nil: it can.
	fits(d int) error
	// sampler returns what fills a point.
	sampler(d int) func(random *rand.Rand, point []float64)
}

// StandardNormal is N(0, I).
type StandardNormal struct{}

// UniformCube is uniform on [Lower, Upper]^D.
type UniformCube struct{ Lower, Upper float64 }

// UniformSphere is uniform on the sphere around the origin.
type UniformSphere struct{ Radius float64 }

// GaussianMixture is a mixture of K Gaussians with diagonal covariance.
type GaussianMixture struct {
	Means       Array  // [K,D]
	LogVariance *Array // [K,D], logarithms of the variances along the axes; nil: 0
	Weights     *Array // [K], non-negative with a positive sum; nil: all the same
}

func (StandardNormal) check(string) error { return nil }
func (StandardNormal) fits(int) error     { return nil }
func (StandardNormal) sampler(int) func(*rand.Rand, []float64) {
	return normal
}

// normal fills a point of N(0, I).
func normal(random *rand.Rand, point []float64) {
	for j := range point {
		point[j] = random.NormFloat64()
	}
}

func (c UniformCube) check(path string) error {
	if !finite([]float64{c.Lower, c.Upper}) || !(c.Upper > c.Lower) || math.IsInf(c.Upper-c.Lower, 1) {
		return badf(path, "is from %v to %v, want finite numbers, the upper above the lower", c.Lower, c.Upper)
	}
	return nil
}
func (UniformCube) fits(int) error { return nil }
func (c UniformCube) sampler(int) func(*rand.Rand, []float64) {
	return func(random *rand.Rand, point []float64) {
		for j := range point {
			point[j] = c.Lower + (c.Upper-c.Lower)*random.Float64()
		}
	}
}

func (s UniformSphere) check(path string) error {
	if !(s.Radius > 0) || math.IsInf(s.Radius, 1) {
		return badf(path+".radius", "is %v, want a positive number", s.Radius)
	}
	return nil
}
func (UniformSphere) fits(int) error { return nil }

// sampler divides a normal vector by its length (Muller 1959).
func (s UniformSphere) sampler(int) func(*rand.Rand, []float64) {
	return func(random *rand.Rand, point []float64) {
		for norm := 0.0; norm == 0; {
			normal(random, point)
			for _, v := range point {
				norm += v * v
			}
			for j := range point {
				point[j] *= s.Radius / math.Sqrt(norm)
			}
		}
	}
}

func (m *GaussianMixture) check(path string) error {
	if err := m.Means.check(path + ".means"); err != nil {
		return err
	}
	if len(m.Means.Shape) != 2 {
		return badf(path+".means", "has shape %v, want [K,D]: a mixture is no batch", m.Means.Shape)
	}
	if err := m.Means.checkFinite(path+".means", 0, m.Means.Len()); err != nil {
		return err
	}
	if v := m.LogVariance; v != nil {
		if !slices.Equal(v.Shape, m.Means.Shape) {
			return badf(path+".log_variance", "has shape %v, want that of the means, %v", v.Shape, m.Means.Shape)
		}
		if err := v.checkLen(path + ".log_variance"); err != nil {
			return err
		}
		if err := v.checkFinite(path+".log_variance", 0, v.Len()); err != nil {
			return err
		}
	}
	if m.Weights == nil {
		return nil
	}
	// The rules are those of a measure's weights.
	return (&Measure{Points: m.Means, Weights: m.Weights}).checkWeights(path + ".weights")
}

func (m *GaussianMixture) fits(d int) error {
	if own := m.Means.Shape[1]; own != d {
		return fmt.Errorf("has means of dimension %d, want %d, that of the measure it is compared with", own, d)
	}
	return nil
}

func (m *GaussianMixture) sampler(d int) func(*rand.Rand, []float64) {
	until := make([]float64, m.Means.Shape[0]) // running sums of the weights
	sum := 0.0
	for k := range until {
		w := 1.0
		if m.Weights != nil {
			w = m.Weights.At(k)
		}
		sum += w
		until[k] = sum
	}
	return func(random *rand.Rand, point []float64) {
		at := random.Float64() * sum
		k := sort.Search(len(until), func(k int) bool { return until[k] > at }) // never one of weight 0
		k = min(k, len(until)-1)
		normal(random, point)
		for j := range point {
			if m.LogVariance != nil {
				point[j] *= math.Exp(0.5 * m.LogVariance.At(k*d+j))
			}
			point[j] += m.Means.At(k*d + j)
		}
	}
}

func (p *Prior) check(name string) error {
	path := fmt.Sprintf("inputs[%q].prior", name)
	if p.Family == nil {
		return badf(path, "names no distribution, want standard_normal, uniform_cube, uniform_sphere or gaussian_mixture")
	}
	if p.Size < 0 || p.Size > MaxPoints {
		return badf(path+".size", "is %d, want 0 (as many as the other measure) to %d", p.Size, MaxPoints)
	}
	return p.Family.check(path + "." + familyName(p.Family))
}

// familyName is the name on the wire.
func familyName(f Family) string {
	switch f.(type) {
	case UniformCube:
		return "uniform_cube"
	case UniformSphere:
		return "uniform_sphere"
	case *GaussianMixture:
		return "gaussian_mixture"
	}
	return "standard_normal"
}

// cloud samples the prior in the dimension of the measure it is compared with, with its mass.
func (p *Prior) cloud(field, name string, other *Cloud, seed Seed) (*Cloud, error) {
	n := p.Size
	if n == 0 {
		n = other.N
	}
	if problems := max(1, p.problems); n > MaxElements/other.D/problems {
		return nil, Badf(field, "prior %q is too large: %d samples of dimension %d for %d problems, want at most %d numbers",
			name, n, other.D, problems, MaxElements)
	}
	if err := p.Family.fits(other.D); err != nil {
		return nil, Badf(field, "prior %q %v", name, err)
	}
	c := &Cloud{Name: name, N: n, D: other.D, X: make([]float64, n*other.D), W: uniform(n), Mass: 1, Sampled: true, Single: other.Single}
	random, sample := seed.named(name), p.Family.sampler(other.D)
	for i := range n {
		sample(random, c.X[i*c.D:(i+1)*c.D])
	}
	if !finite(c.X) {
		return nil, Badf(field, "prior %q has samples that overflow binary64, want smaller variances", name)
	}
	c.scale(other.Mass)
	return c.measured(), nil
}
