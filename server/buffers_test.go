package server

import (
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
)

func TestBuffersHaveTheirLengthAndComeBack(t *testing.T) {
	b := &buffers{}
	for _, length := range []int{0, 1, 2, 3, 4096, 4097, 262200} {
		buffer := b.Get(length)
		if len(*buffer) != length || cap(*buffer) >= 2*max(length, 1) {
			t.Errorf("%d bytes: got %d of %d, want them in less than twice as many", length, len(*buffer), cap(*buffer))
		}
		b.Put(buffer)
	}
	foreign := make([]byte, 5)
	b.Put(&foreign)
	for range 10 {
		if got := b.Get(8); cap(*got) < 8 {
			t.Fatalf("got a buffer of %d bytes, want 8", cap(*got))
		}
	}
}

// What was read does not change when its buffer is used again, whether it came in one piece or in several, and what is written is what protobuf writes.
func TestCodecIsProtobufAndSharesNothing(t *testing.T) {
	c := codec{&buffers{}}
	request := &kantorv1.EvaluateRequest{Objective: &kantorv1.Objective{Gradients: []string{"a.points"}}, Seed: 7, Inputs: map[string]*kantorv1.Input{
		"a": {Kind: &kantorv1.Input_Measure{Measure: &kantorv1.Measure{Points: f64([]int64{1, 2}, 1, 2)}}}}}
	wire, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 1, len(wire) / 2} {
		whole := append([]byte(nil), wire...)
		data := mem.BufferSlice{mem.SliceBuffer(whole[:cut]), mem.SliceBuffer(whole[cut:])}
		if cut == 0 {
			data = data[1:]
		}
		var got kantorv1.EvaluateRequest
		if err := c.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		clear(whole)
		for range 10 {
			buffer := c.buffers.Get(len(wire))
			clear(*buffer)
		}
		if !proto.Equal(&got, request) {
			t.Errorf("cut at %d: got %v, want %v", cut, &got, request)
		}
	}
	for range 3 { // a buffer that was used before holds other bytes
		data, err := c.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		var got kantorv1.EvaluateRequest
		if err := proto.Unmarshal(data.Materialize(), &got); err != nil || data.Len() != len(wire) || !proto.Equal(&got, request) {
			t.Errorf("got %v of %d bytes, %v, want %v of %d", &got, data.Len(), err, request, len(wire))
		}
		data.Free()
	}
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer{0xff}}, request); err == nil {
		t.Error("bytes that are no message were accepted")
	}
	if _, err := c.Marshal(1); err == nil {
		t.Error("a number was marshalled")
	}
	if err := c.Unmarshal(nil, 1); err == nil {
		t.Error("a number was unmarshalled into")
	}
}
