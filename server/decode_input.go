package server

import (
	"fmt"
	"math"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// maxRank is the most extents of a tensor that are looked at: anything above [B,N,D] is refused anyway, and a shape must not make an error of megabytes.
const maxRank = 8

func decodeInput(name string, in *kantorv1.Input) (losses.Input, error) {
	path := fmt.Sprintf("inputs[%q]", name)
	switch in.GetKind().(type) {
	case *kantorv1.Input_Measure:
		return decodeMeasure(path, in.GetMeasure())
	case *kantorv1.Input_Gaussian:
		return decodeGaussian(path, in.GetGaussian())
	case *kantorv1.Input_Prior:
		return decodePrior(path+".prior", in.GetPrior())
	case *kantorv1.Input_ConeCritic:
		return decodeConeCritic(path, in.GetConeCritic())
	case *kantorv1.Input_Categorical:
		return decodeCategorical(path, in.GetCategorical())
	case *kantorv1.Input_Bernoulli:
		return decodeBernoulli(path, in.GetBernoulli())
	case *kantorv1.Input_VonMisesFisher:
		return decodeVonMisesFisher(path, in.GetVonMisesFisher())
	}
	return nil, badf(path, "is of no kind, want one of %v", fieldNames(kindOneof))
}

var kindOneof = (&kantorv1.Input{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")

func decodeMeasure(path string, m *kantorv1.Measure) (losses.Input, error) {
	points, err := decodeTensor(path+".points", m.GetPoints())
	if err != nil {
		return nil, err
	}
	sizes, err := decodeSizes(path+".sizes", m.GetSizes())
	if err != nil {
		return nil, err
	}
	measure := &losses.Measure{Points: points, Sizes: sizes}
	if m.GetWeights() != nil {
		weights, err := decodeTensor(path+".weights", m.GetWeights())
		if err != nil {
			return nil, err
		}
		measure.Weights = &weights
	}
	return measure, nil
}

// decodeSizes refuses what no batch has, before it allocates and before a number can be cut to an int.
func decodeSizes(path string, sizes []int64) ([]int, error) {
	if len(sizes) > losses.MaxProblems {
		return nil, badf(path, "has %d numbers, want at most %d, one per problem", len(sizes), losses.MaxProblems)
	}
	out := make([]int, len(sizes))
	for b, size := range sizes {
		if size < 1 || size > losses.MaxPoints {
			return nil, badf(path, "has %d at [%d], want 1 to %d", size, b, losses.MaxPoints)
		}
		out[b] = int(size)
	}
	return out, nil
}

func decodeGaussian(path string, g *kantorv1.Gaussian) (losses.Input, error) {
	mean, err := decodeTensor(path+".mean", g.GetMean())
	if err != nil {
		return nil, err
	}
	if g.GetCovariance() != nil {
		covariance, err := decodeTensor(path+".covariance", g.GetCovariance())
		return &losses.Gaussian{Mean: mean, Covariance: &covariance}, err
	}
	logVariance, err := decodeTensor(path+".log_variance", g.GetLogVariance())
	return &losses.Gaussian{Mean: mean, LogVariance: logVariance}, err
}

func decodePrior(path string, p *kantorv1.Prior) (losses.Input, error) {
	if size := p.GetSize(); size < 0 || size > losses.MaxPoints {
		return nil, badf(path+".size", "is %d, want 0 (as many as the other measure) to %d", size, losses.MaxPoints)
	}
	prior := &losses.Prior{Size: int(p.GetSize())}
	switch family := p.GetFamily().(type) {
	case *kantorv1.Prior_StandardNormal:
		prior.Family = losses.StandardNormal{}
	case *kantorv1.Prior_UniformCube:
		prior.Family = losses.UniformCube{Lower: orNumber(family.UniformCube.Lower, -1), Upper: orNumber(family.UniformCube.Upper, 1)}
	case *kantorv1.Prior_UniformSphere:
		prior.Family = losses.UniformSphere{Radius: orNumber(family.UniformSphere.Radius, 1)}
	case *kantorv1.Prior_GaussianMixture:
		mixture, err := decodeMixture(path+".gaussian_mixture", family.GaussianMixture)
		if err != nil {
			return nil, err
		}
		prior.Family = mixture
	default:
		return nil, badf(path, "names no distribution, want one of %v", fieldNames(familyOneof))
	}
	return prior, nil
}

var familyOneof = (&kantorv1.Prior{}).ProtoReflect().Descriptor().Oneofs().ByName("family")

func decodeMixture(path string, m *kantorv1.GaussianMixture) (*losses.GaussianMixture, error) {
	means, err := decodeTensor(path+".means", m.GetMeans())
	if err != nil {
		return nil, err
	}
	mixture := &losses.GaussianMixture{Means: means}
	if mixture.LogVariance, err = decodeOptional(path+".log_variance", m.GetLogVariance()); err != nil {
		return nil, err
	}
	mixture.Weights, err = decodeOptional(path+".weights", m.GetWeights())
	return mixture, err
}

// decodeOptional returns nil for an absent tensor.
func decodeOptional(path string, t *kantorv1.Tensor) (*losses.Array, error) {
	if t == nil {
		return nil, nil
	}
	array, err := decodeTensor(path, t)
	return &array, err
}

func decodeConeCritic(path string, c *kantorv1.ConeCriticState) (losses.Input, error) {
	if c.GetStep() < 0 || c.GetStep() > math.MaxInt32 {
		return nil, badf(path+".step", "is %d, want 0 to %d", c.GetStep(), math.MaxInt32)
	}
	state := &losses.ConeCriticState{Step: int(c.GetStep())}
	for _, f := range []struct {
		name string
		from *kantorv1.Tensor
		to   *losses.Array
	}{
		{"tips", c.GetTips(), &state.Tips},
		{"heights", c.GetHeights(), &state.Heights},
		{"tip_moments", c.GetTipMoments(), &state.TipMoments},
		{"height_moments", c.GetHeightMoments(), &state.HeightMoments},
		{"averages", c.GetAverages(), &state.Averages},
	} {
		var err error
		if *f.to, err = decodeTensor(path+"."+f.name, f.from); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// orNumber is an optional number, or its default.
func orNumber(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}

// decodeTensor checks that the bytes are those of the shape before it allocates. The array may share the bytes' memory; nobody writes to either.
func decodeTensor(path string, t *kantorv1.Tensor) (losses.Array, error) {
	if t == nil {
		return losses.Array{}, badf(path, "is absent, want a tensor")
	}
	var width int64
	switch t.GetDtype() {
	case kantorv1.Dtype_DTYPE_FLOAT32:
		width = 4
	case kantorv1.Dtype_DTYPE_FLOAT64:
		width = 8
	case kantorv1.Dtype_DTYPE_UNSPECIFIED:
		return losses.Array{}, badf(path, "has no dtype, want DTYPE_FLOAT32 or DTYPE_FLOAT64")
	default:
		return losses.Array{}, badf(path, "has dtype %d, want DTYPE_FLOAT32 or DTYPE_FLOAT64", t.GetDtype())
	}
	shape, n, err := decodeShape(path, t.GetShape())
	if err != nil {
		return losses.Array{}, err
	}
	// By division, so that no shape overflows; n bounds what is allocated because it is the number of elements that are already here.
	if have := int64(len(t.GetData())); have%width != 0 || have/width != n {
		return losses.Array{}, badf(path, "has %d bytes of data, want %d elements of %d bytes for shape %v", have, n, width, shape)
	}
	if width == 4 {
		return losses.Array{Shape: shape, F32: float32s(t.GetData())}, nil
	}
	return losses.Array{Shape: shape, F64: float64s(t.GetData())}, nil
}

// decodeShape returns the extents and the number of elements.
func decodeShape(path string, extents []int64) ([]int, int64, error) {
	if len(extents) > maxRank {
		return nil, 0, badf(path, "has %d extents, want at most 3, those of [B,N,D]", len(extents))
	}
	shape, n := make([]int, len(extents)), int64(1)
	for i, extent := range extents {
		switch {
		case extent < 0:
			return nil, 0, badf(path, "has shape %v, want no negative extents", extents)
		case extent > losses.MaxPoints:
			return nil, 0, badf(path, "is too large: extent %d of shape %v, want at most %d", extent, extents, losses.MaxPoints)
		case extent > 0 && n > math.MaxInt64/extent:
			return nil, 0, badf(path, "is too large: shape %v", extents)
		}
		shape[i], n = int(extent), n*extent
	}
	return shape, n, nil
}
