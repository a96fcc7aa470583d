package entropic

import (
	"math"
	"math/big"
	"testing"

	"kantor/losses"
	"kantor/losses/internal/bigmath"
	"kantor/losses/internal/vec"
)

// reference is a problem in arithmetic of 160 bits: the plain iteration, as it stands in a textbook, until nothing changes any more.
type reference struct {
	a, b    []*big.Float
	cost    [][]*big.Float
	epsilon *big.Float
	rho     *big.Float // nil: balanced
}

func bigSum(x []*big.Float) *big.Float {
	s := bigmath.New(0)
	for _, v := range x {
		s.Add(s, v)
	}
	return s
}

func mul(x ...*big.Float) *big.Float {
	p := bigmath.New(1)
	for _, v := range x {
		p.Mul(p, v)
	}
	return p
}

func sub(x, y *big.Float) *big.Float { return bigmath.New(0).Sub(x, y) }

// newReference takes the numbers of p exactly. What the masses differ by is spread over b, as the problem is defined.
func newReference(p Problem) *reference {
	r := &reference{epsilon: bigmath.New(p.Epsilon)}
	exact := func(w []float64) (out []*big.Float) {
		for _, v := range w {
			out = append(out, bigmath.New(v))
		}
		return out
	}
	r.a, r.b = exact(p.A.W), exact(p.B.W)
	if p.balanced() {
		ratio := new(big.Float).Quo(bigSum(r.a), bigSum(r.b))
		for _, v := range r.b {
			v.Mul(v, ratio)
		}
	} else {
		r.rho = bigmath.New(p.Rho)
	}
	for i := range p.A.N {
		row := make([]*big.Float, p.B.N)
		for j := range row {
			square := bigmath.New(0)
			for k := range p.A.D {
				d := sub(bigmath.New(p.A.X[i*p.A.D+k]), bigmath.New(p.B.X[j*p.A.D+k]))
				square.Add(square, mul(d, d))
			}
			if p.Cost == vec.Distance {
				row[j] = bigmath.New(0).Sqrt(square)
			} else {
				row[j] = mul(square, bigmath.New(0.5))
			}
		}
		r.cost = append(r.cost, row)
	}
	return r
}

// value is the dual objective at the fixed point of the iteration, which starts at these potentials to save time; the fixed point is what it is.
func (r *reference) value(t *testing.T, f, g []float64) *big.Float {
	t.Helper()
	kernel := make([][]*big.Float, len(r.a)) // exp(-C/ε)
	for i, row := range r.cost {
		for _, c := range row {
			kernel[i] = append(kernel[i], bigmath.Exp(new(big.Float).Neg(bigmath.New(0).Quo(c, r.epsilon))))
		}
	}
	u, v := r.scalings(f), r.scalings(g)
	change := 1.0
	for iteration := 0; change > 1e-30; iteration++ { // the value is right to the square of this
		if iteration == 4000 {
			t.Fatalf("the reference did not converge: it still changes by %.2g", change)
		}
		change = 0
		for i := range u {
			s := bigmath.New(0)
			for j := range v {
				s.Add(s, mul(kernel[i][j], r.b[j], v[j]))
			}
			next := r.damp(new(big.Float).Quo(bigmath.New(1), s))
			relative, _ := new(big.Float).Quo(sub(next, u[i]), next).Float64()
			change = max(change, math.Abs(relative))
			u[i] = next
		}
		for j := range v {
			s := bigmath.New(0)
			for i := range u {
				s.Add(s, mul(kernel[i][j], r.a[i], u[i]))
			}
			v[j] = r.damp(new(big.Float).Quo(bigmath.New(1), s))
		}
	}
	return r.dual(kernel, u, v)
}

// damp is u^λ, λ = ρ/(ρ+ε).
func (r *reference) damp(u *big.Float) *big.Float {
	if r.rho == nil {
		return u
	}
	lambda := new(big.Float).Quo(r.rho, bigmath.New(0).Add(r.rho, r.epsilon))
	return bigmath.Exp(mul(lambda, bigLog(u)))
}

func (r *reference) dual(kernel [][]*big.Float, u, v []*big.Float) *big.Float {
	mass, total := bigmath.New(0), bigmath.New(0)
	for i := range u {
		total.Add(total, mul(r.a[i], r.conjugate(u[i])))
		for j := range v {
			mass.Add(mass, mul(r.a[i], r.b[j], u[i], v[j], kernel[i][j]))
		}
	}
	for j := range v {
		total.Add(total, mul(r.b[j], r.conjugate(v[j])))
	}
	return total.Sub(total, mul(r.epsilon, sub(mass, mul(bigSum(r.a), bigSum(r.b)))))
}

// conjugate is f = ε log u, or -ρ(e^{-f/ρ} - 1).
func (r *reference) conjugate(u *big.Float) *big.Float {
	f := mul(r.epsilon, bigLog(u))
	if r.rho == nil {
		return f
	}
	e := bigmath.Exp(new(big.Float).Quo(new(big.Float).Neg(f), r.rho))
	return mul(r.rho, sub(bigmath.New(1), e))
}

// bigLog starts Newton from the binary64 logarithm of mantissa and exponent, so that the argument may be beyond binary64's range.
func bigLog(x *big.Float) *big.Float {
	mantissa := new(big.Float)
	exponent := x.MantExp(mantissa)
	m, _ := mantissa.Float64()
	return bigmath.Log(x, math.Log(m)+float64(exponent)*math.Ln2)
}

// scalings is exp(f/ε).
func (r *reference) scalings(f []float64) (u []*big.Float) {
	for _, v := range f {
		u = append(u, bigmath.Exp(new(big.Float).Quo(bigmath.New(v), r.epsilon)))
	}
	return u
}

// cloud makes a cloud of n points of dimension d.
func cloud(n, d int, point, weight func(i int) float64) *losses.Cloud {
	c := &losses.Cloud{N: n, D: d, X: make([]float64, n*d), W: make([]float64, n)}
	for i := range c.X {
		c.X[i] = point(i)
	}
	for i := range c.W {
		c.W[i] = weight(i)
		c.Mass += c.W[i]
	}
	return c
}
