package load

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"kantor/eval"
	kantorv1 "kantor/gen/kantor/v1"
)

// variants is how many different requests there are of each kind.
const variants = 4

// maxRequestBytes bounds what the generator holds of one kind's requests.
const maxRequestBytes = 1 << 30

// kind is one loss of one size.
type kind struct {
	size     Size
	loss     string  // as Config.Losses has it
	upTo     float64 // a number from 0 to 1 below this, and not below that of the kind before, draws this one
	requests [variants]*kantorv1.EvaluateRequest
}

// kinds makes the requests of all sizes and losses.
func kinds(config Config) ([]kind, error) {
	total := 0.0
	for _, share := range config.Mix {
		total += share.Weight * float64(len(config.Losses))
	}
	var out []kind
	upTo := 0.0
	for _, share := range config.Mix {
		if bytes := int64(share.N) * int64(share.D) * 4 * 2 * variants; bytes > maxRequestBytes {
			return nil, bad("mix", "%v takes %d bytes of requests, want at most %d", share.Size, bytes, maxRequestBytes)
		}
		for _, loss := range config.Losses {
			upTo += share.Weight / total
			made := kind{size: share.Size, loss: loss, upTo: upTo}
			for i := range made.requests {
				request, err := newRequest(loss, share.Size, rand.New(rand.NewPCG(config.Seed, uint64(i))))
				if err != nil {
					return nil, err
				}
				made.requests[i] = request
			}
			out = append(out, made)
		}
	}
	return out, nil
}

// newRequest makes the request of a loss, with the gradient that a trainer would want, of random points in float32.
func newRequest(loss string, size Size, random *rand.Rand) (*kantorv1.EvaluateRequest, error) {
	term, err := eval.ParseTerm(loss)
	if err != nil {
		return nil, bad("loss", "%v", err)
	}
	name, _, _ := strings.Cut(loss, ":")
	make, ok := inputsOf[name]
	if !ok {
		return nil, bad("loss", "%s is not one that load makes inputs for, want one of %s", name, strings.Join(Losses(), ", "))
	}
	if correlation := term.GetTotalCorrelation(); correlation != nil && correlation.DatasetSize == 0 {
		correlation.DatasetSize = max(datasetSize, int64(size.N))
	}
	inputs, gradient := make(sampler{size, random})
	return &kantorv1.EvaluateRequest{
		Objective: &kantorv1.Objective{Terms: []*kantorv1.Term{term}, Gradients: []string{gradient}}, Inputs: inputs, Seed: random.Uint64(),
	}, nil
}

// datasetSize is that of total_correlation, where its setting is left out.
const datasetSize = 60_000

// Losses are the names of the losses that requests can be made of, sorted.
func Losses() []string {
	var names []string
	for name := range inputsOf {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// made are inputs by name.
type made = map[string]*kantorv1.Input

// inputsOf makes the inputs of a loss and says which gradient a trainer wants.
var inputsOf = map[string]func(sampler) (made, string){
	"sinkhorn":    twoMeasures,
	"kantorovich": twoMeasures,
	"transport":   twoMeasures,
	"sliced":      twoMeasures,
	"mmd":         twoMeasures,
	"cone_critic": twoMeasures,
	"discrete_kl": commonPoints,
	"stein":       func(s sampler) (made, string) { return made{"source": s.measure(1)}, "source.points" },
	"stress": func(s sampler) (made, string) {
		return made{"codes": s.measure(1), "data": s.measure(2)}, "codes.points"
	},
	"kl":    gaussianPosterior,
	"bures": gaussianPosterior,
	"dip":   gaussianPosterior,
	"total_correlation": func(s sampler) (made, string) {
		return made{"codes": s.measure(1), "posterior": s.gaussian()}, "codes.points"
	},
	"jensen_shannon": func(s sampler) (made, string) {
		return made{"source": s.categorical(), "target": s.categorical()}, "source.logits"
	},
	"categorical_kl":      func(s sampler) (made, string) { return made{"posterior": s.categorical()}, "posterior.logits" },
	"bernoulli_kl":        func(s sampler) (made, string) { return made{"posterior": s.bernoulli()}, "posterior.logits" },
	"von_mises_fisher_kl": func(s sampler) (made, string) { return made{"posterior": s.directions()}, "posterior.concentration" },
}

// twoMeasures are codes that are narrower than their prior, as early in a training.
func twoMeasures(s sampler) (made, string) {
	return made{"source": s.measure(0.7), "target": s.measure(1)}, "source.points"
}

func gaussianPosterior(s sampler) (made, string) {
	return made{"posterior": s.gaussian()}, "posterior.mean"
}

// commonPoints are two measures on the same points.
func commonPoints(s sampler) (made, string) {
	source := s.measure(1).GetMeasure()
	target := &kantorv1.Measure{Points: source.Points}
	source.Weights, target.Weights = s.weights(), s.weights()
	return made{"source": measureInput(source), "target": measureInput(target)}, "source.weights"
}

// sampler draws inputs of one size.
type sampler struct {
	size   Size
	random *rand.Rand
}

// normal draws [N,D] numbers from N(0, scale²).
func (s sampler) normal(scale float64) *kantorv1.Tensor {
	return s.tensor([]int64{int64(s.size.N), int64(s.size.D)}, func() float64 { return scale * s.random.NormFloat64() })
}

func (s sampler) tensor(shape []int64, draw func() float64) *kantorv1.Tensor {
	elements := int64(1)
	for _, extent := range shape {
		elements *= extent
	}
	data := make([]byte, 0, 4*elements)
	for range elements {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(draw())))
	}
	return &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT32, Shape: shape, Data: data}
}

func measureInput(m *kantorv1.Measure) *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Measure{Measure: m}}
}

func (s sampler) measure(scale float64) *kantorv1.Input {
	return measureInput(&kantorv1.Measure{Points: s.normal(scale)})
}

// weights sum to 1 up to a rounding that the server accepts: N numbers each 1/N, moved in pairs.
func (s sampler) weights() *kantorv1.Tensor {
	each, moved := 1/float64(s.size.N), 0.0
	left := s.size.N
	return s.tensor([]int64{int64(s.size.N)}, func() float64 {
		left--
		if moved != 0 {
			back := moved
			moved = 0
			return each - back
		}
		if left > 0 {
			moved = each * (s.random.Float64() - 0.5)
		}
		return each + moved
	})
}

func (s sampler) gaussian() *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Gaussian{Gaussian: &kantorv1.Gaussian{
		Mean: s.normal(1), Spread: &kantorv1.Gaussian_LogVariance{LogVariance: s.normal(0.5)}}}}
}

func (s sampler) categorical() *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Categorical{Categorical: &kantorv1.Categorical{Parameter: &kantorv1.Categorical_Logits{Logits: s.normal(1)}}}}
}

func (s sampler) bernoulli() *kantorv1.Input {
	return &kantorv1.Input{Kind: &kantorv1.Input_Bernoulli{Bernoulli: &kantorv1.Bernoulli{Parameter: &kantorv1.Bernoulli_Logits{Logits: s.normal(1)}}}}
}

// directions have unit means along the axes, which float32 has exactly.
func (s sampler) directions() *kantorv1.Input {
	column, axis := 0, 0
	mean := s.tensor([]int64{int64(s.size.N), int64(s.size.D)}, func() float64 {
		if column == 0 {
			axis = s.random.IntN(s.size.D)
		}
		on := column == axis
		column = (column + 1) % s.size.D
		if on {
			return 1
		}
		return 0
	})
	concentration := s.tensor([]int64{int64(s.size.N)}, func() float64 { return 10 * s.random.Float64() })
	return &kantorv1.Input{Kind: &kantorv1.Input_VonMisesFisher{VonMisesFisher: &kantorv1.VonMisesFisher{Mean: mean, Concentration: concentration}}}
}

// name is for people: the size and, where there are several, the loss.
func (k *kind) name(several bool) string {
	if several {
		return fmt.Sprintf("%v %s", k.size, k.loss)
	}
	return k.size.String()
}
