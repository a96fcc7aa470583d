package losses_test

import (
	"math/rand/v2"

	"kantor/losses"
	"kantor/losses/internal/losstest"
	"kantor/losses/kantorovich"
)

// transportCases are those of exact transport, and of duals that take more inputs.
func transportCases(r *rand.Rand) map[string]batchCase {
	cloud := func(n, d int, weights bool) *losses.Measure {
		m := &losses.Measure{Points: losstest.Normal(r, n, d, 1, 0)}
		if weights {
			m.Weights = losstest.Weights(r, n, 2)
		}
		return m
	}
	pairs := func(d int, weights bool) []losses.Inputs {
		var each []losses.Inputs
		for _, size := range [][2]int{{7, 4}, {1, 5}, {6, 1}, {30, 40}} {
			each = append(each, losses.Inputs{"source": cloud(size[0], d, weights), "target": cloud(size[1], d, weights)})
		}
		return each
	}
	halves := func(more ...string) []losses.Inputs {
		var each []losses.Inputs
		for _, n := range []int{4, 10, 6} {
			in := losses.Inputs{}
			for _, name := range append([]string{"source", "target"}, more...) {
				in[name] = cloud(n, 2, false)
			}
			each = append(each, in)
		}
		return each
	}
	transport := kantorovich.Transport{Source: "source", Target: "target"}
	power, split, second := transport, transport, transport
	power.P, power.Time = losstest.Ptr(1.5), losstest.Ptr(0.25)
	split.Split, split.Cost = true, losses.Euclidean
	second.Split, second.SecondSource, second.SecondTarget = true, "second_source", "second_target"
	entropic, fresh := dual, dual
	entropic.Method, entropic.At = kantorovich.Entropic, "at"
	fresh.FreshSource, fresh.FreshTarget, fresh.At = "fresh_source", "fresh_target", "fresh_source"
	normal := &losses.Prior{Family: losses.StandardNormal{}}
	withFresh := pairs(3, true)
	for _, one := range withFresh {
		one["fresh_source"], one["fresh_target"] = cloud(5, 3, true), cloud(8, 3, true)
	}
	sampled := []losses.Inputs{{"source": cloud(5, 2, true), "fresh_source": cloud(4, 2, true)}, {"source": cloud(3, 2, true), "fresh_source": cloud(9, 2, true)}}
	sources := []losses.Inputs{{"source": cloud(5, 2, true)}, {"source": cloud(3, 2, true)}}
	return map[string]batchCase{
		"transport":           {transport, pairs(2, true), nil},
		"transport shared":    {transport, sources, losses.Inputs{"target": cloud(6, 2, true)}},
		"transport prior":     {transport, sources, losses.Inputs{"target": normal}},
		"transport power":     {power, pairs(1, true), nil},
		"transport split":     {split, halves(), nil},
		"transport second":    {second, halves("second_source", "second_target"), nil},
		"kantorovich at":      {entropic, pairs(2, true), losses.Inputs{"at": cloud(3, 2, false)}},
		"kantorovich fresh":   {fresh, withFresh, nil},
		"kantorovich sampled": {fresh, sampled, losses.Inputs{"target": normal, "fresh_target": normal}},
	}
}
