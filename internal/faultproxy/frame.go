package faultproxy

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Type is that of a frame (RFC 9113, section 6).
type Type int

// Types of frames, and what is none.
const (
	Opaque       Type = -1 // bytes that are not taken apart: the client's preface, or all where Config.Raw
	Data         Type = 0
	Headers      Type = 1
	ResetStream  Type = 3
	Settings     Type = 4
	Ping         Type = 6
	GoAway       Type = 7
	WindowUpdate Type = 8
)

// HeaderBytes are those of a frame's header: three of the payload's length, its type, its flags and four of its stream (RFC 9113, section 4.1).
const HeaderBytes = 9

const (
	readBytes    = 64 << 10
	prefaceBytes = 24 // of a client, before its first frame (RFC 9113, section 3.4)
)

// reader cuts what it reads into units.
type reader struct {
	in      *bufio.Reader
	raw     bool
	preface bool // comes first
	buffer  []byte
}

// next returns the next unit's bytes, which are its own until the next call. What is cut off in the middle of a unit is one, before the error.
func (r *reader) next() ([]byte, Unit, error) {
	switch {
	case r.raw:
		return r.some()
	case r.preface:
		r.preface = false
		return r.exactly(prefaceBytes, Unit{Type: Opaque})
	}
	header, err := r.in.Peek(HeaderBytes)
	if err != nil {
		return r.rest(err)
	}
	length := HeaderBytes + int(header[0])<<16 + int(header[1])<<8 + int(header[2])
	stream := binary.BigEndian.Uint32(header[5:]) &^ (1 << 31) // the highest bit is reserved
	return r.exactly(length, Unit{Type: Type(header[3]), Stream: stream})
}

// some returns what is there.
func (r *reader) some() ([]byte, Unit, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, Unit{}, err
	}
	return r.exactly(r.in.Buffered(), Unit{Type: Opaque})
}

// exactly reads a unit of a length.
func (r *reader) exactly(length int, unit Unit) ([]byte, Unit, error) {
	if cap(r.buffer) < length {
		r.buffer = make([]byte, length)
	}
	n, err := io.ReadFull(r.in, r.buffer[:length])
	if n == 0 {
		return nil, unit, err
	}
	unit.Length = n
	return r.buffer[:n], unit, nil // an error comes again
}

// rest returns what is left of a frame whose header was cut off.
func (r *reader) rest(err error) ([]byte, Unit, error) {
	if r.in.Buffered() == 0 {
		return nil, Unit{}, err
	}
	return r.exactly(r.in.Buffered(), Unit{Type: Opaque})
}
