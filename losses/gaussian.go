package losses

import (
	"math"
	"slices"
)

// spread is the name of the tensor that says how wide the rows are.
func (g *Gaussian) spread() string {
	if g.Covariance != nil {
		return "covariance"
	}
	return "log_variance"
}

func (g *Gaussian) check(name string) error {
	mean := Ref{name, "mean"}.path()
	if err := g.Mean.check(mean); err != nil {
		return err
	}
	if err := g.Mean.checkFinite(mean, 0, g.Mean.Len()); err != nil {
		return err
	}
	if g.Covariance != nil {
		return g.checkCovariance(Ref{name, "covariance"}.path())
	}
	path := Ref{name, "log_variance"}.path()
	if err := g.LogVariance.check(path); err != nil {
		return err
	}
	if !slices.Equal(g.Mean.Shape, g.LogVariance.Shape) {
		return badf(path, "has shape %v, want that of the mean, %v", g.LogVariance.Shape, g.Mean.Shape)
	}
	return g.LogVariance.checkFinite(path, 0, g.LogVariance.Len())
}

// asymmetry is how far the two halves of a covariance may be apart, relative to the variances: what a product in binary32 leaves.
const asymmetry = 1e-4

// checkCovariance refuses what is not square, finite and symmetric. Whether it is positive is for the loss that takes its root to say.
func (g *Gaussian) checkCovariance(path string) error {
	c, d := g.Covariance, g.Mean.Shape[len(g.Mean.Shape)-1]
	if want := append(slices.Clone(g.Mean.Shape), d); !slices.Equal(c.Shape, want) {
		return badf(path, "has shape %v, want %v, that of the mean with the dimension once more", c.Shape, want)
	}
	if err := c.checkLen(path); err != nil {
		return err
	}
	if err := c.checkFinite(path, 0, c.Len()); err != nil {
		return err
	}
	for at := 0; at < c.Len(); at += d * d {
		for i := range d {
			for j := range i {
				k, l := at+i*d+j, at+j*d+i
				allowed := asymmetry * math.Sqrt(math.Abs(c.At(at+i*d+i))*math.Abs(c.At(at+j*d+j)))
				if a, b := c.At(k), c.At(l); math.Abs(a-b) > allowed {
					return badf(path, "has %v at %s and %v at %s, want symmetric matrices", a, c.index(k), b, c.index(l))
				}
			}
		}
	}
	return nil
}
