package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// poles takes a few vectors of numbers through all poles at a time, so that divisions overlap and sums stay in registers.
func (m *machine) poles() {
	m.function("poles", "func(value, slope, x []T, scale T, residues, at []T)", "is poles for one instruction set.")
	value, n, slope, x, scale := pointer("value"), m.bytes("value", true), pointer("slope"), pointer("x"), m.scalar("scale")
	residues, places, count := pointer("residues"), pointer("at"), m.bytes("at", true)
	one := m.constant("one", 1)
	m.blocks(n, m.group(), func(at reg64, vectors int) {
		u, values, slopes := m.vecs(vectors), m.vecs(vectors), m.vecs(vectors)
		for i := range u {
			m.load(m.element(x, at, i), u[i])
			m.mul(scale, u[i], u[i])
			m.clear(values[i])
			m.clear(slopes[i])
		}
		s, loop := GP64(), m.label("pole")
		XORQ(s, s)
		Label(loop)
		place, residue := m.broadcast(Mem{Base: places, Index: s, Scale: 1}), m.broadcast(Mem{Base: residues, Index: s, Scale: 1})
		for i := range u {
			r, part := m.vec(), m.vec()
			m.add(place, u[i], r)
			m.div(r, one, r)
			m.mul(residue, r, part)
			m.add(part, values[i], values[i])
			m.fma(part, r, slopes[i])
		}
		ADDQ(U32(m.size()), s)
		CMPQ(s, count)
		JL(LabelRef(loop))
		for i := range u {
			m.store(values[i], m.element(value, at, i))
			m.store(slopes[i], m.element(slope, at, i))
		}
	})
	finish()
}
