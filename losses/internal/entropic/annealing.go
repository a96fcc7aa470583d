package entropic

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// Annealing is the fixed schedule of GeomLoss's SamplesLoss (Feydy 2020, algorithm 3.3), step for step: the temperature falls from the diameter's by a
// factor a step, and nothing is measured.
type Annealing struct {
	Problem
	Blur    float64 // the last temperature is Blur², or Blur for the distance
	Scaling float64 // of lengths, from step to step, in (0,1)
	Debias  bool    // the self problems too
}

// Annealed is where a schedule ended: the potentials F, G and those of the self problems, and the ones before the last step, through which alone its
// gradients flow.
type Annealed struct {
	F, G, SelfF, SelfG     []float64
	F0, G0, SelfF0, SelfG0 []float64
	Iterations             int
}

// Run takes the schedule. The error is the context's.
func (s Annealing) Run(ctx context.Context) (*Annealed, error) {
	fields, err := s.fields(ctx)
	if err != nil {
		return nil, err
	}
	schedule := s.schedule()
	out := &Annealed{Iterations: len(schedule)}
	for _, f := range fields {
		if err := f.step(ctx, s.Problem, schedule[0]); err != nil {
			return nil, err
		}
		f.take(1)
	}
	for _, epsilon := range schedule {
		for _, f := range fields {
			if err := f.step(ctx, s.Problem, epsilon); err != nil {
				return nil, err
			}
			f.take(0.5)
		}
	}
	for _, f := range fields {
		if err := f.step(ctx, s.Problem, s.Epsilon); err != nil {
			return nil, err
		}
	}
	cross := fields[0]
	out.F, out.G, out.F0, out.G0 = cross.softF, cross.softG, cross.f, cross.g
	if s.Debias {
		out.SelfF, out.SelfF0, out.SelfG, out.SelfG0 = fields[1].softF, fields[1].f, fields[2].softF, fields[2].f
	}
	return out, nil
}

// Stored is how many bytes of costs a run stores at most.
func (s Annealing) Stored() int64 {
	total := int64(0)
	for i, pair := range [][2]*losses.Cloud{{s.A, s.B}, {s.A, s.A}, {s.B, s.B}} {
		if n, m := pair[0].N, pair[1].N; fits[float64](n, m) && (i == 0 || s.Debias) {
			total += costBytes[float64](n, m)
		}
	}
	return total
}

// schedule is the temperatures: the diameter's, a geometric sequence from it down to the last, and the last. The diameter is that of the bounding box.
func (s Annealing) schedule() []float64 {
	power := 2.0
	if s.Cost == vec.Distance {
		power = 1
	}
	square := Problem{Cost: vec.HalfSquared, A: s.A, B: s.B}.spread()
	diameter := math.Sqrt(2 * square)
	temperatures := []float64{math.Pow(diameter, power)}
	from, to, by := power*math.Log(diameter), power*math.Log(s.Blur), power*math.Log(s.Scaling)
	for i := range int(max(0, math.Ceil((to-from)/by))) {
		temperatures = append(temperatures, math.Exp(from+float64(i)*by))
	}
	return append(temperatures, math.Pow(s.Blur, power))
}

// field is one of the up to three problems: cross, or a measure against itself, where f = g.
type field struct {
	scores       *scores[float64]
	self         bool
	f, g         []float64
	softF, softG []float64
}

// fields are the cross problem and, with self terms, those of source and target, at potentials of 0.
func (s Annealing) fields(ctx context.Context) ([]*field, error) {
	pairs := [][2]*losses.Cloud{{s.A, s.B}}
	if s.Debias {
		pairs = append(pairs, [2]*losses.Cloud{s.A, s.A}, [2]*losses.Cloud{s.B, s.B})
	}
	var fields []*field
	for i, pair := range pairs {
		p := s.Problem
		p.A, p.B = pair[0], pair[1]
		scores, err := newScores[float64](ctx, p, fits[float64](p.A.N, p.B.N))
		if err != nil {
			return nil, err
		}
		n, m := p.A.N, p.B.N
		fields = append(fields, &field{scores: scores, self: i > 0, f: make([]float64, n), g: make([]float64, m),
			softF: make([]float64, n), softG: make([]float64, m)})
	}
	return fields, nil
}

// step writes the damped softmins of both potentials, from both as they were.
func (f *field) step(ctx context.Context, p Problem, epsilon float64) error {
	g := f.g
	if f.self {
		g = f.f
	}
	err := f.scores.softminRows(ctx, f.softF, g, epsilon)
	floats.Scale(p.damping(epsilon), f.softF)
	if f.self || err != nil {
		return err
	}
	err = f.scores.softminColumns(ctx, f.softG, f.f, epsilon)
	floats.Scale(p.damping(epsilon), f.softG)
	return err
}

// take moves the potentials to the softmins by the given part.
func (f *field) take(part float64) {
	blend(f.f, f.softF, part, 1)
	blend(f.g, f.softG, part, 1)
}
