package critic

import (
	"math"
	"slices"

	"kantor/losses"
)

// state is a critic with its optimiser, a copy of [losses.ConeCriticState].
type state struct {
	envelopes
	tipMoments    moments
	heightMoments moments
	averages      [functions]float64 // of the values, per unit of mass
	step          int
}

// moments are running means of a gradient and of its square, in the shape of the parameters.
type moments struct{ mean, square []float64 }

// newState is a critic whose parameters are all 0.
func newState(count, d int) *state {
	tips, heights := functions*count*d, functions*count
	return &state{
		envelopes:     envelopes{count: count, d: d, tips: make([]float64, tips), heights: make([]float64, heights)},
		tipMoments:    moments{make([]float64, tips), make([]float64, tips)},
		heightMoments: moments{make([]float64, heights), make([]float64, heights)},
	}
}

// of is the part of function f.
func (m moments) of(f int) moments {
	n := len(m.mean) / functions
	return moments{m.mean[f*n : (f+1)*n], m.square[f*n : (f+1)*n]}
}

// maxMoment is above what a mean of gradients can be. A gradient is a difference of two means of vectors of length 1, at most 2, and its square at most 4.
const maxMoment = 5

// stateOf copies the state that an input is. Its shapes have been checked; here are the dimension, and what could make a step overflow.
func stateOf(inputs losses.Inputs, name string, a *losses.Cloud) (*state, error) {
	in, ok := inputs[name].(*losses.ConeCriticState)
	if !ok {
		return nil, losses.Badf("state", "input %q is no state of a cone critic", name)
	}
	count, d := in.Tips.Shape[1], in.Tips.Shape[2]
	switch {
	case d != a.D:
		return nil, losses.Badf("state", "input %q has tips of dimension %d, want %d, that of source %q", name, d, a.D, a.Name)
	case count > MaxNumbers/d:
		return nil, losses.Badf("state", "input %q has %d cones, want at most %d in dimension %d", name, count, MaxNumbers/d, d)
	}
	s := newState(count, d)
	s.step = in.Step
	for _, f := range []struct {
		name        string
		from        losses.Array
		to, squares []float64 // squares follow, of moments
		most        float64
	}{
		{"tips", in.Tips, s.tips, nil, largest},
		{"heights", in.Heights, s.heights, nil, largest},
		{"tip_moments", in.TipMoments, s.tipMoments.mean, s.tipMoments.square, maxMoment},
		{"height_moments", in.HeightMoments, s.heightMoments.mean, s.heightMoments.square, maxMoment},
		{"averages", in.Averages, s.averages[:], nil, largest},
	} {
		if f.from.F32 != nil {
			return nil, losses.Badf("state", "input %q has %s in binary32, want binary64: a critic goes on as it was only with all its digits", name, f.name)
		}
		copy(f.squares, f.from.F64[copy(f.to, f.from.F64):])
		if v, bad := outside(f.to, -f.most, f.most); bad {
			return nil, losses.Badf("state", "input %q has %v in %s, want %v to %v", name, v, f.name, -f.most, f.most)
		}
		if v, bad := outside(f.squares, 0, f.most); bad {
			return nil, losses.Badf("state", "input %q has a mean square of %v in %s, want 0 to %v", name, v, f.name, f.most)
		}
	}
	return s, nil
}

// outside finds the first number that is not between two others.
func outside(x []float64, least, most float64) (float64, bool) {
	at := slices.IndexFunc(x, func(v float64) bool { return !(v >= least && v <= most) })
	if at < 0 {
		return 0, false
	}
	return x[at], true
}

func (s *state) clone() *state {
	c := *s
	c.tips, c.heights = slices.Clone(s.tips), slices.Clone(s.heights)
	c.tipMoments, c.heightMoments = s.tipMoments.clone(), s.heightMoments.clone()
	return &c
}

func (m moments) clone() moments { return moments{slices.Clone(m.mean), slices.Clone(m.square)} }

// extra is the state as it goes to the caller. It shares the state's memory.
func (s *state) extra() *losses.ConeCriticState {
	both := func(m moments, shape ...int) losses.Array {
		return losses.NewArray(append(slices.Clone(m.mean), m.square...), shape...)
	}
	return &losses.ConeCriticState{
		Tips:          losses.NewArray(s.tips, functions, s.count, s.d),
		Heights:       losses.NewArray(s.heights, functions, s.count),
		TipMoments:    both(s.tipMoments, 2, functions, s.count, s.d),
		HeightMoments: both(s.heightMoments, 2, functions, s.count),
		Averages:      losses.NewArray(s.averages[:], functions),
		Step:          s.step,
	}
}

// better is the function whose values were larger so far.
func (s *state) better() int {
	if s.averages[above] > s.averages[below] {
		return above
	}
	return below
}

// advance counts a step, up to the largest number that the contract carries: by then nothing depends on it.
func (s *state) advance() { s.step = min(s.step+1, math.MaxInt32) }
