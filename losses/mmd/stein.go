package mmd

import (
	"context"
	"math"

	"kantor/losses"
	"kantor/losses/internal/vec"
)

// Stein is the squared kernel Stein discrepancy of a measure to N(0, I), m² E u(x,x') with
//
//	u(x,y) = k s(x)·s(y) + s(x)·∇_y k + s(y)·∇_x k + tr ∇_x∇_y k,   s(x) = ∇ log N(x; 0, I) = -x,
//
// which is 0 for N(0, I) alone and takes no samples of it (Liu, Lee, Jordan 2016, definition 3.2 and theorem 3.6; Chwialkowski, Strathmann, Gretton 2016, section
// 2.1). With k = φ(q), q = |x-y|², and p = x·y that is
//
//	u = φ p + ψ,   ψ = 2(q-D) φ' - 4q φ''
//	∇_x u = φ y + 2(φ' p + ψ')(x-y),   ψ' = 2φ' + (2q-2D-4) φ'' - 4q φ'''
//
// since ∇_x k = 2φ'(x-y) = -∇_y k and tr ∇_x∇_y k = -2Dφ' - 4qφ”.
//
// Gradients: points and weights of the source; with the mass free, so that <weights, gradient> is twice the value.
type Stein struct {
	Source    string   // name of the input
	Kernel    Kernel   // IMQ, which here is (1+d²/blur²)^-½ (Gorham and Mackey 2017), or Gaussian
	Blur      *float64 // length scale; nil: the root of the dimension
	Statistic Statistic
}

// Kind implements [losses.Loss].
func (Stein) Kind() string { return "stein" }

// Uses implements [losses.Loss].
func (s Stein) Uses() []losses.Use { return []losses.Use{{Field: "source", Input: s.Source}} }

// Extras implements [losses.Loss].
func (Stein) Extras() []string { return nil }

// Bind implements [losses.Loss].
func (s Stein) Bind(inputs losses.Inputs, _ losses.Seed) (losses.Problem, error) {
	if s.Kernel != IMQ && s.Kernel != Gaussian {
		return nil, losses.Badf("kernel", "is %v, want imq or gaussian", s.Kernel)
	}
	if err := checkBlur(s.Blur); err != nil {
		return nil, err
	}
	cloud, err := inputs.Cloud("source", s.Source)
	if err != nil {
		return nil, err
	}
	if err := checkSpread(cloud, nil); err != nil {
		return nil, err
	}
	blur := math.Sqrt(float64(cloud.D))
	if s.Blur != nil {
		blur = *s.Blur
	}
	p := &steinProblem{radial: steinRadial(s.Kernel, blur, cloud.D), cloud: cloud}
	p.self = newSelf(cloud, s.Statistic, func(point []float64) float64 {
		size := norm(point)
		return size*size + p.atZero
	})
	return p, p.check("source")
}

// steinProblem is a Stein discrepancy bound to its cloud.
type steinProblem struct {
	radial
	cloud *losses.Cloud
	*self // without sums
}

// Work implements [losses.Problem].
func (p *steinProblem) Work() losses.Work {
	n := float64(p.cloud.N)
	return losses.Work{Pairs: n * n / 2, Iterations: 1, Bytes: bytes(p.cloud.N, p.cloud.D)}
}

// Solve implements [losses.Problem].
func (p *steinProblem) Solve(ctx context.Context, want losses.Want) (losses.TermResult, error) {
	wanted := wantsOf(want, p.cloud)
	side, err := newSide(ctx, p.cloud, make(frame, p.cloud.D), wanted.points) // the origin is where the score is 0
	if err != nil {
		return losses.TermResult{}, err
	}
	all := newPairs(p.radial, side, side, true, wanted.points, wanted.points)
	if err := compute(ctx, all); err != nil {
		return losses.TermResult{}, err
	}
	s := *p.self
	s.set(all.sumX, 1)
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: s.value()}}, Gradients: map[losses.Ref][]float64{}}
	if wanted.points {
		gradient := make([]float64, p.cloud.N*p.cloud.D)
		if err := all.addGradientX(ctx, gradient, s.pull(), p.cloud.W); err != nil {
			return losses.TermResult{}, err
		}
		for i, w := range p.cloud.W {
			for k, v := range p.cloud.X[i*p.cloud.D : (i+1)*p.cloud.D] {
				if s.diagonal != nil {
					gradient[i*p.cloud.D+k] += 2 * w * w * v // of |x|² on the diagonal
				}
			}
		}
		result.Gradients[losses.Ref{Input: p.cloud.Name, Field: "points"}] = gradient
	}
	if wanted.weights {
		gradient := make([]float64, p.cloud.N)
		s.addWeights(gradient, 1)
		result.Gradients[losses.Ref{Input: p.cloud.Name, Field: "weights"}] = gradient
	}
	return result, nil
}

// steinRadial is u, whose part on the diagonal is atZero and |x|².
func steinRadial(kernel Kernel, blur float64, d int) radial {
	square, dimension := blur*blur, float64(d)
	derivatives := func(q float64) (f, f1, f2, f3 float64) { // of (1+q/l²)^-½
		s := 1 / (1 + q/square)
		f = math.Sqrt(s)
		f1 = -0.5 * f * s / square
		f2 = -1.5 * f1 * s / square
		return f, f1, f2, -2.5 * f2 * s / square
	}
	if kernel == Gaussian {
		derivatives = func(q float64) (f, f1, f2, f3 float64) { // of e^{-q/2l²}
			by := -0.5 / square
			f = math.Exp(by * q)
			f1 = by * f
			f2 = by * f1
			return f, f1, f2, by * f2
		}
	}
	_, slope, _, _ := derivatives(0)
	return radial{cost: vec.HalfSquared, value: 1, pull: 1, atZero: -2 * dimension * slope, two: true, fill: func(s *strip) {
		for i := range s.rows {
			k := s.row(s.k, i)
			for j, cost := range k {
				q := 2 * cost
				f, f1, f2, f3 := derivatives(q)
				p := 0.5 * (s.rx[i] + s.ry[j] - q)
				k[j] = f*p + 2*(q-dimension)*f1 - 4*q*f2
				if s.t == nil {
					continue
				}
				t := -2 * (f1*p + 2*f1 + (2*q-2*dimension-4)*f2 - 4*q*f3)
				s.t[i*block+j], s.g[i*block+j] = t, t+f
			}
		}
	}}
}
