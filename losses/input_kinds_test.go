package losses

import (
	"math"
	"strings"
	"testing"
)

func TestBadCovariances(t *testing.T) {
	mean := NewArray([]float64{1, 2}, 1, 2)
	for _, tt := range []struct {
		covariance Array
		reason     string
	}{
		{NewArray([]float64{1, 0, 0, 1}, 2, 2), "want [1 2 2]"},
		{NewArray([]float64{1, 0, 0}, 1, 2, 2), "3 elements"},
		{NewArray([]float64{1, math.NaN(), 0, 1}, 1, 2, 2), "NaN at [0,0,1]"},
		{NewArray([]float64{1, 0.1, 0.2, 1}, 1, 2, 2), "0.2 at [0,1,0] and 0.1 at [0,0,1]"},
	} {
		err := Inputs{"q": &Gaussian{Mean: mean, Covariance: &tt.covariance}}.check()
		if bad, ok := err.(*InputError); !ok || bad.Field != `inputs["q"].covariance` || !strings.Contains(bad.Reason, tt.reason) {
			t.Errorf("%v: %v, want …%s…", tt.covariance, err, tt.reason)
		}
	}
	// What a product in binary32 leaves between the halves is no mistake.
	fine := NewArray([]float64{1, 0.1, 0.1 + 1e-7, 1}, 1, 2, 2)
	if err := (Inputs{"q": &Gaussian{Mean: mean, Covariance: &fine}}).check(); err != nil {
		t.Error(err)
	}
}

func TestBadCriticStates(t *testing.T) {
	good := func() *ConeCriticState {
		zeros := func(shape ...int) Array { return NewArray(make([]float64, elements(shape)), shape...) }
		return &ConeCriticState{Tips: zeros(2, 3, 4), Heights: zeros(2, 3), TipMoments: zeros(2, 2, 3, 4), HeightMoments: zeros(2, 2, 3), Averages: zeros(2)}
	}
	if err := (Inputs{"c": good()}).check(); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*ConeCriticState){
		"tips":           func(s *ConeCriticState) { s.Tips.Shape = []int{1, 6, 4} },
		"heights":        func(s *ConeCriticState) { s.Heights.Shape = []int{3, 2} },
		"tip_moments":    func(s *ConeCriticState) { s.TipMoments.F64[5] = math.Inf(1) },
		"height_moments": func(s *ConeCriticState) { s.HeightMoments.F64 = s.HeightMoments.F64[:1] },
		"averages":       func(s *ConeCriticState) { s.Averages = Array{} },
		"step":           func(s *ConeCriticState) { s.Step = -1 },
	} {
		s := good()
		spoil(s)
		err := Inputs{"c": s}.check()
		if bad, ok := err.(*InputError); !ok || bad.Field != `inputs["c"].`+field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
