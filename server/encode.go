package server

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// encode turns a result into a response, but for the timing and the build. It takes the result over: tensors may share its memory.
func encode(r *losses.Result) *kantorv1.EvaluateResponse {
	response := &kantorv1.EvaluateResponse{Value: r.Value, Gradients: encodeGradients(r.Gradients, r.Kinds)}
	for _, t := range r.Terms {
		response.Terms = append(response.Terms, encodeTerm(t, r.Kinds))
	}
	return response
}

func encodeTerm(t losses.TermResult, kinds losses.Inputs) *kantorv1.TermResult {
	term := &kantorv1.TermResult{Name: t.Name}
	if t.Own != nil {
		term.Gradients = encodeGradients(t.Own, kinds)
	}
	for _, o := range t.Outcomes {
		outcome := &kantorv1.Outcome{Value: o.Value, Estimand: kantorv1.Estimand(o.Estimand), StandardError: o.StandardError}
		if o.Interval != nil {
			outcome.Interval = &kantorv1.Interval{Lower: o.Interval.Lower, Upper: o.Interval.Upper}
		}
		if o.Solve != nil {
			outcome.Solve = &kantorv1.Solve{
				Converged:     o.Solve.Converged,
				Iterations:    int32(o.Solve.Iterations),
				MarginalError: o.Solve.MarginalError,
				Epsilon:       o.Solve.Epsilon,
				Strategy:      o.Solve.Strategy,
			}
		}
		term.Outcomes = append(term.Outcomes, outcome)
	}
	for _, w := range t.Warnings {
		term.Warnings = append(term.Warnings, &kantorv1.Warning{Code: w.Code, Message: w.Message})
	}
	for name, extra := range t.Extras {
		if term.Extras == nil {
			term.Extras = map[string]*kantorv1.Extra{}
		}
		term.Extras[name] = encodeExtra(extra)
	}
	return term
}

func encodeExtra(extra losses.Extra) *kantorv1.Extra {
	switch e := extra.(type) {
	case *losses.Array:
		return &kantorv1.Extra{Kind: &kantorv1.Extra_Tensor{Tensor: encodeTensor(*e)}}
	case *losses.Potentials:
		p := &kantorv1.Potentials{
			Source:     encodePotential(e.Source, e.Batch),
			Target:     encodePotential(e.Target, e.Batch),
			SourceSelf: encodePotential(e.SourceSelf, e.Batch),
			TargetSelf: encodePotential(e.TargetSelf, e.Batch),
		}
		switch e.Gauge {
		case losses.EqualMeans:
			p.Gauge = kantorv1.Gauge_GAUGE_EQUAL_MEANS
		case losses.ZeroTargetMean:
			p.Gauge = kantorv1.Gauge_GAUGE_ZERO_TARGET_MEAN
		case losses.NoGauge:
			p.Gauge = kantorv1.Gauge_GAUGE_NONE
		}
		return &kantorv1.Extra{Kind: &kantorv1.Extra_Potentials{Potentials: p}}
	case *losses.Plan:
		p := &kantorv1.Plan{Source: e.Source, Target: e.Target, Mass: encodeTensor(losses.NewArray(e.Mass, len(e.Mass))), Sizes: encodeSizes(e.Sizes)}
		return &kantorv1.Extra{Kind: &kantorv1.Extra_Plan{Plan: p}}
	case *losses.Measure:
		m := &kantorv1.Measure{Points: encodeTensor(e.Points), Weights: encodeTensor(*e.Weights), Sizes: encodeSizes(e.Sizes)}
		return &kantorv1.Extra{Kind: &kantorv1.Extra_Measure{Measure: m}}
	case *losses.ConeCriticState:
		return &kantorv1.Extra{Kind: &kantorv1.Extra_ConeCritic{ConeCritic: &kantorv1.ConeCriticState{
			Tips:          encodeTensor(e.Tips),
			Heights:       encodeTensor(e.Heights),
			TipMoments:    encodeTensor(e.TipMoments),
			HeightMoments: encodeTensor(e.HeightMoments),
			Averages:      encodeTensor(e.Averages),
			Step:          int64(e.Step),
		}}}
	}
	return &kantorv1.Extra{}
}

func encodeSizes(sizes []int) []int64 {
	var out []int64
	for _, n := range sizes {
		out = append(out, int64(n))
	}
	return out
}

// encodeGradients puts every gradient where its tensor stood: an input of the same kind under the same name.
func encodeGradients(gradients map[losses.Ref]losses.Array, kinds losses.Inputs) map[string]*kantorv1.Input {
	out := map[string]*kantorv1.Input{}
	for ref, gradient := range gradients {
		if out[ref.Input] == nil {
			out[ref.Input] = &kantorv1.Input{}
		}
		input := mutableKind(out[ref.Input], kinds[ref.Input])
		input.Set(input.Descriptor().Fields().ByName(protoreflect.Name(ref.Field)), protoreflect.ValueOf(encodeTensor(gradient).ProtoReflect()))
	}
	return out
}

// mutableKind makes a message one of a kind of input, if it is not one yet, and returns what holds its tensors.
func mutableKind(in *kantorv1.Input, kind losses.Input) protoreflect.Message {
	name := protoreflect.Name("")
	switch kind.(type) {
	case *losses.Measure:
		name = "measure"
	case *losses.Gaussian:
		name = "gaussian"
	case *losses.Categorical:
		name = "categorical"
	case *losses.Bernoulli:
		name = "bernoulli"
	case *losses.VonMisesFisher:
		name = "von_mises_fisher"
	}
	m := in.ProtoReflect()
	return m.Mutable(m.Descriptor().Fields().ByName(name)).Message()
}

// encodePotential returns [N] or, of a batch, [B,N]; nil for nil.
func encodePotential(values []float64, batch int) *kantorv1.Tensor {
	switch {
	case values == nil:
		return nil
	case batch == 0:
		return encodeTensor(losses.NewArray(values, len(values)))
	}
	return encodeTensor(losses.NewArray(values, batch, len(values)/batch))
}

func encodeTensor(a losses.Array) *kantorv1.Tensor {
	t := &kantorv1.Tensor{}
	for _, extent := range a.Shape {
		t.Shape = append(t.Shape, int64(extent))
	}
	if a.F32 != nil {
		t.Dtype, t.Data = kantorv1.Dtype_DTYPE_FLOAT32, bytes32(a.F32)
		return t
	}
	t.Dtype, t.Data = kantorv1.Dtype_DTYPE_FLOAT64, bytes64(a.F64)
	return t
}
