package losses

// Cost is the ground cost between two points.
type Cost int

const (
	// HalfSquaredEuclidean is ½|x-y|², the default.
	HalfSquaredEuclidean Cost = iota
	// SquaredEuclidean is |x-y|².
	SquaredEuclidean
	// Euclidean is |x-y|.
	Euclidean
)

func (c Cost) String() string {
	return [...]string{"half_squared_euclidean", "squared_euclidean", "euclidean"}[c]
}
