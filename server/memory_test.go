package server

import (
	"context"
	"runtime"
	"testing"
	"unsafe"
	"weak"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses"
)

// While a batch is computed, the bytes that its numbers came in are let go, and nothing holds them for whoever holds the message.
func TestAMessageDoesNotHoldItsInputsWhileItIsComputed(t *testing.T) {
	const n = 1 << 12
	large := func() *kantorv1.Input { return line(make([]float64, n)...) }
	batch := &kantorv1.Batch{Id: 1, Inputs: map[string]*kantorv1.Input{"source": large(), "target": line(1, 2)}}
	bytes := weak.Make(unsafe.SliceData(batch.GetInputs()["source"].GetMeasure().GetPoints().GetData()))
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	held := true
	s.evaluator.solve = func(e *losses.Evaluation, ctx context.Context) (*losses.Result, error) {
		runtime.GC()
		held = bytes.Value() != nil
		return e.Evaluate(ctx)
	}
	term := objective(sinkhornTerm(&kantorv1.SinkhornDivergence{}))
	term.Gradients = []string{"source.points"}
	answer := s.answerBatch(t.Context(), term, batch, newPassage(s))
	if got := len(answer.GetResult().GetResponse().GetGradients()["source"].GetMeasure().GetPoints().GetData()); got != 8*n {
		t.Errorf("got %d bytes of gradient, want %d: %v", got, 8*n, answer.GetFailure())
	}
	if held {
		t.Error("the bytes of the inputs were held")
	}
	runtime.KeepAlive(batch)
}

// What the command line evaluates stays its own.
func TestEvaluateLeavesTheRequestAsItIs(t *testing.T) {
	req := klRequest(1)
	for range 2 {
		if _, err := (Evaluator{}).Evaluate(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
}
