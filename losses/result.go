package losses

// Result is an objective's value and gradient.
type Result struct {
	Value     float64       // Σ weight·value over the terms of weight other than 0 and their problems
	Terms     []TermResult  // in the objective's order
	Gradients map[Ref]Array // of Value, in the number format of the input
	Kinds     Inputs        // an empty input of the kind of each that has a gradient, by name
}

// TermResult is one summand's value and how far it can be trusted.
type TermResult struct {
	Name     string
	Outcomes []Outcome // one per problem of the batch
	Warnings []Warning // of a batch each code once
	Extras   map[string]Extra
	// Gradients are those of the unweighted value, in binary64 and the shape of the tensor that Ref names. A loss fills in those that it was asked for;
	// [Evaluation.Evaluate] takes them over, and may write the total's into them: no two share memory.
	Gradients map[Ref][]float64
	// Own are the gradients of the unweighted value as those of the total are returned, where the objective asks for them per term.
	Own map[Ref]Array
}

// Outcome is the answer to one problem.
type Outcome struct {
	Value    float64
	Interval *Interval // nil: the value is closed form or a lower bound of the population's, or a warning says why there is none
	Solve    *Solve    // nil: nothing iterated
	Estimand Estimand
	// StandardError is that of a value which is a mean over samples, for [PopulationLowerBound]; nil: none.
	StandardError *float64
}

// Estimand says what a value is a number of, where a loss can give several.
type Estimand int

const (
	// Empirical is the distance between the samples.
	Empirical Estimand = 1
	// PopulationLowerBound is a number whose expectation is not above the distance between the populations.
	PopulationLowerBound Estimand = 2
)

// Interval contains the exact value of the finite problem at its temperature, for the numbers as received, rounding included. It says nothing of
// gradients, of other temperatures, or of the population behind the samples.
type Interval struct{ Lower, Upper float64 }

// Solve says how an iterative solver ended. That it did not converge is a result, not an error.
type Solve struct {
	Converged     bool    // whether the tolerance or the gap was reached
	Iterations    int     // of the cross problem, annealing included; of exact transport pivots of the simplex
	MarginalError float64 // L1, relative to the mass, the largest of the term's problems
	Epsilon       float64 // the temperature that was used, in units of the cost; 0: none
	Strategy      string  // for people and logs: the number format and how pairs were computed, such as "float32 kernel, stored"
}

// Warning is advice that does not make the result wrong.
type Warning struct {
	Code    string // stable, upper snake case
	Message string // one sentence
}

// Codes of warnings.
const (
	NotConverged        = "NOT_CONVERGED"
	IntervalUnavailable = "INTERVAL_UNAVAILABLE"
	InfiniteValue       = "INFINITE_VALUE"
	// SelfShrinks says that self terms of batches of this size favour a source that is narrower than the target.
	SelfShrinks = "SELF_SHRINKS"
	// BlurLarge says that the temperature hides differences in variance.
	BlurLarge = "BLUR_LARGE"
	// FewPoints says that a covariance is of few points for its dimension, or an expected scale of fewer than are known.
	FewPoints = "FEW_POINTS"
	// HighDimension says that an estimate is rough in so many dimensions.
	HighDimension = "HIGH_DIMENSION"
	// ExtraTooLarge says that an extra was left out.
	ExtraTooLarge = "EXTRA_TOO_LARGE"
	// ExtraUnavailable says that an extra was left out which inputs of this kind have not.
	ExtraUnavailable = "EXTRA_UNAVAILABLE"
)

// Extra is something that a term returns on request: *[Array], of the same shape in all problems of a batch or made by [RowsOf], *[Potentials], *[Plan],
// *[Measure] or *[ConeCriticState].
type Extra interface{ extra() }

// Potentials are dual variables at the points of a term's measures.
type Potentials struct {
	Gauge                  Gauge
	Source, Target         []float64 // [N], [M]; of a batch [B,N], [B,M], with 0 for padding
	SourceSelf, TargetSelf []float64 // the same; nil: no self terms
	Batch                  int       // B; 0: no batch
}

// Gauge says which constant was added to potentials, which are unique only up to one.
type Gauge int

const (
	// NoGauge is unbalanced potentials, which are unique, or those of a fixed schedule, as it left them: nothing was added.
	NoGauge Gauge = 3
	// EqualMeans is f at the source and g at the target with <a,f> = <b,g>.
	EqualMeans Gauge = 1
	// ZeroTargetMean is one function h at both with <b,h> = 0.
	ZeroTargetMean Gauge = 2
)

// Plan is a transport plan by its entries of positive mass, row by row.
type Plan struct {
	Source, Target []int32   // the points between which mass is moved
	Mass           []float64 // how much
	Sizes          []int     // of a batch: entries of each problem, which stand one after the other
}

func (*Array) extra()           {}
func (*Potentials) extra()      {}
func (*Plan) extra()            {}
func (*Measure) extra()         {}
func (*ConeCriticState) extra() {}
