package load

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"kantor/losses"
	"kantor/server"
)

// Every goal is measured and told; whether they are met is for a quiet machine.
func TestGoals(t *testing.T) {
	config := few(serve(t, server.Config{}))
	config.PID, config.Duration = os.Getpid(), 300*time.Millisecond
	report, err := Goals(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Goals) != 3 || report.Goals[0].Got <= 0 || report.Goals[1].Got <= 0 || report.Goals[1].Want < mostSmallMillis {
		t.Errorf("got %+v, want three goals with numbers", report.Goals)
	}
	var text, table strings.Builder
	if err := errors.Join(report.JSON(&text), report.Table(&table)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), `"met"`) || strings.Count(table.String(), "\n") != 4 {
		t.Errorf("got %s\n%s, want a line for each goal", &text, &table)
	}
	config.PID = 0
	var input *losses.InputError
	if _, err := Goals(t.Context(), config); !errors.As(err, &input) || input.Field != "pid" {
		t.Errorf("got %v, want that the pid is missing", err)
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
