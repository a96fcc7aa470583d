package entropic

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// scaling is a problem in the variables of Sinkhorn's algorithm: P_ij = a_i u_i K_ij v_j b_j, with the potentials f and g absorbed into the kernel K. The
// potentials that it stands for are f + ε log u and g + ε log v.
//
// Points without weight take no part: their potentials are -Inf here, so that their entries are 0, and are filled in at the end.
type scaling struct {
	Problem
	*frame
	kernel kernel
	f, g   []float64
	scalings
	// Scratch.
	y, columns   []float64 // [M]
	errors       []float64 // [N], what each row misses
	ratio, power []float64 // of a block of rows or of all columns, padded
	old          scalings
}

func newScaling(p Problem, f *frame, k kernel) *scaling {
	n, m := p.A.N, p.B.N
	numbers := func(n int) []float64 { return make([]float64, n) }
	scratch := max((n+rowBlock-1)/rowBlock*vec.Pad, pad(n), pad(m))
	return &scaling{Problem: p, frame: f, kernel: k, f: numbers(n), g: numbers(m), scalings: scalings{ones(n), ones(m)}, y: numbers(m), columns: numbers(m),
		errors: numbers(n), ratio: numbers(scratch), power: numbers(scratch), old: scalings{numbers(n), numbers(m)}}
}

func ones(n int) []float64 {
	x := make([]float64, n)
	setOnes(x)
	return x
}

func setOnes(x []float64) {
	for i := range x {
		x[i] = 1
	}
}

// absorb moves the scalings into the potentials, and makes the kernel at them and this temperature. The error is the context's.
func (s *scaling) absorb(ctx context.Context, epsilon float64) error {
	s.settle()
	s.Epsilon = epsilon
	hide(s.f, s.A)
	hide(s.g, s.B)
	return s.kernel.absorb(ctx, s.f, s.g, epsilon)
}

// settle moves the scalings into the potentials; the kernel is then not the one at them.
func (s *scaling) settle() {
	addLogs(s.f, s.u, s.Epsilon)
	addLogs(s.g, s.v, s.Epsilon)
}

// addLogs moves scalings into potentials.
func addLogs(f, u []float64, epsilon float64) {
	for i, v := range u {
		if v != 1 {
			f[i] += epsilon * math.Log(v)
		}
	}
	setOnes(u)
}

// hide takes points without weight out.
func hide(f []float64, c *losses.Cloud) {
	for i, w := range c.W {
		if w == 0 {
			f[i] = math.Inf(-1)
		}
	}
}

// potentials are those that the scalings stand for, and for points without weight the softmins. The error is the context's.
func (s *scaling) potentials(ctx context.Context) (f, g []float64, err error) {
	f, g = slices.Clone(s.f), slices.Clone(s.g)
	addLogs(f, slices.Clone(s.u), s.Epsilon)
	if s.kernel.symmetric() {
		err = s.fill(ctx, f, f)
		return f, f, err
	}
	addLogs(g, slices.Clone(s.v), s.Epsilon)
	back := s.Problem
	back.A, back.B = s.B, s.A
	if err = s.fill(ctx, f, g); err == nil {
		err = back.fill(ctx, g, f)
	}
	return f, g, err
}

// fill writes the potential of points of p.A without weight, given that of p.B. The error is the context's.
func (p Problem) fill(ctx context.Context, f, g []float64) error {
	rest, at := *p.A, []int(nil)
	rest.X, rest.W = nil, nil
	for i, w := range p.A.W {
		if w == 0 {
			at = append(at, i)
			rest.X = append(rest.X, p.A.X[i*p.A.D:(i+1)*p.A.D]...)
		}
	}
	if at == nil {
		return nil
	}
	rest.N, rest.W = len(at), make([]float64, len(at))
	p.A = &rest
	soft, err := Extended(ctx, p, g)
	for i, v := range soft {
		f[at[i]] = v
	}
	return err
}

// weighted writes b_j v_j.
func (s *scaling) weighted() []float64 { return floats.MulTo(s.y, s.B.W, s.v) }

// sweep is one iteration of Gauss-Seidel with the over-relaxation ω, and returns the marginal errors that each half found, relative to the mass. Where a sum
// leaves the range of the kernel's numbers ok is false, and the scalings are as they were. The error is the context's.
func (s *scaling) sweep(ctx context.Context, omega float64) (rows, columns float64, ok bool, err error) {
	return s.sweepWith(ctx, omega, pass{})
}

// halve is a plain sweep at half the temperature, to which it takes the stored kernel and the problem.
func (s *scaling) halve(ctx context.Context) (ok bool, err error) {
	squared := &scalings{append([]float64(nil), s.u...), append([]float64(nil), s.v...)}
	s.settle()
	s.Epsilon /= 2
	_, _, ok, err = s.sweepWith(ctx, 1, pass{squared: squared})
	return ok, err
}

func (s *scaling) sweepWith(ctx context.Context, omega float64, p pass) (rows, columns float64, ok bool, err error) {
	copy(s.old.u, s.u)
	copy(s.old.v, s.v)
	p.y, p.columns = s.weighted(), s.columns
	p.x = func(lo, hi int, sums, x []float64) bool {
		ratio := s.ratio[lo/rowBlock*vec.Pad:][:hi-lo]
		for i := range ratio {
			if ratio[i] = 1; s.A.W[lo+i] > 0 {
				ratio[i] = s.u[lo+i] * sums[i]
				s.errors[lo+i] = s.A.W[lo+i] * math.Abs(ratio[i]-s.target(s.f[lo+i], s.u[lo+i]))
			}
		}
		if !s.relax(s.u[lo:hi], s.f[lo:hi], lo/rowBlock*vec.Pad, omega) {
			return false
		}
		floats.MulTo(x, s.A.W[lo:hi], s.u[lo:hi])
		return true
	}
	ok, err = s.kernel.pass(ctx, p)
	if ok && err == nil {
		columns, ok = s.sweepColumns(omega)
	}
	if !ok || err != nil {
		copy(s.u, s.old.u)
		copy(s.v, s.old.v)
	}
	return floats.Sum(s.errors) / s.A.Mass, columns, ok, err
}

// sweepColumns updates v from the column sums.
func (s *scaling) sweepColumns(omega float64) (missed float64, ok bool) {
	for j, v := range s.v {
		if s.ratio[j] = 1; s.B.W[j] > 0 {
			s.ratio[j] = v * s.columns[j]
			missed += s.B.W[j] * math.Abs(s.ratio[j]-s.target(s.g[j], v))
		}
	}
	ok = s.relax(s.v, s.g, 0, omega)
	return missed / s.B.Mass, ok
}

// target is what a ratio should be: 1, or e^{-f/ρ} at the potential that was absorbed and its scaling.
func (s *scaling) target(f, scaling float64) float64 {
	if s.balanced() {
		return 1
	}
	return s.Problem.target(f + s.Epsilon*math.Log(scaling))
}

// invertible reports whether a sum is within the range where inverses are normal numbers too, with room: a subnormal scaling has few digits, and math.Log takes
// all of those for one and the same.
func invertible(sum float64) bool { return sum >= 0x1p-1000 && sum <= 0x1p1000 }

// relax updates scalings of the absorbed potentials f from ratios of marginals to weights, at an offset in the scratch, unless one of them, or of what they
// would become, is out of range; then it leaves them. The softmin is f - ε log(ratio), so the relaxed and damped update of f adds ω(λ-1)f - ωλε log(ratio).
func (s *scaling) relax(scaling, f []float64, at int, omega float64) bool {
	ratio, next := s.ratio[at:][:len(scaling)], s.power[at:][:len(scaling)]
	damping := s.damping(s.Epsilon)
	if omega == 1 && damping == 1 {
		for i, r := range ratio {
			if next[i] = scaling[i] / r; !invertible(r) || !invertible(next[i]) {
				return false
			}
		}
		copy(scaling, next)
		return true
	}
	end := at + pad(len(ratio))
	for i := at + len(ratio); i < end; i++ {
		s.ratio[i] = 1
	}
	vec.LogRow(s.power[at:end], s.ratio[at:end])
	for i, l := range next {
		change := -omega * damping * l
		if damping != 1 && !math.IsInf(f[i], -1) {
			change += omega * (damping - 1) * (f[i]/s.Epsilon + math.Log(scaling[i]))
		}
		if next[i] = scaling[i] * math.Exp(change); !invertible(ratio[i]) || !invertible(next[i]) {
			return false
		}
	}
	copy(scaling, next)
	return true
}

// measureRows is what the rows miss of their marginals as they are. The error is the context's.
func (s *scaling) measureRows(ctx context.Context) (missed float64, err error) {
	if s.wide() {
		if err := s.absorb(ctx, s.Epsilon); err != nil {
			return 0, err
		}
	}
	_, err = s.kernel.pass(ctx, pass{y: s.weighted(), x: func(lo, hi int, sums, _ []float64) bool {
		for i := lo; i < hi; i++ {
			if s.A.W[i] > 0 {
				s.errors[i] = s.A.W[i] * math.Abs(s.u[i]*sums[i-lo]-s.target(s.f[i], s.u[i]))
			}
		}
		return true
	}})
	return floats.Sum(s.errors) / s.A.Mass, err
}

// safe is how far scalings may move from 1: their products with entries of the kernel stay well within the range of binary32.
const safe = 1e12

// wide reports whether the scalings have moved so far that the kernel should be made anew.
func (s *scaling) wide() bool {
	for _, scaling := range [][]float64{s.u, s.v} {
		for _, v := range scaling {
			if !(v > 1/safe && v < safe) {
				return true
			}
		}
	}
	return false
}
