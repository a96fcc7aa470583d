package losses

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Loss is a loss with its parameters, before it has seen data.
type Loss interface {
	// Kind is the loss's name on the wire, and the default name of a term.
	Kind() string
	// Uses lists the inputs that the loss names, each with the parameter that names it.
	Uses() []Use
	// Extras lists what the loss can return on request.
	Extras() []string
	// Bind checks parameters and inputs against each other; each input by itself has been checked. It sees one problem of a batch, whose arrays are
	// [N,D]. An error is an *[InputError] whose Field is relative to the loss.
	Bind(inputs Inputs, seed Seed) (Problem, error)
}

// Use is one input that a loss names.
type Use struct{ Field, Input string }

// Problem is a loss bound to data. It cannot be wrong.
type Problem interface {
	// Work is known before it is done.
	Work() Work
	// Solve computes, at once with other problems. The only error is the context's.
	Solve(ctx context.Context, want Want) (TermResult, error)
}

// Work is what a problem takes at most.
type Work struct {
	Pairs      float64 // pairs of points that one iteration visits; elements where nothing iterates
	Iterations int     // at most
	Bytes      int64   // of working memory, the inputs' own excluded: what is stored of pairs, of which [PairMemory] is the most, and the vectors
}

// Want is what a problem is asked for beside its value.
type Want struct {
	Gradients map[Ref]bool
	Extras    map[string]bool
}

// Term is one weighted summand.
type Term struct {
	Name   string // empty: the loss's kind
	Weight float64
	Loss   Loss
}

// Objective is what to compute of the inputs.
type Objective struct {
	Terms     []Term
	Gradients []string // "source.points"
	Extras    []string // "sinkhorn.potentials"
	PerTerm   bool     // the gradients of each term's value beside those of the total
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Bind checks the objective and its inputs. The error is an *[InputError] with the path of what is wrong.
func (o Objective) Bind(inputs Inputs, seed uint64) (*Evaluation, error) {
	names, err := o.termNames()
	if err != nil {
		return nil, err
	}
	if err := o.checkUses(inputs); err != nil {
		return nil, err
	}
	if err := inputs.check(); err != nil {
		return nil, err
	}
	if err := o.checkBatches(inputs); err != nil {
		return nil, err
	}
	e := &Evaluation{perTerm: o.PerTerm, kinds: Inputs{}}
	if e.gradients, err = o.bindGradients(inputs); err != nil {
		return nil, err
	}
	for r := range e.gradients {
		e.kinds[r.Input] = emptyLike(inputs[r.Input])
	}
	extras, err := o.bindExtras(names)
	if err != nil {
		return nil, err
	}
	for i, t := range o.Terms {
		bound := boundTerm{name: names[i], weight: t.Weight, want: Want{Extras: extras[names[i]]}}
		if t.Weight != 0 || o.PerTerm {
			bound.want.Gradients = wanted(e.gradients, t.Loss.Uses())
		}
		if err := bound.bind(t.Loss, inputs, Seed{seed, names[i]}); err != nil {
			return nil, o.complete(i, err)
		}
		e.terms = append(e.terms, bound)
	}
	return e, nil
}

// Check reports what is wrong with the objective before there are inputs: names, weights and extras. [Objective.Bind] checks that too.
func (o Objective) Check() error {
	names, err := o.termNames()
	if err != nil {
		return err
	}
	_, err = o.bindExtras(names)
	return err
}

// complete puts the path of term i before an error that is relative to its loss.
func (o Objective) complete(i int, err error) error {
	if bad, ok := err.(*InputError); ok {
		return badf(fmt.Sprintf("objective.terms[%d].%s.%s", i, o.Terms[i].Loss.Kind(), bad.Field), "%s", bad.Reason)
	}
	return err
}

func (o Objective) termNames() ([]string, error) {
	if n := len(o.Terms); n == 0 || n > MaxTerms {
		return nil, badf("objective.terms", "has %d terms, want 1 to %d", n, MaxTerms)
	}
	names := make([]string, len(o.Terms))
	for i, t := range o.Terms {
		path := fmt.Sprintf("objective.terms[%d]", i)
		names[i] = t.Name
		if t.Name == "" {
			names[i] = t.Loss.Kind()
		}
		switch {
		case !namePattern.MatchString(names[i]):
			return nil, badf(path+".name", "is %q, want [a-z][a-z0-9_]*", t.Name)
		case slices.Contains(names[:i], names[i]):
			return nil, badf(path+".name", "%q is the name of an earlier term too, want unique names", names[i])
		case math.IsNaN(t.Weight) || math.IsInf(t.Weight, 0):
			return nil, badf(path+".weight", "is %v, want a finite number", t.Weight)
		}
	}
	return names, nil
}

// checkUses refuses an input that is named but not given, and one that is given but not named: a misspelt name must not go unnoticed.
func (o Objective) checkUses(inputs Inputs) error {
	given := slices.Sorted(maps.Keys(inputs))
	used := map[string]bool{}
	for i, t := range o.Terms {
		for _, use := range t.Loss.Uses() {
			if inputs[use.Input] == nil {
				return o.complete(i, badf(use.Field, "there is no input %q, the inputs are %q", use.Input, given))
			}
			used[use.Input] = true
		}
	}
	for _, name := range given {
		if !namePattern.MatchString(name) {
			return badf(fmt.Sprintf("inputs[%q]", name), "is no name, want [a-z][a-z0-9_]*")
		}
		if !used[name] {
			return badf(fmt.Sprintf("inputs[%q]", name), "is used by no term, the terms use %q", slices.Sorted(maps.Keys(used)))
		}
	}
	return nil
}

func (o Objective) bindGradients(inputs Inputs) (map[Ref]target, error) {
	refs := make(map[Ref]target, len(o.Gradients))
	for i, name := range o.Gradients {
		path := fmt.Sprintf("objective.gradients[%d]", i)
		input, field, ok := strings.Cut(name, ".")
		if !ok {
			return nil, badf(path, "is %q, want input.field, such as source.points", name)
		}
		r := Ref{input, field}
		if _, twice := refs[r]; twice {
			return nil, badf(path, "%q is asked for twice", name)
		}
		tensor, err := inputs.tensor(r)
		if err != nil {
			return nil, badf(path, "is %q, but %v", name, err)
		}
		refs[r] = target{like: tensor.empty(), batch: batch(inputs[input])}
	}
	return refs, nil
}

// bindExtras returns the wanted extras by term and extra.
func (o Objective) bindExtras(names []string) (map[string]map[string]bool, error) {
	extras := map[string]map[string]bool{}
	for i, name := range o.Extras {
		path := fmt.Sprintf("objective.extras[%d]", i)
		term, extra, ok := strings.Cut(name, ".")
		at := slices.Index(names, term)
		switch {
		case !ok:
			return nil, badf(path, "is %q, want term.extra, such as sinkhorn.potentials", name)
		case at < 0:
			return nil, badf(path, "is %q, but there is no term %q, the terms are %q", name, term, names)
		case !slices.Contains(o.Terms[at].Loss.Extras(), extra):
			return nil, badf(path, "is %q, but the term's extras are %q", name, o.Terms[at].Loss.Extras())
		}
		if extras[term] == nil {
			extras[term] = map[string]bool{}
		}
		extras[term][extra] = true
	}
	return extras, nil
}

// wanted is the part of the gradients that a loss with these inputs contributes to.
func wanted(gradients map[Ref]target, uses []Use) map[Ref]bool {
	want := map[Ref]bool{}
	for r := range gradients {
		for _, use := range uses {
			if use.Input == r.Input {
				want[r] = true
			}
		}
	}
	return want
}
