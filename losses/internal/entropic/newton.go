package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses/internal/vec"
)

// newton climbs the semi-dual L(g) = <a, f(g)> + <b, g> of a balanced problem, where f(g) makes the rows exact: its gradient is what the columns miss,
// r = b - q, and
//
//	-ε ∇²L = diag(q) - Pᵀ diag(1/a) P,
//
// a product with which reads the kernel once, as a sweep does. Steps are truncated (Dembo, Steihaug 1983): conjugate gradients, preconditioned by diag(q),
// stop at a part of the residual. They damp slow modes as well as the best over-relaxation would, without its factor having to be known (Brauer, Clason,
// Lorenz, Wirth 2017 have the system).
type newton struct {
	*scaling
	q                       []float64 // column marginals while the rows are exact
	value                   float64   // the semi-dual by ε, from where the potentials were absorbed
	missed                  float64   // |b-q|₁ relative to the mass
	step, residual, dir, hd []float64
	scratchQ                []float64
	damping                 float64
	iterations              int

	exact, project func(lo, hi int, sums, x []float64) bool // invert and bounce, made once
}

func newNewton(s *scaling) *newton {
	m := s.B.N
	numbers := func() []float64 { return make([]float64, m) }
	n := &newton{scaling: s, q: numbers(), step: numbers(), residual: numbers(), dir: numbers(), hd: numbers(), scratchQ: numbers()}
	n.exact, n.project = n.invert, n.bounce
	return n
}

// rowsExact makes the rows exact at the scalings v, and measures the columns.
func (n *newton) rowsExact(ctx context.Context) (ok bool, err error) {
	if ok, err = n.kernel.pass(ctx, pass{y: n.weighted(), x: n.exact, columns: n.columns}); !ok || err != nil {
		return ok, err
	}
	n.iterations++
	n.missed = 0
	for j, b := range n.B.W {
		n.q[j] = n.y[j] * n.columns[j]
		n.missed += math.Abs(b - n.q[j])
	}
	n.missed /= n.B.Mass
	n.value = n.meanLog(n.A.W, n.u) + n.meanLog(n.B.W, n.v)
	return isFinite(n.missed), nil
}

// invert makes rows exact, unless the number format does not hold a sum.
func (n *newton) invert(lo, hi int, sums, x []float64) bool {
	for i, s := range sums {
		if n.A.W[lo+i] == 0 {
			continue
		}
		if !invertible(s) {
			return false
		}
		n.u[lo+i] = 1 / s
	}
	floats.MulTo(x, n.A.W[lo:hi], n.u[lo:hi])
	return true
}

// bounce is (P d)_i by the weight, times a_i u_i, whose sums over the kernel's columns are those of Pᵀ diag(1/a) P d.
func (n *newton) bounce(lo, _ int, sums, x []float64) bool {
	for i, s := range sums {
		u := n.u[lo+i]
		x[i] = n.A.W[lo+i] * u * u * s
	}
	return true
}

// meanLog is Σ w log x. Points without weight have an x of 1.
func (n *newton) meanLog(w, x []float64) float64 {
	at, logs := n.ratio[:pad(len(x))], n.power[:pad(len(x))]
	copy(at, x)
	for i := len(x); i < len(at); i++ {
		at[i] = 1
	}
	vec.LogRow(logs, at)
	return floats.Dot(w, logs[:len(w)])
}

// curvature writes (diag(q) + damping - Pᵀ diag(1/a) P) d, plus damping.
func (n *newton) curvature(ctx context.Context, dst, d []float64) error {
	for j, v := range d {
		n.y[j] = n.B.W[j] * n.v[j] * v
	}
	n.iterations++
	_, err := n.kernel.pass(ctx, pass{y: n.y, x: n.project, columns: n.columns})
	for j, v := range d {
		dst[j] = n.diagonal(j)*v - n.B.W[j]*n.v[j]*n.columns[j]
	}
	return err
}

func (n *newton) diagonal(j int) float64 { return n.q[j] + n.damping*max(n.q[j], n.B.W[j]) }

// precondition leaves the residual by the diagonal in n.scratchQ, and returns the inner product of both.
func (n *newton) precondition() float64 {
	dot := 0.0
	for j, r := range n.residual {
		n.scratchQ[j] = 0
		if d := n.diagonal(j); d > 0 {
			n.scratchQ[j] = r / d
		}
		dot += r * n.scratchQ[j]
	}
	return dot
}

// solveStep leaves in n.step an approximate solution of the Newton system, whose residual has at most the given L1 norm relative to the mass.
func (n *newton) solveStep(ctx context.Context, target float64, most int) error {
	clear(n.step)
	for j, b := range n.B.W {
		n.residual[j] = b - n.q[j]
	}
	rz := n.precondition()
	copy(n.dir, n.scratchQ)
	for range most {
		if err := n.curvature(ctx, n.hd, n.dir); err != nil {
			return err
		}
		bend := floats.Dot(n.dir, n.hd)
		if !(bend > 0) || !(rz > 0) {
			return nil
		}
		alpha := rz / bend
		floats.AddScaled(n.step, alpha, n.dir)
		floats.AddScaled(n.residual, -alpha, n.hd)
		if floats.Norm(n.residual, 1)/n.B.Mass <= target {
			return nil
		}
		next := n.precondition()
		beta := next / rz
		rz = next
		for j, v := range n.scratchQ {
			n.dir[j] = v + beta*n.dir[j]
		}
	}
	return nil
}

const (
	firstForcing = 0.25 // part of the residual that a step leaves, at most
	lastForcing  = 0.8  // of the tolerance, that the last step leaves
	mostProducts = 60   // of a step
	longestStep  = 8    // of a column, in units of ε
	trustedStep  = 2.5  // below this, in units of ε, the quadratic model was good and is damped less the next time
	firstShare   = 0.3  // of what the columns miss that steps are damped by
	leastShare   = 0.01
	mostShare    = 1e4
)

// climb takes steps from where rowsExact has been until the columns miss no more than the tolerance, or the iterations run out. ok is false where a sum left
// the range of the kernel's numbers, or steps no longer help. The error is the context's.
//
// The diagonal grows by a share of what the columns still miss, so that in modes that hardly bend the value a step is not much longer than one unit of ε,
// beyond which the quadratic model says nothing (Doikov 2023 damps such functions by the norm of the gradient). The share follows how long steps come out.
func (n *newton) climb(ctx context.Context, o Options) (ok bool, err error) {
	share := firstShare
	// A step takes two passes at least.
	for n.missed > o.Tolerance && n.iterations < o.MaxIterations-1 {
		n.damping = share * n.missed
		forcing := max(min(firstForcing, math.Sqrt(n.missed)), lastForcing*o.Tolerance/n.missed)
		if err := n.solveStep(ctx, forcing*n.missed, min(mostProducts, o.MaxIterations-n.iterations-1)); err != nil {
			return false, err
		}
		accepted, err := n.try(ctx)
		if err != nil {
			return false, err
		}
		if !accepted {
			if share *= 4; share > mostShare {
				return false, nil
			}
			continue
		}
		if largest(n.step) > trustedStep {
			share *= 2
		} else {
			share = max(share/2, leastShare)
		}
		if n.wide() && n.iterations < o.MaxIterations {
			if err := n.absorb(ctx, n.Epsilon); err != nil {
				return false, err
			}
			if ok, err := n.rowsExact(ctx); !ok || err != nil {
				return ok, err
			}
		}
	}
	return true, nil
}

// try takes the step, if that helps.
func (n *newton) try(ctx context.Context) (accepted bool, err error) {
	copy(n.old.u, n.u)
	copy(n.old.v, n.v)
	copy(n.scratchQ, n.q)
	value, missed := n.value, n.missed
	for j, d := range n.step {
		n.v[j] *= math.Exp(max(-longestStep, min(longestStep, d)))
	}
	ok, err := n.rowsExact(ctx)
	if err != nil {
		return false, err
	}
	// Near the optimum the value no longer tells: there what the columns miss decides.
	if ok && (n.value > value || n.missed < missed) {
		return true, nil
	}
	copy(n.u, n.old.u)
	copy(n.v, n.old.v)
	copy(n.q, n.scratchQ)
	n.value, n.missed = value, missed
	return false, nil
}
