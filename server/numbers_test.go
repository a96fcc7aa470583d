package server

import (
	"math"
	"slices"
	"testing"
)

// Whether memory can be shared or not, by alignment and by the machine, the numbers are the same, to the bit.
func TestNumbersAndBytes(t *testing.T) {
	native := littleEndian
	defer func() { littleEndian = native }()
	for _, littleEndian = range []bool{native, false} {
		for n := range 9 {
			single, double := make([]float32, n), make([]float64, n)
			for i := range n {
				single[i], double[i] = float32(i)/3, -math.Pi*float64(i)
			}
			for offset := range 8 { // only one of them is aligned
				data := append(make([]byte, offset, 128), bytes32(single)...)[offset:]
				if got := float32s(data); got == nil || !slices.Equal(got, single) {
					t.Errorf("offset %d: got %v, want %v", offset, got, single)
				}
				data = append(make([]byte, offset, 128), bytes64(double)...)[offset:]
				if got := float64s(data); got == nil || !slices.Equal(got, double) {
					t.Errorf("offset %d: got %v, want %v", offset, got, double)
				}
			}
		}
	}
	if got := bytes32([]float32{1}); !slices.Equal(got, []byte{0, 0, 0x80, 0x3f}) {
		t.Errorf("1 is % x, want it little-endian", got)
	}
	if got := bytes64([]float64{1}); !slices.Equal(got, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}) {
		t.Errorf("1 is % x, want it little-endian", got)
	}
}
