package load

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"kantor/losses"
	"kantor/server"
)

// Every goal is measured and told; whether they are met is for a quiet machine.
func TestGoals(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(pprof.Profile))
	defer admin.Close()
	config := few(serve(t, server.Config{}))
	config.Duration = 300 * time.Millisecond
	report, err := Goals(t.Context(), config, admin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Goals) != 3 || report.Goals[1].Got <= 0 || report.Goals[1].Want < mostSmallMillis {
		t.Errorf("got %+v, want three goals with numbers", report.Goals)
	}
	if share := report.Goals[0].Got; share <= 0 || share >= 1 {
		t.Errorf("got %v of the processor time for computing, want a share", share)
	}
	var text, table strings.Builder
	if err := errors.Join(report.JSON(&text), report.Table(&table)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), `"met"`) || strings.Count(table.String(), "\n") != 4 {
		t.Errorf("got %s\n%s, want a line for each goal", &text, &table)
	}
}

func TestGoalsWantAnAdminListener(t *testing.T) {
	config := few(serve(t, server.Config{}))
	var input *losses.InputError
	if _, err := Goals(t.Context(), config, ""); !errors.As(err, &input) || input.Field != "admin" {
		t.Errorf("got %v, want that admin is missing", err)
	}
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	if _, err := Goals(t.Context(), config, none.Listener.Addr().String()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v, want that there is no profile", err)
	}
}

// Computing is what is below a function of the losses, whoever called it and whatever it calls.
func TestSumProfile(t *testing.T) {
	sample := func(seconds int64, stack ...string) *profile.Sample {
		s := &profile.Sample{Value: []int64{1, seconds * 1e9}}
		for _, name := range stack {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}})
		}
		return s
	}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Sample: []*profile.Sample{
			sample(5, "math.Exp", "kantor/losses/internal/vec.Softmin", "kantor/server.run"),
			sample(2, "runtime.mallocgc", "kantor/server.encode"), sample(1, "runtime.gcBgMarkWorker"),
		},
	}
	if sum, err := sumProfile(p); err != nil || sum != (processorProfile{5, 8}) {
		t.Errorf("got %v, %v, want 5 of 8 seconds", sum, err)
	}
	p.SampleType = p.SampleType[:1]
	if _, err := sumProfile(p); err == nil {
		t.Error("a profile without processor time is taken")
	}
}

func TestGoalsAreMetTogether(t *testing.T) {
	for _, c := range []struct {
		met  []bool
		want bool
	}{{nil, false}, {[]bool{true}, true}, {[]bool{true, false}, false}} {
		var report GoalReport
		for _, met := range c.met {
			report.Goals = append(report.Goals, Goal{Met: met})
		}
		if report.Met() != c.want {
			t.Errorf("%v: got %v", c.met, report.Met())
		}
	}
}
