package losses

import "slices"

// Cloud is a weighted point cloud in binary64, the form in which transport losses compute. It owns its slices.
type Cloud struct {
	Name    string    // of the input it came from
	N, D    int       // points, dimension
	X       []float64 // [N,D], row-major
	W       []float64 // [N], non-negative
	Mass    float64   // Σ W, positive
	Sampled bool      // from a prior: it has no gradient
	Single  bool      // its points came in binary32; a prior's, if those that it is compared with did

	lo, hi []float64 // [D], the corners of its box; nil: not known
}

// Box widens the box between the corners lo and hi, [D], so that it holds the points. A cloud that [Inputs.Pair] made knows its own.
func (c *Cloud) Box(lo, hi []float64) {
	if c.lo != nil {
		widen(lo, hi, c.lo)
		widen(lo, hi, c.hi)
		return
	}
	for at := 0; at < len(c.X); at += c.D {
		widen(lo, hi, c.X[at:at+c.D])
	}
}

// widen widens a box so that it holds a point.
func widen(lo, hi, point []float64) {
	lo, hi = lo[:len(point)], hi[:len(point)]
	for j, v := range point {
		if v < lo[j] {
			lo[j] = v
		}
		if v > hi[j] {
			hi[j] = v
		}
	}
}

// measured computes the cloud's box, which is asked for several times.
func (c *Cloud) measured() *Cloud {
	lo, hi := slices.Clone(c.X[:c.D]), slices.Clone(c.X[:c.D])
	c.Box(lo, hi)
	c.lo, c.hi = lo, hi
	return c
}

// massTolerance is the relative difference of masses up to which two measures count as balanced: that of weights summed in binary32.
const massTolerance = 1e-6

// Pair returns the clouds of two inputs, which it samples if they are priors. The errors are relative to a loss whose fields "source" and "target" name
// the inputs.
func (in Inputs) Pair(source, target string, seed Seed) (a, b *Cloud, err error) {
	ms, mt := in.measure(source), in.measure(target)
	switch {
	case ms == nil && in.prior(source) == nil:
		return nil, nil, in.noCloud("source", source, "a measure or a prior")
	case mt == nil && in.prior(target) == nil:
		return nil, nil, in.noCloud("target", target, "a measure or a prior")
	case ms == nil && mt == nil:
		return nil, nil, Badf("target", "source and target are both priors, want at least one measure")
	}
	if ms != nil {
		a = ms.cloud(source).measured()
	}
	if mt != nil {
		b = mt.cloud(target).measured()
	}
	if a == nil {
		a, err = in.prior(source).cloud("source", source, b, seed)
	}
	if b == nil {
		b, err = in.prior(target).cloud("target", target, a, seed)
	}
	if err != nil {
		return nil, nil, err
	}
	if a.D != b.D {
		return nil, nil, Badf("target", "input %q has dimension %d, want %d, that of source %q", target, b.D, a.D, source)
	}
	return a, b, nil
}

// Cloud returns the cloud of an input that has to be a measure. Errors are relative to the field of a loss that names it, here and below.
func (in Inputs) Cloud(field, name string) (*Cloud, error) {
	m := in.measure(name)
	if m == nil {
		return nil, in.noCloud(field, name, "a measure")
	}
	return m.cloud(name).measured(), nil
}

// Like returns the cloud of an input in the dimension of another cloud, whose mass and format a prior takes.
func (in Inputs) Like(field, name string, other *Cloud, seed Seed) (*Cloud, error) {
	if p := in.prior(name); p != nil {
		return p.cloud(field, name, other, seed)
	}
	if in.measure(name) == nil {
		return nil, in.noCloud(field, name, "a measure or a prior")
	}
	c, err := in.Cloud(field, name)
	if err == nil && c.D != other.D {
		err = Badf(field, "input %q has dimension %d, want %d, that of %q", name, c.D, other.D, other.Name)
	}
	return c, err
}

// noCloud says that an input is of another kind than a loss takes.
func (in Inputs) noCloud(field, name, want string) error {
	return Badf(field, "input %q is a %s, want %s", name, in[name].kind(), want)
}

// Balance scales b's weights to a's mass where the two differ by rounding, or says that they differ by more.
func Balance(a, b *Cloud) error {
	if diff := a.Mass - b.Mass; diff > massTolerance*a.Mass || -diff > massTolerance*a.Mass {
		return Badf("target", "input %q has mass %v, want that of source %q, %v, to 1e-6 of it", b.Name, b.Mass, a.Name, a.Mass)
	}
	b.scale(a.Mass)
	return nil
}

// scale multiplies the weights so that they sum to mass.
func (c *Cloud) scale(mass float64) {
	if c.Mass == mass {
		return
	}
	for i := range c.W {
		c.W[i] *= mass / c.Mass
	}
	c.Mass = mass
}

func (in Inputs) measure(name string) *Measure { m, _ := in[name].(*Measure); return m }

func (in Inputs) prior(name string) *Prior { p, _ := in[name].(*Prior); return p }

func (m *Measure) cloud(name string) *Cloud {
	c := &Cloud{Name: name, N: m.Points.Shape[0], D: m.Points.Shape[1], X: m.Points.Float64s(), Single: m.Points.F32 != nil}
	if m.Weights == nil {
		c.W, c.Mass = uniform(c.N), 1
		return c
	}
	c.W = m.Weights.Float64s()
	for _, w := range c.W {
		c.Mass += w
	}
	return c
}

func uniform(n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 1 / float64(n)
	}
	return w
}
