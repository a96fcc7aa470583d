package sliced

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"

	"kantor/losses"
	"kantor/losses/internal/parallel"
	"kantor/losses/internal/vec"
)

// ascent looks for the direction of the most transport. The value as a function of the direction is the least of the costs of all plans, each a convex
// function of it: it has maxima where its gradient jumps, so that the gradient need not vanish there.
type ascent struct {
	*lines
	theta     []float64 // [1,D], the best so far
	cost      float64
	steps     int
	converged bool
	rows      [2][]float64
	own       *scratch
}

const (
	// gain is the part of the cost that a step has to add for another one to be worth it.
	gain = 1e-9
	// nearest is the shortest step that is tried, in radians.
	nearest = 1e-7
)

// ascend starts from the best of the directions theta.
func (l *lines) ascend(ctx context.Context, theta []float64) (*ascent, error) {
	costs, err := l.evaluate(ctx, theta, &sums{})
	if err != nil {
		return nil, err
	}
	d := l.a.D
	best := floats.MaxIdx(costs)
	a := &ascent{lines: l, theta: theta[best*d : (best+1)*d], own: l.scratch.Get().(*scratch)}
	defer l.scratch.Put(a.own)
	for s, c := range l.clouds {
		a.rows[s] = make([]float64, c.stride)
	}
	return a, parallel.Do(ctx, a.climb)
}

// warning says that the ascent did not end.
func (a *ascent) warning() losses.Warning {
	return losses.Warning{Code: losses.NotConverged,
		Message: fmt.Sprintf("the ascent still gained after %d steps: the value is a lower bound all the same; raise max_iterations", a.steps)}
}

// climb takes steps until none gains.
func (a *ascent) climb(gate *parallel.Gate) {
	d := len(a.theta)
	gradient, tangent := make([]float64, d), make([]float64, d)
	a.cost = a.along(gate, a.theta, gradient)
	for length := 0.5; a.steps < a.maxIterations; a.steps++ {
		if !gate.Open() {
			return
		}
		// The part of the gradient along the sphere; what is along the direction itself only scales.
		floats.AddScaledTo(tangent, gradient, -floats.Dot(gradient, a.theta), a.theta)
		slope := floats.Norm(tangent, 2)
		if !(slope > 1e-12*a.cost) {
			a.converged = true
			return
		}
		floats.Scale(1/slope, tangent)
		before := a.cost
		length = a.search(gate, tangent, slope, min(2*length, math.Pi/4), gradient)
		if a.converged = a.cost <= before*(1+gain); a.converged {
			return
		}
	}
}

// search moves the direction along the great circle with the unit tangent and leaves the gradient there. It halves the step until it gains, tries once more
// where the parabola through what is known has its top, and takes the better. It returns the step's length.
func (a *ascent) search(gate *parallel.Gate, tangent []float64, slope, length float64, gradient []float64) float64 {
	here, start, tried := a.theta, a.cost, make([]float64, len(a.theta))
	try := func(angle float64) (cost float64) {
		for k, v := range here {
			tried[k] = math.Cos(angle)*v + math.Sin(angle)*tangent[k]
		}
		normalise(tried)
		if cost = a.along(gate, tried, nil); cost > a.cost {
			a.theta, a.cost = append([]float64(nil), tried...), cost
		}
		return cost
	}
	cost := try(length)
	for ; cost <= start && length > nearest && gate.Open(); cost = try(length) {
		length /= 2
	}
	// Twice the distance by which the cost stays under the tangent is the curvature times the square of the length.
	if under := start + slope*length - cost; under > 0 && cost > start {
		if top := 0.5 * slope * length * length / under; top > length/4 && top < 4*length && try(top) > cost {
			length = top
		}
	}
	a.along(gate, a.theta, gradient)
	return length
}

// along returns the cost along a direction, and writes its gradient in the direction, [D], unless that is nil.
func (a *ascent) along(gate *parallel.Gate, theta, gradient []float64) float64 {
	var sides [2]side
	for s, c := range a.clouds {
		row := a.rows[s]
		if !c.project(gate, row, theta, 1) || !a.own.Sort(gate, a.own.sorted[s], row[:c.N]) {
			return 0
		}
		sides[s] = side{sorted: a.own.sorted[s], weights: c.W, uniform: c.uniform}
		if gradient != nil {
			sides[s].slopes = row[:c.N]
		}
	}
	cost := transport(gate, a.p, sides[0], sides[1])
	clear(gradient)
	for k := range gradient {
		if k > 0 && k%32 == 0 && !gate.Open() {
			return 0
		}
		for s, c := range a.clouds {
			gradient[k] += vec.Dot(c.xt[k*c.stride:(k+1)*c.stride], a.rows[s])
		}
	}
	return cost
}
