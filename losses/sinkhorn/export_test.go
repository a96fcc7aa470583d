package sinkhorn

// What tests see of the laws behind warnings.
var (
	Faded            = faded
	Shrunk           = shrunk
	Shape            = shape
	ShrinkTable      = shrinkTable
	ShrinkPoints     = shrinkPoints
	ShrinkDimensions = shrinkDimensions
	ShrinkParts      = shrinkParts
)
