// Package server is kantor's transport: it turns requests into objectives, has [kantor/losses] compute them, turns results into responses, and does the
// same for one call and for a stream of batches. It holds no mathematics.
//
// The way of one request is
//
//	wire -> decode -> losses.Objective -> Bind -> Evaluate -> encode -> wire
//
// in [Evaluator.Evaluate], which the unary call, the stream and the command line share, so that the three give the same bits. Every error leaves through
// toStatus.
package server
