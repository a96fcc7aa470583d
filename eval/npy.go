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
	if info, err := os.Stat(file); err != nil {
		return nil, err
	} else if info.Size() > server.DefaultMessageBytes {
		return nil, fmt.Errorf("%s is too large: %d bytes, want at most %d", file, info.Size(), server.DefaultMessageBytes)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	header, data, err := splitHeader(raw)
	if err != nil {
		return nil, fmt.Errorf("%s is no .npy file (%w)", file, err)
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
	if header.Descr.Fortran && len(tensor.Shape) == 2 {
		tensor.Data = rowMajor(data, header.Descr.Shape[0], header.Descr.Shape[1], width)
	}
	return tensor, nil
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

// rowMajor returns the elements of a column-major matrix row by row; data of another length as it is.
func rowMajor(data []byte, rows, columns, width int) []byte {
	if rows < 1 || columns < 1 || len(data)/width/rows != columns || len(data) != rows*columns*width {
		return data
	}
	out := make([]byte, 0, len(data))
	for i := range rows {
		for j := range columns {
			at := (j*rows + i) * width
			out = append(out, data[at:at+width]...)
		}
	}
	return out
}

// writeGradients writes every gradient to a file in dir, named after the flag that gave its tensor or, where there is none, input.field.npy.
func writeGradients(dir string, gradients map[string]*kantorv1.Input) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("--gradients: %w", err)
	}
	for name, tensor := range tensors(gradients) {
		base := shortOf(name)
		if base == "" {
			base = name
		}
		if err := os.WriteFile(filepath.Join(dir, base+".npy"), formatNpy(tensor), 0o666); err != nil {
			return fmt.Errorf("--gradients: %w", err)
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
