package eval

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/sbinet/npyio/npy"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/server"
)

// readTensor reads a .npy file of float32 or float64. Its bytes are a tensor's already, but for Fortran order; whether they are as many as the shape says
// is for the server's decode to check.
func readTensor(file string) (*kantorv1.Tensor, error) {
	header, data, err := readNpy(file)
	if err != nil {
		return nil, err
	}
	tensor := &kantorv1.Tensor{Data: data}
	width := 0
	switch header.Descr.Type {
	case "<f4":
		tensor.Dtype, width = kantorv1.Dtype_DTYPE_FLOAT32, 4
	case "<f8":
		tensor.Dtype, width = kantorv1.Dtype_DTYPE_FLOAT64, 8
	default:
		return nil, fmt.Errorf(`%s has dtype %q, want "<f4" (float32) or "<f8" (float64)`, file, header.Descr.Type)
	}
	for _, extent := range header.Descr.Shape {
		tensor.Shape = append(tensor.Shape, int64(extent))
	}
	if header.Descr.Fortran && len(tensor.Shape) <= maxRank {
		tensor.Data = rowMajor(data, header.Descr.Shape, width)
	}
	return tensor, nil
}

// maxRank is that of a batch of covariances, [B,N,D,D]; what has more is refused whatever its order.
const maxRank = 4

// readIntegers reads a .npy file of int64 in one dimension.
func readIntegers(file string) ([]int64, error) {
	header, data, err := readNpy(file)
	if err != nil {
		return nil, err
	}
	if header.Descr.Type != "<i8" {
		return nil, fmt.Errorf(`%s has dtype %q, want "<i8" (int64)`, file, header.Descr.Type)
	}
	if shape := header.Descr.Shape; len(shape) != 1 || shape[0] < 1 || len(data)%8 != 0 || shape[0] != len(data)/8 {
		return nil, fmt.Errorf("%s has shape %v and %d bytes of data, want as many integers as there are problems", file, shape, len(data))
	}
	out := make([]int64, len(data)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return out, nil
}

// readNpy reads a .npy file that would fit into a message.
func readNpy(file string) (header npy.Header, data []byte, err error) {
	if info, err := os.Stat(file); err != nil {
		return header, nil, err
	} else if info.Size() > server.DefaultMessageBytes {
		return header, nil, fmt.Errorf("%s is too large: %d bytes, want at most %d", file, info.Size(), server.DefaultMessageBytes)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return header, nil, err
	}
	if header, data, err = splitHeader(raw); err != nil {
		return header, nil, fmt.Errorf("%s is no .npy file (%w)", file, err)
	}
	return header, data, nil
}

// splitHeader returns the header and the bytes behind it. The library panics on some headers that are none, and allocates what a header of version 2 says
// that it is long.
func splitHeader(raw []byte) (header npy.Header, data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("npy: invalid header")
		}
	}()
	const lengthEnd = 12 // magic, version, and in version 2 four bytes of length
	if len(raw) >= lengthEnd && raw[6] == 2 && int64(binary.LittleEndian.Uint32(raw[8:lengthEnd])) > int64(len(raw)) {
		return header, nil, fmt.Errorf("npy: the header is longer than the file")
	}
	rest := bytes.NewReader(raw)
	r, err := npy.NewReader(rest)
	if err != nil {
		return header, nil, err
	}
	return r.Header, raw[len(raw)-rest.Len():], nil
}

// rowMajor returns the elements of a column-major array row by row; data of another length than the shape's as it is.
func rowMajor(data []byte, shape []int, width int) []byte {
	count := 1
	for _, extent := range shape {
		if extent < 1 || count > len(data)/width/extent {
			return data
		}
		count *= extent
	}
	if count*width != len(data) {
		return data
	}
	out, index := make([]byte, 0, len(data)), make([]int, len(shape))
	for range count {
		at, stride := 0, width
		for axis, i := range index {
			at += i * stride
			stride *= shape[axis]
		}
		out = append(out, data[at:at+width]...)
		for axis := len(shape) - 1; axis >= 0; axis-- { // the next element, the last axis the fastest
			if index[axis]++; index[axis] < shape[axis] {
				break
			}
			index[axis] = 0
		}
	}
	return out
}

// writeAllGradients writes those of the total to dir, and those of each term that has its own to a folder of its name.
func writeAllGradients(dir string, response *kantorv1.EvaluateResponse) error {
	if err := writeGradients(dir, response.GetGradients()); err != nil {
		return err
	}
	for _, term := range response.GetTerms() {
		if len(term.GetGradients()) == 0 {
			continue
		}
		if err := writeGradients(filepath.Join(dir, term.GetName()), term.GetGradients()); err != nil {
			return err
		}
	}
	return nil
}

// writeGradients writes every gradient to a file in dir, named after the flag that gave its tensor or, where there is none, input.field.npy.
func writeGradients(dir string, gradients map[string]*kantorv1.Input) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, tensor := range tensors(gradients) {
		base := shortOf(name)
		if base == "" {
			base = name
		}
		if err := os.WriteFile(filepath.Join(dir, base+".npy"), formatNpy(tensor), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// formatNpy writes a tensor in version 1.0 of the format (NumPy, NEP 1), which the library cannot for a matrix of float32.
func formatNpy(t *kantorv1.Tensor) []byte {
	dtype := "<f8"
	if t.GetDtype() == kantorv1.Dtype_DTYPE_FLOAT32 {
		dtype = "<f4"
	}
	var shape strings.Builder
	for _, extent := range t.GetShape() {
		fmt.Fprintf(&shape, "%d, ", extent)
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, strings.TrimSuffix(shape.String(), " "))
	const before, alignment = 10, 64 // bytes before the header; the data are aligned
	header += strings.Repeat(" ", alignment-(before+len(header)+1)%alignment) + "\n"
	out := append([]byte{}, npy.Magic[:]...)
	out = append(out, 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(min(len(header), math.MaxUint16)))
	out = append(out, header...)
	return append(out, t.GetData()...)
}
