// Package diagnostics computes numbers that tell how a latent space is doing. They are no losses: they have no gradients, and some of them are rough. Each is a
// [losses.Loss] all the same, so that names, inputs and batches are checked as those of losses are; its extras are what is behind the number.
package diagnostics

import (
	"math"

	"kantor/losses"
)

// unweighted refuses weights, for what counts points.
func unweighted(inputs losses.Inputs, field, name string) error {
	if m, ok := inputs[name].(*losses.Measure); ok && m.Weights != nil {
		return losses.Badf(field, "input %q has weights, want none: every point counts the same", name)
	}
	return nil
}

// outcome is the result of a number with what is behind it.
func outcome(value float64, extras map[string]*losses.Array, warnings ...losses.Warning) losses.TermResult {
	result := losses.TermResult{Outcomes: []losses.Outcome{{Value: value}}, Warnings: warnings}
	for name, extra := range extras {
		if result.Extras == nil {
			result.Extras = map[string]losses.Extra{}
		}
		result.Extras[name] = extra
	}
	return result
}

// vector is an extra of one extent.
func vector(values []float64) *losses.Array {
	out := losses.NewArray(values, len(values))
	return &out
}

// infinite is the warning of a number that is not finite.
func infinite(why string) losses.Warning {
	return losses.Warning{Code: losses.InfiniteValue, Message: why}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
