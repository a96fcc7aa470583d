package losses

// Limits of one request. They bound memory before anything is allocated, and the longest stretch of work between two looks at a context.
const (
	// MaxPoints is the most points of a measure, or rows of a Gaussian, in one problem.
	MaxPoints = 1 << 20
	// MaxDimension is the highest dimension of a point.
	MaxDimension = 1 << 16
	// MaxElements is the most numbers that a prior is sampled into, or that an input takes which the problems of a batch share, copies for all of them
	// counted: 128 MiB of binary64.
	MaxElements = 1 << 24
	// MaxTerms is the most terms of an objective.
	MaxTerms = 64
	// MaxProblems is the most problems of an objective: those of its batch, counted for every term.
	MaxProblems = 1 << 16
)
