// Package losses is the vocabulary of kantor's mathematics: what a loss takes ([Measure], [Gaussian], [Prior]), what it gives ([Result], with an
// [Interval] around every iterative value and gradients of the weighted total), and how several are weighed in one [Objective].
//
// A loss family is a package below this one (sinkhorn, kantorovich, kl). Values go in, values and gradients come out: nothing here knows of a wire format,
// a network, a log or a clock.
//
// The way of a request is
//
//	Objective -> Bind(inputs, seed) -> Evaluation -> Evaluate(ctx) -> Result
//
// Bind does all the checking, so that an Evaluation cannot be wrong and its work is known before it starts. It also cuts batches: a loss only ever sees one
// problem, so that each problem of a batch is computed as if it were alone.
package losses
