package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// linearRows is how many rows of a kernel matrix are taken together by dot products and sums.
func (m *machine) linearRows() int {
	if m.wide {
		return 4
	}
	return 2
}

// dot takes inner products of one row or a few with v. Each has four accumulators, whatever the grouping.
func (m *machine) dot(rows int) {
	const chains = 4
	var row []reg64
	var v, n reg64
	if rows == 1 {
		m.function("dot", "func(x, y []T) T", "is dot for one instruction set.")
		row, v, n = []reg64{pointer("x")}, pointer("y"), m.bytes("x", true)
	} else {
		m.function("dotBlock", "func(dst, k []T, ld int, v []T)", "is a few rows of DotRows for one instruction set.")
		row, v, n = m.matrixRows(rows, "k"), pointer("v"), m.bytes("v", true)
	}
	acc := make([][]vector, rows)
	for r := range acc {
		acc[r] = m.vecs(chains)
		for _, a := range acc[r] {
			m.clear(a)
		}
	}
	m.blocks(n, chains, func(at reg64, vectors int) {
		for i := range vectors {
			vi := m.vec()
			m.load(m.element(v, at, i), vi)
			for r := range acc {
				m.fma(m.element(row[r], at, i), vi, acc[r][i])
			}
		}
	})
	if rows == 1 {
		finish(m.fold(m.add, tree(m.add, acc[0])))
		return
	}
	dst := pointer("dst")
	for r := range acc {
		s := m.fold(m.add, tree(m.add, acc[r]))
		to := Mem{Base: dst, Disp: r * m.size()}
		if m.single {
			VMOVSS(s, to)
		} else {
			VMOVSD(s, to)
		}
	}
	finish()
}

// matrixRows are pointers to consecutive rows of a matrix.
func (m *machine) matrixRows(rows int, name string) []reg64 {
	p, ld := []reg64{pointer(name)}, m.bytes("ld", false)
	for len(p) < rows {
		next := GP64()
		LEAQ(Mem{Base: p[len(p)-1], Index: ld, Scale: 1}, next)
		p = append(p, next)
	}
	return p
}

// addRows adds a few rows, each times its factor, in the order of the rows.
func (m *machine) addRows(rows int) {
	m.function("addRows", "func(dst, u, k []T, ld int)", "is a few rows of AddRows for one instruction set.")
	dst, n, u, row := pointer("dst"), m.bytes("dst", true), pointer("u"), m.matrixRows(rows, "k")
	factor := make([]vector, rows)
	for r := range factor {
		factor[r] = m.broadcast(Mem{Base: u, Disp: r * m.size()})
	}
	m.blocks(n, 4, func(at reg64, vectors int) {
		s := m.vecs(vectors)
		for i := range s {
			m.load(m.element(dst, at, i), s[i])
		}
		for r := range row {
			for i := range s {
				m.fma(m.element(row[r], at, i), factor[r], s[i])
			}
		}
		for i := range s {
			m.store(s[i], m.element(dst, at, i))
		}
	})
	finish()
}

// addScaled is addRows for one row.
func (m *machine) addScaled() {
	m.function("addScaled", "func(dst []T, a T, x []T)", "is addScaled for one instruction set.")
	dst, n, a, x := pointer("dst"), m.bytes("dst", true), m.scalar("a"), pointer("x")
	m.blocks(n, 4, func(at reg64, vectors int) {
		s := m.vecs(vectors)
		for i := range s {
			m.load(m.element(dst, at, i), s[i])
			m.fma(m.element(x, at, i), a, s[i])
		}
		for i := range s {
			m.store(s[i], m.element(dst, at, i))
		}
	})
	finish()
}

// squareRow squares a scaled row in place. Adding and subtracting a number rounds what is far below it to 0, so that squares of small entries are not
// subnormal, which is slow on some CPUs.
func (m *machine) squareRow() {
	m.function("squareRow", "func(k, v []T, s T)", "is squareRow for one instruction set.")
	tiny := 0x1p-900
	if m.single {
		tiny = 0x1p-100
	}
	k, n, v, s, grain := pointer("k"), m.bytes("k", true), pointer("v"), m.scalar("s"), m.constant("squareGrain", tiny)
	m.blocks(n, 4, func(at reg64, vectors int) {
		t := m.vecs(vectors)
		for i := range t {
			m.load(m.element(k, at, i), t[i])
			m.mul(m.element(v, at, i), t[i], t[i])
			m.mul(s, t[i], t[i])
			m.mul(t[i], t[i], t[i])
			m.add(grain, t[i], t[i])
			m.sub(grain, t[i], t[i])
			m.store(t[i], m.element(k, at, i))
		}
	})
	finish()
}

// accumulate combines all vectors of x by op, in four chains, from a start.
func (m *machine) accumulate(op func(b, a, to Op), start func() vector) vector {
	x, n := pointer("x"), m.bytes("x", true)
	acc := make([]vector, 4)
	for i := range acc {
		acc[i] = start()
	}
	m.blocks(n, len(acc), func(at reg64, vectors int) {
		for i := range vectors {
			v := m.vec()
			m.load(m.element(x, at, i), v)
			op(v, acc[i], acc[i])
		}
	})
	return m.fold(op, tree(op, acc))
}

func (m *machine) sum() {
	m.function("sum", "func(x []T) T", "is sum for one instruction set.")
	finish(m.accumulate(m.add, m.zero))
}

// maxOf takes the maximum in both orders of the operands: where one of them is NaN, one order gives it and the other does not, and the union of their
// bits is a NaN; elsewhere both are the same.
func (m *machine) maxOf() {
	m.function("maxOf", "func(x []T) T", "is maxOf for one instruction set.")
	sticky := func(b, a, to Op) {
		other := like(b)
		m.max(a, b, other)
		m.max(b, a, to)
		m.or(other, to, to)
	}
	finish(m.accumulate(sticky, func() vector { return m.constant("minusInf", math.Inf(-1)) }))
}

// like is a new register of the same width.
func like(v Op) vector {
	switch v.(reg.Register).Size() {
	case 64:
		return ZMM()
	case 32:
		return YMM()
	default:
		return XMM()
	}
}

// peak runs nothing but independent fused multiply-adds, twelve a round.
func (m *machine) peak() {
	m.function("peak", "func(rounds int) T", "does rounds of twelve vectors of fused multiply-adds: the limit that benchmarks compare with.")
	n, a := integer("rounds"), m.vecs(12)
	for _, v := range a {
		m.clear(v)
	}
	x := m.constant("exp2c0", 1)
	loop := m.label("round")
	Label(loop)
	for _, v := range a {
		m.fma(x, x, v)
	}
	DECQ(n)
	JNZ(LabelRef(loop))
	finish(m.fold(m.add, tree(m.add, a)))
}
