package entropic

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// Annealing is the fixed schedule of GeomLoss's SamplesLoss (Feydy 2020, algorithm 3.3), step for step: the temperature falls from the diameter's by a
// factor a step, and nothing is measured.
type Annealing struct {
	Problem
	Blur     float64 // the last temperature is Blur², or Blur for the distance
	Scaling  float64 // of lengths, from step to step, in (0,1)
	Diameter float64 // the first temperature is its square, or itself; 0: that of the bounding box
	Debias   bool    // the self problems too
	Measure  bool    // the marginal error, at the price of one step more
}

// Annealed is where a schedule ended: the potentials F, G and those of the self problems, and the ones before the last step, through which alone its
// gradients flow. What it holds is right to the rounding of the exponents: in each of its steps the error of a potential grows by at most
//
//	½ (log 2) ε_k (d+8) u max_ij(|x_i||y_j| + ½|x_i|² + ½|y_j|² + |f_i| + |g_j|) log₂e/ε_k + ε_k (N+M+8) u,
//
// u half an ulp of the number format and points relative to a mean, since a softmin does not expand: the first summand does not depend on the temperature, so
// that it comes to the number of steps times that. For the distance it is C in place of the lengths.
type Annealed struct {
	F, G, SelfF, SelfG     []float64
	F0, G0, SelfF0, SelfG0 []float64
	Iterations             int
	MarginalError          float64 // the largest of the problems, as in [Solution], saturated; 0: not measured

	annealing Annealing
	single    bool
}

// Run takes the schedule, in the number format that the clouds came in as far as it resolves the exponents. The problems run side by side: none knows of the
// others. The error is the context's.
func (s Annealing) Run(ctx context.Context) (*Annealed, error) {
	if s.single() {
		return runAnnealing[float32](ctx, s)
	}
	return runAnnealing[float64](ctx, s)
}

// annealedError is the rounding of an exponent in binary32, in logarithms, up to which a schedule is computed in it.
const annealedError = 1.0 / 16

// single reports whether binary32 resolves the exponents, and holds costs and their inverses with room. SamplesLoss asks for less.
func (s Annealing) single() bool {
	if !s.A.Single || !s.B.Single {
		return false
	}
	lengths := 0.0 // half the largest square, which bounds a product of two as well
	center := Mean(s.B)
	for _, c := range []*losses.Cloud{s.A, s.B} {
		lengths = max(lengths, largest(costsTo(s.Cost, c, center)))
	}
	schedule := s.schedule()
	return singleHolds(s.Cost, lengths, slices.Min(schedule), slices.Max(schedule)) && 4*lengths*math.Log2E/s.Epsilon*unitOf[float32]() <= annealedError
}

func runAnnealing[T vec.Float](ctx context.Context, s Annealing) (*Annealed, error) {
	fields, schedule := fieldsOf[T](s), s.schedule()
	err := parallel.Each(ctx, len(fields), func(i int) error { return fields[i].run(ctx, schedule, s.Measure) })
	if err != nil {
		return nil, err
	}
	cross := fields[0]
	out := &Annealed{Iterations: len(schedule), F: cross.softF, G: cross.softG, F0: cross.f, G0: cross.g, annealing: s, single: sizeOf[T]() == 4}
	for _, f := range fields {
		out.MarginalError = max(out.MarginalError, Saturated(f.marginalError))
	}
	if s.Debias {
		out.SelfF, out.SelfF0, out.SelfG, out.SelfG0 = fields[1].softF, fields[1].f, fields[2].softF, fields[2].f
	}
	return out, nil
}

// Saturated is a marginal error, or where it is not a number or too large for binary64 the largest number that binary64 has: a schedule may end at potentials
// whose plan overflows, and so do what its marginals should be if it is unbalanced.
func Saturated(marginalError float64) float64 {
	if !isFinite(marginalError) {
		return math.MaxFloat64
	}
	return marginalError
}

// Strategy says how a schedule was computed, for people.
func (a *Annealed) Strategy() string {
	format := formatOf[float64]()
	if a.single {
		format = formatOf[float32]()
	}
	return format + " softmins, a fixed schedule"
}

// Stored is how many bytes of costs a run stores at most: of those that are not products.
func (s Annealing) Stored() int64 {
	switch {
	case s.byProducts():
		return 0
	case s.single():
		return storedCosts[float32](s)
	}
	return storedCosts[float64](s)
}

func storedCosts[T vec.Float](s Annealing) int64 {
	total := int64(0)
	for i, pair := range [][2]*losses.Cloud{{s.A, s.B}, {s.A, s.A}, {s.B, s.B}} {
		if n, m := pair[0].N, pair[1].N; fits[T](n, m) && (i == 0 || s.Debias) {
			total += costBytes[T](n, m)
		}
	}
	return total
}

// schedule is the temperatures: the diameter's, a geometric sequence from it down to the last, and the last. The diameter is the one given or that of the
// bounding box. One that is lower than the last stays in its place, as in SamplesLoss, unless it is 0, or so little that nothing can be divided by it.
func (s Annealing) schedule() []float64 {
	power := 2.0
	if s.Cost == vec.Distance {
		power = 1
	}
	diameter := s.Diameter
	if diameter == 0 {
		diameter = math.Sqrt(2 * Problem{Cost: vec.HalfSquared, A: s.A, B: s.B}.spread())
	}
	first, last := math.Pow(diameter, power), math.Pow(s.Blur, power)
	if first < 0x1p-960 {
		return []float64{last}
	}
	temperatures := []float64{first}
	from, to, by := power*math.Log(diameter), power*math.Log(s.Blur), power*math.Log(s.Scaling)
	for i := range int(max(0, math.Ceil((to-from)/by))) {
		temperatures = append(temperatures, math.Exp(from+float64(i)*by))
	}
	return append(temperatures, last)
}

// field is one of the up to three problems: cross, or a measure against itself, where f = g.
type field[T vec.Float] struct {
	Problem
	self         bool
	sweep        *sweep[T]  // nil: the cost is not one of products
	scores       *scores[T] // made where they are needed first
	f, g         []float64
	softF, softG []float64

	marginalError float64
}

// fieldsOf are the cross problem and, with self terms, those of source and target, at potentials of 0.
func fieldsOf[T vec.Float](s Annealing) []*field[T] {
	pairs := [][2]*losses.Cloud{{s.A, s.B}}
	if s.Debias {
		pairs = append(pairs, [2]*losses.Cloud{s.A, s.A}, [2]*losses.Cloud{s.B, s.B})
	}
	var fields []*field[T]
	for i, pair := range pairs {
		p, n, m := s.Problem, pair[0].N, pair[1].N
		p.A, p.B = pair[0], pair[1]
		f := &field[T]{Problem: p, self: i > 0, f: make([]float64, n), softF: make([]float64, n)}
		if !f.self {
			f.g, f.softG = make([]float64, m), make([]float64, m)
		}
		if p.byProducts() {
			f.sweep = newSweep[T](p.A, p.B, f.self)
		}
		fields = append(fields, f)
	}
	return fields
}

// run takes the schedule and the last step. The error is the context's.
func (f *field[T]) run(ctx context.Context, schedule []float64, measure bool) error {
	defer func() {
		if f.scores != nil {
			f.scores.release()
		}
	}()
	if err := f.step(ctx, schedule[0]); err != nil {
		return err
	}
	f.take(1)
	for _, epsilon := range schedule {
		if err := f.step(ctx, epsilon); err != nil {
			return err
		}
		f.take(0.5)
	}
	if err := f.step(ctx, f.Epsilon); err != nil || !measure {
		return err
	}
	return f.measure(ctx)
}

// measure sets the marginal error of where the last step ended, from the softmins of one more.
func (f *field[T]) measure(ctx context.Context) error {
	next := *f
	next.f, next.g = f.softF, f.softG
	next.softF, next.softG = make([]float64, len(f.softF)), make([]float64, len(f.softG))
	err := next.step(ctx, f.Epsilon)
	f.scores = next.scores
	undamped := 1 / f.damping(f.Epsilon)
	floats.Scale(undamped, next.softF)
	floats.Scale(undamped, next.softG)
	f.marginalError = f.Problem.marginalError(side{Cloud: f.A}, next.f, next.softF, f.Epsilon)
	if !f.self {
		f.marginalError = max(f.marginalError, f.Problem.marginalError(side{Cloud: f.B}, next.g, next.softG, f.Epsilon))
	}
	return err
}

// step writes the damped softmins of both potentials, from both as they were.
func (f *field[T]) step(ctx context.Context, epsilon float64) error {
	done, err := false, error(nil)
	if f.sweep != nil {
		done, err = f.sweep.run(ctx, f.softF, f.softG, f.f, f.g, epsilon)
	}
	if !done && err == nil {
		err = f.stepInLogs(ctx, epsilon)
	}
	floats.Scale(f.damping(epsilon), f.softF)
	floats.Scale(f.damping(epsilon), f.softG)
	return err
}

func (f *field[T]) stepInLogs(ctx context.Context, epsilon float64) (err error) {
	if f.scores == nil {
		store := f.sweep == nil && fits[T](f.A.N, f.B.N)
		if f.scores, err = newScores[T](ctx, f.Problem, store); err != nil {
			return err
		}
	}
	if f.self {
		return f.scores.softminRows(ctx, f.softF, f.f, epsilon)
	}
	if err := f.scores.softminRows(ctx, f.softF, f.g, epsilon); err != nil {
		return err
	}
	return f.scores.softminColumns(ctx, f.softG, f.f, epsilon)
}

// take moves the potentials to the softmins by the given part.
func (f *field[T]) take(part float64) {
	blend(f.f, f.softF, part, 1)
	blend(f.g, f.softG, part, 1)
}

// AddPointGradient adds scale times the gradient in the points of the source, or of the target, to dst, [N,D]: that of [AddPointGradient] for the cross
// problem less, with self terms, that of the cloud's own. The last step left the softmins that it needs. The error is the context's.
func (a *Annealed) AddPointGradient(ctx context.Context, dst []float64, ofTarget bool, scale float64) error {
	s := a.annealing
	cross, self := s.Problem, s.Problem
	soft, g, selfSoft, selfG := a.F, a.G0, a.SelfF, a.SelfF0
	if ofTarget {
		cross.A, cross.B = s.B, s.A
		soft, g, selfSoft, selfG = a.G, a.F0, a.SelfG, a.SelfG0
	}
	self.A, self.B = cross.A, cross.A
	err := a.addPointGradient(ctx, dst, scale, cross, soft, g)
	if err == nil && s.Debias {
		err = a.addPointGradient(ctx, dst, -scale, self, selfSoft, selfG)
	}
	return err
}

func (a *Annealed) addPointGradient(ctx context.Context, dst []float64, scale float64, p Problem, f, g []float64) error {
	marginal, soft := make([]float64, p.A.N), make([]float64, p.A.N)
	for i, v := range f {
		if w := p.A.W[i]; w > 0 {
			marginal[i] = scale * w * p.target(v)
		}
		soft[i] = v / p.damping(p.Epsilon)
	}
	logW := newSide(p.B).logW
	switch {
	case !p.byProducts():
		return p.addPulls(ctx, dst, marginal, soft, g)
	case a.single:
		return newProducts[float32](p.A, p.B).addBarycentric(ctx, dst, marginal, soft, g, logW, p.Epsilon)
	}
	return newProducts[float64](p.A, p.B).addBarycentric(ctx, dst, marginal, soft, g, logW, p.Epsilon)
}
