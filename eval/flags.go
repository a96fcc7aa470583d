package eval

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shorts are the flags that are short for an input's array. The name of a gradient's file is that of its flag.
var shorts = []struct{ flag, tensor string }{
	{"source", "source.points"},
	{"target", "target.points"},
	{"source-weights", "source.weights"},
	{"target-weights", "target.weights"},
	{"source-sizes", "source.sizes"},
	{"target-sizes", "target.sizes"},
	{"mean", "posterior.mean"},
	{"log-variance", "posterior.log_variance"},
	{"covariance", "posterior.covariance"},
	{"concentration", "posterior.concentration"},
	{"logits", "posterior.logits"},
	{"probabilities", "posterior.probabilities"},
	{"prior-mean", "prior.mean"},
	{"prior-log-variance", "prior.log_variance"},
	{"prior-covariance", "prior.covariance"},
	{"prior-logits", "prior.logits"},
	{"prior-probabilities", "prior.probabilities"},
}

// files are the values of the short flags, in their order.
func (c Command) files() []string {
	return []string{
		c.Source, c.Target, c.SourceWeights, c.TargetWeights, c.SourceSizes, c.TargetSizes,
		c.Mean, c.LogVariance, c.Covariance, c.Concentration, c.Logits, c.Probabilities,
		c.PriorMean, c.PriorLogVariance, c.PriorCovariance, c.PriorLogits, c.PriorProbabilities,
	}
}

// shortOf returns the short flag of a tensor, without dashes; empty: it has none.
func shortOf(tensor string) string {
	for _, s := range shorts {
		if s.tensor == tensor {
			return s.flag
		}
	}
	return ""
}

// origins tell which flag a part of the request came from.
type origins struct {
	tensors map[string]string // by "input.field"
	inputs  map[string]string // by input, the first flag that gave a part of it
}

func (o *origins) add(input, tensor, flag string) {
	o.tensors[tensor] = flag
	if o.inputs[input] == "" {
		o.inputs[input] = flag
	}
}

// addState notes that an input is of the flag --state.
func (o *origins) addState(input string) {
	o.inputs[input] = withDetail("--state", input)
	for _, field := range arrayFields() {
		o.tensors[input+"."+field] = withDetail("--state", input+"."+field)
	}
}

var (
	inputPath = regexp.MustCompile(`^inputs\["(.*)"\]\.?(.*)$`)
	termPath  = regexp.MustCompile(`^(objective\.terms|diagnostics)\[(\d+)\]\.?(.*)$`)
)

// flag names the flag that a path of the request came from.
func (o *origins) flag(path string) string {
	if m := inputPath.FindStringSubmatch(path); m != nil {
		if field := m[2][strings.LastIndex(m[2], ".")+1:]; slices.Contains(arrayFields(), field) { // of a prior's family it is a step further in
			return o.tensorFlag(m[1], field)
		}
		return withDetail(o.inputFlag(m[1]), m[2])
	}
	if m := termPath.FindStringSubmatch(path); m != nil {
		i, _ := strconv.Atoi(m[2])
		if m[1] == "diagnostics" {
			return diagnosticFlag(i, m[3])
		}
		return termFlag(i, m[3])
	}
	switch {
	case path == "objective.terms":
		return "--term"
	case path == "diagnostics":
		return "--diagnostic"
	case strings.HasPrefix(path, "objective.gradients"):
		return "--gradients"
	case strings.HasPrefix(path, "objective.extras"):
		return "--extras"
	}
	return path
}

// inputFlag names the flag for what is wrong with an input as such: the one that says what it is, or else the first of its parts.
func (o *origins) inputFlag(input string) string {
	if flag := o.tensors[input]; flag != "" {
		return flag
	}
	return o.inputs[input]
}

// tensorFlag names the flag that gave a tensor, or that would have.
func (o *origins) tensorFlag(input, field string) string {
	tensor := input + "." + field
	if flag := o.tensors[tensor]; flag != "" {
		return flag
	}
	if short := shortOf(tensor); short != "" {
		return "--" + short
	}
	return "--input " + tensor
}

// termFlag names the i-th --term, which users count from 1.
func termFlag(i int, detail string) string { return withDetail(fmt.Sprintf("--term %d", i+1), detail) }

func withDetail(flag, detail string) string {
	if detail == "" {
		return flag
	}
	return flag + " (" + detail + ")"
}
