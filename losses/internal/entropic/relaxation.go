package entropic

import "math"

// relaxation chooses the over-relaxation factor ω from the row errors of the sweeps so far.
//
// Plain sweeps shrink the error by a factor r each, in the long run. With ω = 2/(1+√(1-r)) that becomes ω-1 (Young 1954; for Sinkhorn: Thibault,
// Chizat, Dossal, Papadakis 2017). An estimate of r that is too small is safe and slow. It shows: below the best ω the slowest mode still shrinks by
// some λ > ω-1 with (λ+ω-1)² = λω²r, so the observed λ gives a larger r. At the best ω and above it λ = ω-1, which says nothing about r.
type relaxation struct {
	omega  float64
	r      float64   // the rate behind omega; 0: none yet
	errors []float64 // row errors since omega last changed, oldest first
	recent []float64 // row errors at ε, oldest first, for the guard
	hold   int       // sweeps for which omega stays 1
}

const (
	shortestSpan = 5        // sweeps over which a rate is taken, at least
	clearlyAbove = 0.2      // part of the way from ω-1 to 1 that a rate lies above ω-1 where it tells that ω is too small
	maxRate      = 1 - 1e-8 // keeps ω below 2
	guardSpan    = 20       // sweeps
	guardFactor  = 5        // growth over guardSpan sweeps at which the guard falls back; good runs rise by less
)

func newRelaxation() *relaxation { return &relaxation{omega: 1} }

// next takes the row error before a sweep and returns the factor for it.
func (r *relaxation) next(rows float64) float64 {
	r.recent = append(r.recent, rows)
	if r.diverges(rows) {
		*r = relaxation{omega: 1, hold: guardSpan}
		return 1
	}
	r.errors = append(r.errors, rows)
	if r.hold > 0 {
		r.hold--
		return 1
	}
	span := r.span()
	at := len(r.errors) - 1
	if at < 2*span {
		return r.omega
	}
	rate := math.Pow(rows/r.errors[at-span], 1/float64(span))
	if estimate, ok := r.estimate(rate); ok {
		r.r = estimate
		r.omega = 2 / (1 + math.Sqrt(1-estimate))
		r.errors = r.errors[:0]
	}
	return r.omega
}

// span is the number of sweeps over which a rate is taken, after as many that are left out: a new ω first raises the error for some 1/(2-ω) sweeps.
func (r *relaxation) span() int { return max(shortestSpan, int(1/(2-r.omega))) }

// estimate returns a rate of plain sweeps that is worth a new ω.
func (r *relaxation) estimate(rate float64) (float64, bool) {
	if !(rate > 0 && rate < 1) {
		return 0, false
	}
	if r.omega == 1 {
		return min(rate, maxRate), true
	}
	floor := r.omega - 1
	if rate < floor+clearlyAbove*(1-floor) {
		return 0, false
	}
	estimate := min((rate+floor)*(rate+floor)/(rate*r.omega*r.omega), maxRate)
	return estimate, estimate > r.r
}

// diverges reports whether the error is not a number or has grown out of proportion.
func (r *relaxation) diverges(rows float64) bool {
	if math.IsNaN(rows) || math.IsInf(rows, 0) {
		return true
	}
	before := len(r.recent) - 1 - guardSpan
	return r.omega > 1 && before >= 0 && rows > guardFactor*r.recent[before]
}
