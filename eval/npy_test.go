package eval

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

// numpyFile is a file as numpy.save writes it: the header padded so that the data begin at a multiple of 64.
func numpyFile(header string, data []byte) []byte {
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), binary.LittleEndian.AppendUint16(nil, uint16(len(header)))...)
	return append(append(out, header...), data...)
}

// integers writes a file of int64, its shape as NumPy has it: "2,".
func (f files) integers(name, shape string, values ...int64) string {
	f.t.Helper()
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, uint64(v))
	}
	return f.raw(name, numpyFile("{'descr': '<i8', 'fortran_order': False, 'shape': ("+shape+"), }", data))
}

func TestReadTensor(t *testing.T) {
	f := newFiles(t)
	c := f32([]int64{2, 3}, 0, 1, 2, 3, 4, 5)
	columns := f32([]int64{3, 2}, 0, 3, 1, 4, 2, 5).GetData()
	for name, test := range map[string]struct {
		header string
		data   []byte
		want   *kantorv1.Tensor
	}{
		"float32":   {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", c.GetData(), c},
		"float64":   {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", f64(nil, 1, 2).GetData(), f64([]int64{2}, 1, 2)},
		"fortran":   {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", columns, c},
		"batch":     {"{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2, 2), }", f64(nil, 0, 4, 2, 6, 1, 5, 3, 7).GetData(), f64([]int64{2, 2, 2}, 0, 1, 2, 3, 4, 5, 6, 7)},
		"scalar":    {"{'descr': '<f8', 'fortran_order': False, 'shape': (), }", f64(nil, 1).GetData(), f64(nil, 1)},
		"empty":     {"{'descr': '<f8', 'fortran_order': True, 'shape': (0, 2), }", nil, f64([]int64{0, 2})},
		"truncated": {"{'descr': '<f8', 'fortran_order': True, 'shape': (2, 1), }", f64(nil, 1).GetData(), f64([]int64{2, 1}, 1)}, // decode refuses it
	} {
		got, err := readTensor(f.raw(name, numpyFile(test.header, test.data)))
		if err != nil || !proto.Equal(got, test.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, test.want)
		}
	}
}

func TestReadTensorRefuses(t *testing.T) {
	f := newFiles(t)
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"int":         {numpyFile("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", make([]byte, 8)), `has dtype "<i8", want "<f4" (float32) or "<f8"`},
		"big endian":  {numpyFile("{'descr': '>f8', 'fortran_order': False, 'shape': (1,), }", make([]byte, 8)), `has dtype ">f8"`},
		"nothing":     {nil, "is no .npy file"},
		"no header":   {[]byte("\x93NUMPY\x01\x00\x00\x00"), "is no .npy file"},
		"half header": {[]byte("\x93NUMPY\x01\x00\xff\xff{"), "is no .npy file"},
		"long header": {[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{"), "is no .npy file"},
		"no dict":     {numpyFile("{}", nil), "is no .npy file"},
		"other order": {numpyFile("{'shape': (1,), 'fortran_order': False, 'descr': '<f8', }", make([]byte, 8)), "is no .npy file"},
	} {
		if got, err := readTensor(f.raw(name, test.content)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v, want %q", name, got, err, test.want)
		}
	}
}

func TestNpyRoundTrip(t *testing.T) {
	f := newFiles(t)
	for _, tensor := range []*kantorv1.Tensor{f64(nil, 1), f64([]int64{3}, 1, 2, 3), f32([]int64{1, 2}, 1, 2), f64([]int64{1000000, 0})} {
		raw := formatNpy(tensor)
		got, err := readTensor(f.raw("x", raw))
		if err != nil || !proto.Equal(got, tensor) || (len(raw)-len(tensor.GetData()))%64 != 0 {
			t.Errorf("%v became %v, %v, with a header of %d bytes", tensor, got, err, len(raw)-len(tensor.GetData()))
		}
	}
}

// FuzzSplitHeader wants of any bytes a header or an error, and no more memory than a multiple of them; and a tensor that is turned has as many bytes as before.
func FuzzSplitHeader(f *testing.F) {
	f.Add(numpyFile("{'descr': '<f8', 'fortran_order': True, 'shape': (1000000000, 1000000000), }", make([]byte, 16)))
	f.Add([]byte("\x93NUMPY\x03\x00\xff\xff\xff\x7f{"))
	f.Add(numpyFile("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", make([]byte, 24)))
	f.Add(numpyFile("{'descr': ', 'fortran_order': 'shape': }", nil))
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		header, data, err := splitHeader(raw)
		turned := len(data)
		if err == nil && len(header.Descr.Shape) <= maxRank {
			turned = len(rowMajor(data, header.Descr.Shape, 4))
		}
		runtime.ReadMemStats(&after)
		if used, limit := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+100*len(raw)); used > limit {
			t.Errorf("%d bytes took %d, want at most %d", len(raw), used, limit)
		}
		if len(data) > len(raw) || turned != len(data) {
			t.Errorf("%d bytes have %d of data, %d turned", len(raw), len(data), turned)
		}
	})
}
