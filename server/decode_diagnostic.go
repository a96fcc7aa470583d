package server

import (
	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
	"kantor/losses/diagnostics"
	"kantor/losses/mmd"
	"kantor/losses/sinkhorn"
)

var diagnosticOneof = (&kantorv1.Diagnostic{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")

// decodeDiagnostic is the one place that knows which message is which diagnostic.
func decodeDiagnostic(path string, d *kantorv1.Diagnostic) (losses.Loss, error) {
	switch k := d.GetKind().(type) {
	case *kantorv1.Diagnostic_ActiveUnits:
		return diagnostics.ActiveUnits{Posterior: orDefault(k.ActiveUnits.GetPosterior(), "posterior"), Threshold: k.ActiveUnits.Threshold}, nil
	case *kantorv1.Diagnostic_NearestNeighbourKl:
		m := k.NearestNeighbourKl
		return diagnostics.NearestNeighbourKl{Source: orDefault(m.GetSource(), "source"), Target: orDefault(m.GetTarget(), "target"),
			Neighbours: int(m.GetNeighbours())}, nil
	case *kantorv1.Diagnostic_Entropy:
		return diagnostics.Entropy{Source: orDefault(k.Entropy.GetSource(), "source"), Neighbours: int(k.Entropy.GetNeighbours())}, nil
	case *kantorv1.Diagnostic_PermutationTest:
		m := k.PermutationTest
		kernel, err := decodeKernel(path+".permutation_test", m.GetKernel(), mmd.Energy)
		return mmd.Permutation{Source: orDefault(m.GetSource(), "source"), Target: orDefault(m.GetTarget(), "target"), Kernel: kernel, Blur: m.Blur,
			Permutations: int(m.GetPermutations())}, err
	case *kantorv1.Diagnostic_EffectiveScale:
		return diagnostics.EffectiveScale{Source: orDefault(k.EffectiveScale.GetSource(), "source"), Target: orDefault(k.EffectiveScale.GetTarget(), "target")}, nil
	case *kantorv1.Diagnostic_ExpectedShrink:
		return decodeExpectedShrink(path+".expected_shrink", k.ExpectedShrink)
	}
	return nil, badf(path, "names no diagnostic, want one of %v", fieldNames(diagnosticOneof))
}

func decodeExpectedShrink(path string, m *kantorv1.ExpectedShrink) (losses.Loss, error) {
	e := sinkhorn.ExpectedShrink{Source: orDefault(m.GetSource(), "source"), Target: orDefault(m.GetTarget(), "target")}
	switch temperature := m.GetTemperature().(type) {
	case *kantorv1.ExpectedShrink_Blur:
		e.Blur = &temperature.Blur
	case *kantorv1.ExpectedShrink_Epsilon:
		e.Epsilon = &temperature.Epsilon
	}
	var err error
	e.Debias, err = decodeDebias(path, m.GetDebias())
	return e, err
}

// diagnosticKinds are the kinds that diagnostics name.
func diagnosticKinds(diagnostics []*kantorv1.Diagnostic) []string {
	kinds := make([]string, len(diagnostics))
	for i, d := range diagnostics {
		if fd := d.ProtoReflect().WhichOneof(diagnosticOneof); fd != nil {
			kinds[i] = string(fd.Name())
		}
	}
	return kinds
}
