package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// lowest is where maxima start: finite, so that an exponent of -Inf is below it and not equal.
func (m *machine) lowest() float64 {
	if m.single {
		return -math.MaxFloat32
	}
	return -math.MaxFloat64
}

// slack is how far an exponent may be above the reference before the sums are rescaled: far enough that this is rare, and near enough that 2^24 of them
// cannot overflow. It is vec.slack.
func (m *machine) slack() float64 {
	if m.single {
		return 64
	}
	return 512
}

// logSumRow keeps in every lane a reference and the sums of 2^(t - reference), next to the lane's true maximum. References move only when an exponent is
// above them by more than the slack.
func (m *machine) logSumRow() {
	m.function("logSumRow", "func(c, h []T, scale T) (max, sum T)", "is logSumRow for one instruction set. An empty sum has the lowest finite max.")
	c, h, n := pointer("c"), pointer("h"), m.bytes("c", true)
	scale, e := m.scalar("scale"), m.newExp2(false)
	top, reference, limit := m.constant("lowest", m.lowest()), m.vec(), m.vec()
	m.move(top, reference)
	m.move(top, limit)
	sums := m.vecs(m.group())
	for _, s := range sums {
		m.clear(s)
	}
	m.blocks(n, m.group(), func(at reg64, vectors int) {
		t := m.vecs(vectors)
		for i := range t {
			m.load(m.element(c, at, i), t[i])
			m.subMul(m.element(h, at, i), scale, t[i])
		}
		for i := range t {
			m.max(top, t[i], top) // a NaN in t is skipped here and shows in the sum
		}
		steady := m.label("steady")
		m.jumpIfNone(m.compare(greater, limit, top), steady)
		m.sub(top, reference, reference)
		e.apply([]vector{reference})
		for _, s := range sums {
			m.mul(reference, s, s)
		}
		m.move(top, reference)
		m.add(m.splat("slack", m.slack()), top, limit)
		Label(steady)
		for i := range t {
			m.sub(reference, t[i], t[i])
		}
		e.apply(t)
		for i := range t {
			m.add(t[i], sums[i], sums[i])
		}
	})
	m.combine(e, top, reference, tree(m.add, sums))
}

// combine returns the maximum of all lanes and their sum relative to it.
func (m *machine) combine(e *exp2, top, reference, sum vector) {
	most := m.fold(m.max, top)
	all := m.vec()
	m.either(VBROADCASTSS, VBROADCASTSD)(most, all)
	m.sub(all, reference, reference)
	e.apply([]vector{reference})
	m.mul(reference, sum, sum)
	finish(most, m.fold(m.add, sum))
}

// columnGroup is how many vectors of columns logSumColumns takes together.
func (m *machine) columnGroup() int { return min(m.group(), m.padVectors()) }

// logSumColumns keeps the references and the sums of a group of columns in registers over all rows. A column is rescaled by itself, so its result does
// not depend on its neighbours.
func (m *machine) logSumColumns() {
	m.function("logSumColumns", "func(max, sum, c []T, ld, rows, cols int, f []T, scale T)", "is logSumColumns for one instruction set.")
	maxima, sums, c := pointer("max"), pointer("sum"), pointer("c")
	ld, rows, cols, f := m.bytes("ld", false), integer("rows"), m.bytes("cols", false), pointer("f")
	scale, slack, e := m.scalar("scale"), m.constant("slack", m.slack()), m.newExp2(false)
	m.blocks(cols, m.columnGroup(), func(at reg64, vectors int) {
		reference, sum := m.vecs(vectors), m.vecs(vectors)
		for i := range reference {
			m.load(m.element(maxima, at, i), reference[i])
			m.load(m.element(sums, at, i), sum[i])
		}
		row, end, left, from, fi := m.label("row"), m.label("rows"), GP64(), GP64(), GP64()
		MOVQ(rows, left)
		TESTQ(left, left)
		JZ(LabelRef(end))
		LEAQ(Mem{Base: c, Index: at, Scale: 1}, from)
		MOVQ(f, fi)
		Label(row)
		m.addRowToColumns(e, reference, sum, from, m.broadcast(Mem{Base: fi}), scale, slack)
		ADDQ(ld, from)
		ADDQ(Imm(uint64(m.size())), fi)
		DECQ(left)
		JNZ(LabelRef(row))
		Label(end)
		for i := range reference {
			m.store(reference[i], m.element(maxima, at, i))
			m.store(sum[i], m.element(sums, at, i))
		}
	})
	finish()
}

func (m *machine) addRowToColumns(e *exp2, reference, sum []vector, from reg64, f, scale, slack vector) {
	t, top := m.vecs(len(reference)), m.vec()
	exponent := func(i int, t vector) {
		m.load(Mem{Base: from, Disp: i * m.width()}, t)
		m.subMul(f, scale, t)
	}
	m.move(slack, top)
	for i := range t {
		exponent(i, t[i])
		m.sub(reference[i], t[i], t[i])
		m.max(top, t[i], top) // skips NaN, so that it cannot hide another column's growth
	}
	steady := m.label("steady")
	m.jumpIfNone(m.compare(greater, slack, top), steady)
	for i := range t {
		grown, old := m.compare(greater, slack, t[i]), m.vec()
		exponent(i, t[i])
		m.move(reference[i], old)
		m.replace(grown, t[i], reference[i])
		m.sub(reference[i], t[i], t[i])
		m.sub(reference[i], old, old)
		e.apply([]vector{old})
		m.mul(old, sum[i], sum[i])
	}
	Label(steady)
	e.apply(t)
	for i := range t {
		m.add(t[i], sum[i], sum[i])
	}
}
