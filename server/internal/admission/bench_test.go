package admission

import (
	"context"
	"testing"
)

// What admission costs a request that is alone.
func BenchmarkAlone(b *testing.B) {
	c := New(limits)
	r := of("a", smallPairs)
	for b.Loop() {
		ticket, err := c.Admit(context.Background(), r)
		if err != nil {
			b.Fatal(err)
		}
		ticket.Computed(1)
		ticket.Done()
	}
}
