package server

import (
	"fmt"
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// buffers are memory for messages on their way in and out, by the power of two that holds them. gRPC's own pool has nothing between 32 KiB and 1 MiB, and
// clears a buffer before it hands it out: for a message of 256 KiB that takes as long as reading it. These come as they are, which is safe because gRPC and
// the codec fill a buffer to its length before they read from it.
type buffers struct{ pools [bits.UintSize + 1]sync.Pool }

var _ mem.BufferPool = (*buffers)(nil)

// Get implements [mem.BufferPool]. The bytes may be anything.
func (b *buffers) Get(length int) *[]byte {
	class := bits.Len(uint(max(length, 1) - 1))
	if buffer, ok := b.pools[class].Get().(*[]byte); ok {
		*buffer = (*buffer)[:length]
		return buffer
	}
	fresh := make([]byte, length, 1<<class)
	return &fresh
}

// Put implements [mem.BufferPool].
func (b *buffers) Put(buffer *[]byte) {
	if n := cap(*buffer); n > 0 && n&(n-1) == 0 { // else it is none of these
		b.pools[bits.Len(uint(n-1))].Put(buffer)
	}
}

// codec is protobuf in these buffers.
type codec struct{ buffers *buffers }

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	message, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("marshal %T, want a proto.Message", v)
	}
	buffer := c.buffers.Get(proto.Size(message))
	// The size is that which Size found just now: nobody changes a message that is being sent.
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buffer)[:0], message)
	if err != nil {
		c.buffers.Put(buffer)
		return nil, err
	}
	*buffer = data
	return mem.BufferSlice{mem.NewBuffer(buffer, c.buffers)}, nil
}

// Unmarshal implements encoding.CodecV2. Nothing of the message shares the buffers' memory, which others get afterwards.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	message, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("unmarshal %T, want a proto.Message", v)
	}
	whole := data.MaterializeToBuffer(c.buffers)
	defer whole.Free()
	return proto.Unmarshal(whole.ReadOnlyData(), message)
}
