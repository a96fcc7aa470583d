package losses

import "slices"

// check refuses arrays whose shapes do not belong together. J and D follow from the heights and the tips.
func (s *ConeCriticState) check(name string) error {
	path := func(field string) string { return Ref{name, field}.path() }
	if len(s.Tips.Shape) != 3 || s.Tips.Shape[0] != 2 || s.Tips.Shape[1] < 1 || s.Tips.Shape[2] < 1 {
		return badf(path("tips"), "has shape %v, want [2,J,D]", s.Tips.Shape)
	}
	j, d := s.Tips.Shape[1], s.Tips.Shape[2]
	if j > MaxPoints || d > MaxDimension {
		return badf(path("tips"), "is too large: %d cones of dimension %d, want at most %d and %d", j, d, MaxPoints, MaxDimension)
	}
	for _, f := range []struct {
		name  string
		array Array
		shape []int
	}{
		{"tips", s.Tips, []int{2, j, d}},
		{"heights", s.Heights, []int{2, j}},
		{"tip_moments", s.TipMoments, []int{2, 2, j, d}},
		{"height_moments", s.HeightMoments, []int{2, 2, j}},
		{"averages", s.Averages, []int{2}},
	} {
		if !slices.Equal(f.array.Shape, f.shape) {
			return badf(path(f.name), "has shape %v, want %v for tips of shape %v", f.array.Shape, f.shape, s.Tips.Shape)
		}
		if err := f.array.checkLen(path(f.name)); err != nil {
			return err
		}
		if err := f.array.checkFinite(path(f.name), 0, f.array.Len()); err != nil {
			return err
		}
	}
	if s.Step < 0 {
		return badf(path("step"), "is %d, want a count", s.Step)
	}
	return nil
}
