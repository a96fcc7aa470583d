package losses

import "fmt"

// InputError is what is wrong with an argument. Field is its path in the request: `inputs["source"].points`, `objective.terms[1].sinkhorn.blur`.
// Everything else that goes wrong is either in the result (no convergence) or our bug.
type InputError struct {
	Field  string
	Reason string
}

func (e *InputError) Error() string { return e.Field + ": " + e.Reason }

// badf returns an InputError with a formatted reason.
func badf(field, format string, args ...any) *InputError {
	return &InputError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Badf returns an InputError whose field is relative to the loss that reports it; [Objective.Bind] completes the path.
func Badf(field, format string, args ...any) error { return badf(field, format, args...) }
