package server

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// littleEndian reports whether this machine's numbers lie in memory as they do on the wire, so that bytes are numbers and numbers bytes without a copy.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// view returns the numbers that the bytes are, without a copy, where the machine has them so; else nil. The bytes must not change any more.
func view[T float32 | float64](data []byte) []T {
	var zero T
	width := unsafe.Sizeof(zero)
	if start := unsafe.SliceData(data); len(data) > 0 && littleEndian && uintptr(unsafe.Pointer(start))%width == 0 {
		return unsafe.Slice((*T)(unsafe.Pointer(start)), len(data)/int(width))
	}
	return nil
}

// float32s are the numbers that the bytes are, which may share their memory.
func float32s(data []byte) []float32 {
	if shared := view[float32](data); shared != nil {
		return shared
	}
	out := make([]float32, len(data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out
}

// float64s are the numbers that the bytes are, which may share their memory.
func float64s(data []byte) []float64 {
	if shared := view[float64](data); shared != nil {
		return shared
	}
	out := make([]float64, len(data)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return out
}

// bytes32 are the numbers as the wire has them, which may share their memory.
func bytes32(values []float32) []byte {
	if littleEndian {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
	}
	out := make([]byte, 0, 4*len(values))
	for _, v := range values {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return out
}

// bytes64 are the numbers as the wire has them, which may share their memory.
func bytes64(values []float64) []byte {
	if littleEndian {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 8*len(values))
	}
	out := make([]byte, 0, 8*len(values))
	for _, v := range values {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
	}
	return out
}
