package critic_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"kantor/losses"
	"kantor/losses/critic"
	"kantor/losses/internal/losstest"
)

// population is a pair of distributions with a transport map that is best, from y ~ N(0, I) to x: W1 = E|x - y|.
type population struct {
	d     int
	carry func(y []float64) (x []float64)
}

// funnels are made of a minimum of cones, u = min_n |z - c_n| + b_n: x moves y towards the tip that is active there, to a share κ of the distance. That is
// along the steepest descent of u, so -u is a potential, and W1 = (1-κ) E|y - c_n| in any dimension.
func funnels(seed uint64, d, count int, kappa float64) population {
	r := losstest.Random(seed)
	tips, heights := losstest.Normal(r, count, d, 1, 0).F64, losstest.Normal(r, 1, count, 0.5, 0).F64
	return population{d, func(y []float64) []float64 {
		least, active := math.Inf(1), 0
		for n, b := range heights {
			if v := distance(y, tips[n*d:(n+1)*d]) + b; v < least {
				least, active = v, n
			}
		}
		x := make([]float64, d)
		for k, c := range tips[active*d : (active+1)*d] {
			x[k] = c + kappa*(y[k]-c)
		}
		return x
	}}
}

// moved is N(0, I) moved by a vector of a given length: W1 is the length. The potential is linear, which no finite number of cones is.
func moved(d int, length float64) population {
	return population{d, func(y []float64) []float64 {
		x := make([]float64, d)
		for k, v := range y {
			x[k] = v + length/math.Sqrt(float64(d))
		}
		return x
	}}
}

func distance(x, y []float64) float64 {
	s := 0.0
	for k := range x {
		s += (x[k] - y[k]) * (x[k] - y[k])
	}
	return math.Sqrt(s)
}

// images is x for points y.
func (p population) images(y losses.Array) losses.Array {
	x := make([]float64, 0, len(y.F64))
	for at := 0; at < len(y.F64); at += p.d {
		x = append(x, p.carry(y.F64[at:at+p.d])...)
	}
	return losses.NewArray(x, y.Shape...)
}

// batch is n fresh samples of each distribution, independent.
func (p population) batch(r *rand.Rand, n int) losses.Inputs {
	return losses.Inputs{
		"source": &losses.Measure{Points: p.images(losstest.Normal(r, n, p.d, 1, 0))},
		"target": &losses.Measure{Points: losstest.Normal(r, n, p.d, 1, 0)},
	}
}

// loss is the critic with the inputs' usual names.
func loss(change func(*critic.Cones)) critic.Cones {
	c := critic.Cones{Source: "source", Target: "target"}
	if change != nil {
		change(&c)
	}
	return c
}

// call evaluates a critic, new if the state is nil, and returns the result and the new state.
func call(t testing.TB, c critic.Cones, in losses.Inputs, state *losses.ConeCriticState, gradients ...string) (*losses.Result, *losses.ConeCriticState) {
	t.Helper()
	if state != nil {
		c.State, in["state"] = "state", state
	}
	o := losses.Objective{Terms: []losses.Term{{Weight: 1, Loss: c}}, Gradients: gradients}
	for _, name := range c.Extras() {
		o.Extras = append(o.Extras, "cone_critic."+name)
	}
	e, err := o.Bind(in, 1)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result, result.Terms[0].Extras["state"].(*losses.ConeCriticState)
}

// learn trains a new critic on fresh batches of 256, at a learning rate that falls to 0 over the second half.
func (p population) learn(t *testing.T, r *rand.Rand, batches int, rate float64) *losses.ConeCriticState {
	t.Helper()
	var state *losses.ConeCriticState
	for i := range batches {
		now := rate * min(1, 2*(1-float64(i)/float64(batches)))
		_, state = call(t, loss(func(c *critic.Cones) { c.LearningRate = &now }), p.batch(r, 256), state)
	}
	return state
}

// judge evaluates a critic on fresh samples: its value as a share of W1, and the mean cosine of its gradient in the source with the direction of transport.
// Each x is there with the y that it came from, so that the value is a mean of differences which a 1-Lipschitz function cannot make larger than |x - y|: the
// share is out of W1 of these very samples, without their noise.
func (p population) judge(t *testing.T, r *rand.Rand, state *losses.ConeCriticState) (share, cosine float64) {
	t.Helper()
	const n = 4000
	y := losstest.Normal(r, n, p.d, 1, 0)
	x := p.images(y)
	in := losses.Inputs{"source": &losses.Measure{Points: x}, "target": &losses.Measure{Points: y}}
	result, _ := call(t, loss(nil), in, state, "source.points")
	slopes, w1 := result.Gradients[losses.Ref{Input: "source", Field: "points"}].F64, 0.0
	for at := 0; at < n*p.d; at += p.d {
		way := distance(x.F64[at:at+p.d], y.F64[at:at+p.d])
		w1 += way / n
		for k := at; k < at+p.d; k++ {
			cosine += slopes[k] * (x.F64[k] - y.F64[k]) / way // a slope is of length 1 and has the weight 1/n
		}
	}
	return result.Value / w1, cosine
}
