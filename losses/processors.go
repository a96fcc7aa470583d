package losses

import "kantor/losses/internal/parallel"

// SetProcessors sets how many goroutines compute at once, in all evaluations of the process together; without it, and with 0, as many as GOMAXPROCS. It is
// for the start of a process that has more to do than compute and gives the rest processors of its own. Results do not depend on it.
func SetProcessors(n int) { parallel.SetSlots(n) }

// Processors is how many goroutines compute at once, as [SetProcessors] has it.
func Processors() int { return parallel.Slots() }

// Tiles is how many tiles of work this process has begun, of at most a millisecond or so each: it stands still when nothing is computed.
func Tiles() int64 { return parallel.Tiles() }
