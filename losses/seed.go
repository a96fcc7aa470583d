package losses

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Seed is what everything random in a term comes from: never the place of a problem in its batch, or of a term in its objective.
type Seed struct {
	Request uint64 // the request's seed
	Term    string // the term's name
}

// Random returns the term's generator; each call returns one at its start.
func (s Seed) Random() *rand.Rand { return s.named("term " + s.Term) } // a space, which no input's name has

// named returns the generator of a name: ChaCha8 keyed by request and name alone, so that a prior is the same whichever terms name it.
func (s Seed) named(name string) *rand.Rand {
	key := sha256.Sum256(append(binary.LittleEndian.AppendUint64(nil, s.Request), name...))
	return rand.New(rand.NewChaCha8(key))
}
