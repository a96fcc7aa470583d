package split

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kantor/losses"
)

// cloud has n points of dimension d whose coordinates count up from start, and a mass.
func cloud(name string, n, d int, start, mass float64) *losses.Cloud {
	c := &losses.Cloud{Name: name, N: n, D: d, Mass: mass}
	for i := range n * d {
		c.X = append(c.X, start+float64(i))
	}
	for range n {
		c.W = append(c.W, mass/float64(n))
	}
	return c
}

func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// Every row is in one half, with the coordinates that it has in the cloud, each half has the mass of the whole, and what belongs to points comes back to them.
func TestHalvesAreAPartition(t *testing.T) {
	a, b := cloud("x", 10, 3, 0, 2), cloud("y", 10, 3, 100, 2)
	halves, err := cut(a, b, random())
	if err != nil {
		t.Fatal(err)
	}
	for side, whole := range []*losses.Cloud{a, b} {
		back, count := make([]float64, 30), make([]float64, 10)
		for _, h := range halves[2*side : 2*side+2] {
			if h.N != 5 || h.D != 3 || h.Mass != 2 || h.Whole() != 10 || h.Name != whole.Name || h.W[4] != 0.4 {
				t.Errorf("%s: a half is %+v", whole.Name, *h.Cloud)
			}
			h.AddRows(back, 1, h.X, 3)
			h.AddRows(count, 1, []float64{1, 1, 1, 1, 1}, 1)
		}
		if !slices.Equal(back, whole.X) || slices.Min(count) != 1 || slices.Max(count) != 1 {
			t.Errorf("%s: %v came back, each row %v times", whole.Name, back, count)
		}
	}
	if slices.Equal(halves[0].rows, halves[2].rows) {
		t.Error("source and target are cut alike, want independently: paired batches would keep their pairs")
	}
	if again, _ := cut(a, b, random()); !slices.Equal(again[1].rows, halves[1].rows) {
		t.Error("the same generator cuts otherwise the second time")
	}
}

// A batch that is sorted by class has each class in both halves: of 200 rows half A has about 50 of the first hundred, by the hypergeometric law with a
// standard deviation of 3.5.
func TestSortedBatch(t *testing.T) {
	halves, err := cut(cloud("x", 200, 1, 0, 1), cloud("y", 200, 1, 0, 1), random())
	if err != nil {
		t.Fatal(err)
	}
	low := 0
	for _, row := range halves[0].rows {
		if row < 100 {
			low++
		}
	}
	if low < 50-18 || low > 50+18 {
		t.Errorf("%d rows of the first class are in the first half, want about 50", low)
	}
}

// The shares are those of U: each measure's weights in all six cancel, which is what makes the expectation 0 where the distributions are the same.
func TestShares(t *testing.T) {
	var weight [4]float64
	total := 0.0
	for _, p := range Pairs {
		weight[p.A] += p.Share
		weight[p.B] += p.Share
		total += p.Share
	}
	if weight != [4]float64{} || total != 0 {
		t.Errorf("the halves count %v times, %v in all, want 0", weight, total)
	}
}

func TestRefusals(t *testing.T) {
	uneven := cloud("x", 4, 2, 0, 1)
	uneven.W[3] /= 2
	halved := func(a, b *losses.Cloud) func() error {
		return func() error { _, err := cut(a, b, random()); return err }
	}
	joined := func(n int, mass float64) func() error {
		return func() error {
			_, err := join(cloud("x", 5, 2, 0, 1), cloud("y", 5, 2, 0, 1), cloud("x2", 5, 2, 0, 1), cloud("y2", n, 2, 0, mass))
			return err
		}
	}
	for name, tt := range map[string]struct {
		do          func() error
		field, says string
	}{
		"sizes":        {halved(cloud("x", 4, 2, 0, 1), cloud("y", 6, 2, 0, 1)), "target", `input "y" has 6 points, want 4`},
		"odd":          {halved(cloud("x", 5, 2, 0, 1), cloud("y", 5, 2, 0, 1)), "source", "leave one out, or give second_source"},
		"weights":      {halved(uneven, cloud("y", 4, 2, 0, 1)), "source", "0.25 at [0] and 0.125 at [3]"},
		"weights of y": {halved(cloud("y", 4, 2, 0, 1), uneven), "target", "want all the same"},
		"masses":       {halved(cloud("x", 4, 2, 0, 1), cloud("y", 4, 2, 0, 2)), "target", "has mass 2, want that of source"},
		"second size":  {joined(6, 1), "second_target", `input "y2" has 6 points, want 5, as many as target "y"`},
		"second mass":  {joined(5, 3), "second_target", `has mass 3, want that of target "y", 1`},
		"one second":   {func() error { return checkNames("x", "y", "x2", "") }, "second_target", "want both or neither"},
		"other second": {func() error { return checkNames("x", "y", "", "y2") }, "second_source", "want both or neither"},
		"same":         {func() error { return checkNames("x", "x", "", "") }, "target", "want independent samples"},
		"same second":  {func() error { return checkNames("x", "y", "x", "y2") }, "second_source", `is "x" and source too`},
	} {
		bad, ok := tt.do().(*losses.InputError)
		if !ok || bad.Field != tt.field || !strings.Contains(bad.Reason, tt.says) {
			t.Errorf("%s: got %v, want %s: …%s…", name, bad, tt.field, tt.says)
		}
	}
	if err := joined(5, 1)(); err != nil {
		t.Errorf("odd batches with second ones: %v", err)
	}
	if err := checkNames("x", "y", "x2", "y2"); err != nil {
		t.Error(err)
	}
}

// The generator is that of seed and term. Second batches keep their rows, and a prior of another name is other samples.
func TestOf(t *testing.T) {
	measure := func(n int) *losses.Measure {
		return &losses.Measure{Points: losses.NewArray(make([]float64, 3*n), n, 3)}
	}
	inputs := losses.Inputs{"x": measure(6), "x2": measure(6), "p": &losses.Prior{Family: losses.StandardNormal{}}, "p2": &losses.Prior{Family: losses.StandardNormal{}}}
	of := func(second, secondTarget string, seed losses.Seed) Halves {
		a, b, err := inputs.Pair("x", "p", seed)
		if err != nil {
			t.Fatal(err)
		}
		halves, err := Of(inputs, a, b, second, secondTarget, seed)
		if err != nil {
			t.Fatal(err)
		}
		return halves
	}
	seed := losses.Seed{Request: 1, Term: "a"}
	if !slices.Equal(of("", "", seed)[0].rows, of("", "", seed)[0].rows) {
		t.Error("the same seed gives other halves")
	}
	for _, other := range []losses.Seed{{Request: 2, Term: "a"}, {Request: 1, Term: "b"}} {
		if slices.Equal(of("", "", seed)[0].rows, of("", "", other)[0].rows) && slices.Equal(of("", "", seed)[2].rows, of("", "", other)[2].rows) {
			t.Errorf("%v gives the halves of %v", other, seed)
		}
	}
	joined := of("x2", "p2", seed)
	for i, want := range []string{"x", "x2", "p", "p2"} {
		if h := joined[i]; h.Name != want || h.N != 6 || h.Whole() != 6 || h.Mass != 1 {
			t.Errorf("batch %d is %+v, want all of %q", i, *h.Cloud, want)
		}
	}
	if slices.Equal(joined[2].X, joined[3].X) {
		t.Error("priors of two names have the same samples")
	}
	if got := Uses("x2", "p2"); !slices.Equal(got, []losses.Use{{Field: "second_source", Input: "x2"}, {Field: "second_target", Input: "p2"}}) || Uses("", "") != nil {
		t.Errorf("uses %v", got)
	}
}
