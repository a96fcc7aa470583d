// Package vec holds the numeric kernels of transport: sums over the pairs of a point and a cloud. The plain loops here are the specification that every
// faster variant has to meet.
package vec

// Name is the kernel that was chosen at start.
const Name = "generic"
