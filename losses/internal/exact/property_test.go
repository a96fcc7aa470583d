package exact

import (
	"flag"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kantor/losses/internal/losstest"
	"kantor/losses/internal/vec"
)

// checkRandom tries a property on random problems. The seed is the same in every run, so that a failure is due to a change; RAPID_SEED=0 RAPID_CHECKS=20000 looks
// further.
func checkRandom(t *testing.T, checks string, property func(t *rapid.T)) {
	t.Helper()
	for name, value := range map[string]string{"seed": "1", "checks": checks, "nofailfile": "true"} {
		if os.Getenv("RAPID_"+strings.ToUpper(name)) != "" {
			continue
		}
		if err := flag.Set("rapid."+name, value); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, property)
}

// drawProblem draws a problem whose list is short if most is some hundreds.
func drawProblem(t *rapid.T, most int) Problem {
	d := rapid.OneOf(rapid.IntRange(2, 8), rapid.IntRange(2, 3), rapid.Just(100)).Draw(t, "D")
	n, m := rapid.IntRange(1, most).Draw(t, "N"), rapid.IntRange(1, most).Draw(t, "M")
	kind, weights := rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.IntRange(0, len(weightings)-1).Draw(t, "weights")
	shift := rapid.SampledFrom([]float64{0, 0.2, 100}).Draw(t, "shift")
	r := losstest.Random(rapid.Uint64().Draw(t, "points"))
	return Problem{Cost: rapid.SampledFrom([]vec.Cost{vec.Distance, vec.HalfSquared}).Draw(t, "cost"),
		A: cloud(points(r, kind, n, d, 0.7, shift), d, weightings[weights](r, n)), B: cloud(points(r, kind, m, d, 1, 0), d, weightings[weights](r, m))}
}

// A plan with its marginals, potentials that are feasible and tight on it, and an interval no wider than rounding: all of that together holds for optima only.
func TestRandomProblemsAreSolved(t *testing.T) {
	checkRandom(t, "200", func(t *rapid.T) { solved(t, drawProblem(t, 220)) })
}

func TestRandomLinesAreSolved(t *testing.T) {
	checkRandom(t, "200", func(t *rapid.T) {
		r := losstest.Random(rapid.Uint64().Draw(t, "points"))
		p := randomProblem(r, rapid.IntRange(1, 200).Draw(t, "N"), rapid.IntRange(1, 200).Draw(t, "M"), 1)
		p.Power = rapid.SampledFrom([]float64{0, 1, 1.5, 2, 3}).Draw(t, "power")
		solved(t, p)
	})
}

func TestResultsDoNotDependOnThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	r := losstest.Random(5)
	p := Problem{Cost: vec.Distance, A: cloud(normal(r, 700, 2, 0.7, 0.2), 2, logNormal(r, 700, 1)), B: cloud(normal(r, 600, 2, 1, 0), 2, nil)}
	var all []*Solution
	for _, threads := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(threads)
		all = append(all, solved(t, p))
	}
	for _, s := range all[1:] {
		if !reflect.DeepEqual(s, all[0]) {
			t.Error("a solution depends on threads")
		}
	}
	if all[0].Rounds < 2 {
		t.Errorf("all was on the first list of this problem, want one that takes more rounds")
	}
}
