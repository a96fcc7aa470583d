package losses

import "kantor/losses/internal/memory"

// SetPairMemory sets how many bytes the matrices of pairs of points of all problems may take at once, a process's one static choice in how problems are
// computed: one whose matrices would take more computes its pairs again whenever it needs them, in memory that grows with N·D, and its last digits differ.
// Problems that are computed at the same time wait for each other rather than take more together; small ones, those that need at most a 64th, have
// another eighth to share, so that they do not wait for large ones. It is for the start of a process, before anything is computed; without it that is
// 256 MiB. 0: nothing is stored. The error is about a negative number.
func SetPairMemory(bytes int64) error {
	if bytes < 0 {
		return badf("pair memory", "is %d bytes, want 0 or more", bytes)
	}
	memory.SetTotal(bytes)
	return nil
}

// PairMemory is what [SetPairMemory] set.
func PairMemory() int64 { return memory.Total() }
