package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// expRowNarrow writes dst = 2^(h - c scale + shift) in binary32 from exponents in binary64: each is split into its floor and the rest before either is
// narrowed, so that the rest alone is rounded, to 2^-25.
func (m *machine) expRowNarrow() {
	m.function("expRowNarrow", "func(dst []T, c, h []float64, scale, shift float64)", "is expRowNarrow for one instruction set.")
	double := &machine{suffix: m.suffix, wide: m.wide}
	dst, c, h, n := pointer("dst"), pointer("c"), pointer("h"), m.bytes("dst", true)
	scale, shift, e := double.scalar("scale"), double.scalar("shift"), m.newExp2(true)
	var low, high vector
	if !m.wide {
		low, high = double.constant("narrowLow", -127), double.constant("narrowHigh", 128)
	}
	m.blocks(n, 2, func(at reg64, vectors int) {
		rest, floor := m.vecs(vectors), m.vecs(vectors)
		for i := range rest {
			var rests, floors [2]vector
			for half := range 2 {
				t := double.vec()
				element := func(base reg64) Mem { return Mem{Base: base, Index: at, Scale: 2, Disp: (2*i + half) * m.width()} }
				double.load(element(c), t)
				double.subMul(element(h), scale, t)
				double.add(shift, t, t)
				rests[half], floors[half] = double.split(t, low, high)
			}
			m.narrow(rests, rest[i])
			m.narrow(floors, floor[i])
		}
		power := m.vecs(vectors)
		e.polynomial(rest, power)
		for i := range power {
			e.scaleNormal(floor[i], power[i])
			m.store(power[i], m.element(dst, at, i))
		}
	})
	finish()
}

// split returns t - floor(t) and floor(t). The rest of an infinity is 0.
func (m *machine) split(t, low, high vector) (rest, floor vector) {
	rest, floor = m.vec(), m.vec()
	if m.wide {
		VRNDSCALEPD(Imm(9), t, floor)
		VREDUCEPD(Imm(1), t, rest)
		return rest, floor
	}
	m.max(t, low, t)
	m.min(t, high, t)
	VROUNDPD(Imm(9), t, floor)
	m.sub(floor, t, rest)
	return rest, floor
}

// narrow joins two vectors of doubles to one of singles.
func (m *machine) narrow(halves [2]vector, to vector) {
	if m.wide {
		upper := YMM()
		VCVTPD2PS(halves[0], to.AsY())
		VCVTPD2PS(halves[1], upper)
		VINSERTF32X8(Imm(1), upper, to, to)
		return
	}
	upper := XMM()
	VCVTPD2PSY(halves[0], to.AsX())
	VCVTPD2PSY(halves[1], upper)
	VINSERTF128(Imm(1), upper, to, to)
}

// scaleNormal multiplies by 2^floor, which is whole or not finite: 0 where that is below the normal numbers.
func (e *exp2) scaleNormal(floor, power vector) {
	if e.wide {
		const notLess = 0x15 // true where an operand is NaN
		VSCALEFPS_Z(floor, power, e.compare(notLess, e.splat("narrowNormal", -126), floor), power)
		return
	}
	bits := e.vec() // as in byShift
	e.add(e.magic, floor, bits)
	VPSLLD(Imm(23), bits, bits)
	e.mul(bits, power, power)
}
