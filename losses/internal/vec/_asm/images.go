package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

const (
	imagePad  = 16 // vec.ImagePad
	imageRows = 6  // vec.imageRows: with two vectors of each, twelve accumulators, which hides the latency of their chains
)

// images adds W Y to dst for one to imageRows rows of W. Rows that are not there are the last one over again: all of dst is read before any is written, so
// they write what it has.
func (m *machine) images() {
	m.function("images", "func(dst []T, ld int, w []T, ldw, rows int, y []T, d, count int)", "is a few rows of Images for one instruction set.")
	w, d, count, at := m.imageRowPointers(), m.bytes("d", false), integer("count"), GP64()
	XORQ(at, at)
	loop, rest, end := m.label("block"), m.label("rest"), m.label("end")
	Label(loop)
	next := GP64()
	LEAQ(Mem{Base: at, Disp: 2 * m.width()}, next)
	CMPQ(next, d)
	JGT(LabelRef(rest))
	m.imageBlock(w, d, count, at, 2)
	ADDQ(U32(2*m.width()), at)
	JMP(LabelRef(loop))
	Label(rest)
	if imagePad*m.size() < 2*m.width() {
		CMPQ(at, d)
		JGE(LabelRef(end))
		m.imageBlock(w, d, count, at, 1)
	}
	Label(end)
	finish()
}

func (m *machine) imageRowPointers() []reg64 {
	w, ld, rows := []reg64{pointer("w")}, m.bytes("ldw", false), integer("rows")
	for r := 1; r < imageRows; r++ {
		w = append(w, m.nextRow(w[r-1], ld, rows, r))
	}
	return w
}

// nextRow is ld behind the pointer if there is a row r, else where that is.
func (m *machine) nextRow(pointer, ld, rows reg64, r int) reg64 {
	next, there := GP64(), GP64()
	MOVQ(pointer, next)
	LEAQ(Mem{Base: pointer, Index: ld, Scale: 1}, there)
	CMPQ(rows, Imm(uint64(r)))
	CMOVQGT(there, next)
	return next
}

// imageBlock is some vectors of the rows, at that offset in bytes.
func (m *machine) imageBlock(w []reg64, d, count, at reg64, vectors int) {
	acc := make([][]vector, len(w))
	eachRow := func(body func(acc vector, at Mem)) {
		row, ld, rows := pointer("dst"), m.bytes("ld", false), integer("rows")
		for r := range acc {
			for i := range vectors {
				body(acc[r][i], m.element(row, at, i))
			}
			if r < len(w)-1 {
				row = m.nextRow(row, ld, rows, r+1)
			}
		}
	}
	for r := range acc {
		acc[r] = m.vecs(vectors)
	}
	eachRow(func(acc vector, at Mem) { m.load(at, acc) })
	j, from, loop, end := GP64(), pointer("y"), m.label("column"), m.label("summed")
	ADDQ(at, from)
	XORQ(j, j)
	CMPQ(j, count)
	JGE(LabelRef(end))
	Label(loop)
	y := m.vecs(vectors)
	for i := range y {
		m.load(Mem{Base: from, Disp: i * m.width()}, y[i])
	}
	for r := range acc {
		x := m.broadcast(Mem{Base: w[r], Index: j, Scale: uint8(m.size())})
		for i := range y {
			m.fma(y[i], x, acc[r][i])
		}
	}
	ADDQ(d, from)
	INCQ(j)
	CMPQ(j, count)
	JLT(LabelRef(loop))
	Label(end)
	eachRow(func(acc vector, at Mem) { m.store(acc, at) })
}
