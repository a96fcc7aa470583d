package main

import (
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

const panelColumns = 64 // vec.PanelColumns

// fusedRows is how many rows of products are kept in registers, with four vectors of columns each.
func (m *machine) fusedRows() int {
	if m.wide {
		return 6
	}
	return 3
}

// fused is a kernel on products in registers: rows of x, the panels of y, and what is added to the products, a height for each column. Rows that are not
// there are the last one over again.
type fused struct {
	*machine
	exp      *exp2
	x        []reg64
	d, y, at reg64 // the tile's points, and the offset of its columns in bytes
	products [][]vector
}

// newFused reads the parameters that such kernels share. Exponents of logSumProducts are at most its slack.
func (m *machine) newFused(clampHigh bool) *fused {
	f := &fused{machine: m, exp: m.newExp2(clampHigh).inMemory(), d: integer("d"), y: pointer("y"), at: m.zeroInteger()}
	f.x = []reg64{pointer("x")}
	step, rows := m.bytes("d", false), integer("rows")
	for r := 1; r < m.fusedRows(); r++ {
		f.x = append(f.x, m.nextRow(f.x[r-1], step, rows, r))
	}
	return f
}

func (m *machine) zeroInteger() reg64 {
	r := GP64()
	XORQ(r, r)
	return r
}

// tiles calls body for tiles of as many columns as the registers hold. It is written once for each that makes up a panel.
func (f *fused) tiles(body func()) {
	loop, end := f.label("panel"), f.label("panels")
	width := 4 * f.width()
	Label(loop)
	CMPQ(f.at, f.bytes("h", true))
	JGE(LabelRef(end))
	inner, next := f.label("tile"), f.label("next")
	if width < panelColumns*f.size() {
		tiles := GP64()
		MOVQ(I32(panelColumns*f.size()/width), tiles)
		Label(inner)
		f.multiply()
		body()
		ADDQ(U32(width), f.y)
		ADDQ(U32(width), f.at)
		DECQ(tiles)
		JZ(LabelRef(next))
		JMP(LabelRef(inner))
		Label(next)
	} else {
		f.multiply()
		body()
		ADDQ(U32(width), f.y)
		ADDQ(U32(width), f.at)
	}
	// To the panel behind: d rows of it less the one that was gone along.
	panel := GP64()
	MOVQ(f.d, panel)
	DECQ(panel)
	SHLQ(Imm(uint64(bits.TrailingZeros(uint(panelColumns*f.size())))), panel)
	ADDQ(panel, f.y)
	JMP(LabelRef(loop))
	Label(end)
}

// multiply sets the products of a tile, each one chain in the order of the dimensions.
func (f *fused) multiply() {
	f.products = nil
	for range f.x {
		row := f.vecs(4)
		for _, p := range row {
			f.clear(p)
		}
		f.products = append(f.products, row)
	}
	k, from, loop, end := GP64(), GP64(), f.label("dimension"), f.label("multiplied")
	MOVQ(f.y, from)
	XORQ(k, k)
	CMPQ(k, f.d)
	JGE(LabelRef(end))
	Label(loop)
	coordinate := func(r int) Mem { return Mem{Base: f.x[r], Index: k, Scale: uint8(f.size())} }
	if f.wide {
		y := f.vecs(4)
		for i := range y {
			f.load(Mem{Base: from, Disp: i * f.width()}, y[i])
		}
		for r, row := range f.products {
			x := f.broadcast(coordinate(r))
			for i := range y {
				f.fma(y[i], x, row[i])
			}
		}
	} else {
		var x []vector
		for r := range f.x {
			x = append(x, f.broadcast(coordinate(r)))
		}
		for i := range 4 {
			y := f.vec()
			f.load(Mem{Base: from, Disp: i * f.width()}, y)
			for r, row := range f.products {
				f.fma(y, x[r], row[i])
			}
		}
	}
	ADDQ(U32(panelColumns*f.size()), from)
	INCQ(k)
	CMPQ(k, f.d)
	JLT(LabelRef(loop))
	Label(end)
}

// apply takes powers in small groups: the products leave few registers.
func (f *fused) apply(t []vector) {
	group := 1
	if f.wide && f.single {
		group = 2
	}
	for lo := 0; lo < len(t); lo += group {
		f.exp.apply(t[lo : lo+group])
	}
}

// logSumProducts is logSumRow for a few rows at once, with products in place of costs. The references of a row's lanes and their sums, 2 vectors a row, are in
// lanes.
func (m *machine) logSumProducts() {
	m.function("logSumProducts", "func(max, sum, lanes, x []T, rows, d int, y, h []T)", "is a few rows of LogSumProducts for one instruction set.")
	f, lanes := m.newFused(false), pointer("lanes")
	reference := func(r int) Mem { return Mem{Base: lanes, Disp: 2 * r * m.width()} }
	sum := func(r int) Mem { return Mem{Base: lanes, Disp: (2*r + 1) * m.width()} }
	lowest, zero := m.constant("lowest", m.lowest()), m.zero()
	for r := range f.x {
		m.store(lowest, reference(r))
		m.store(zero, sum(r))
	}
	f.tiles(func() {
		h := pointer("h")
		for r, t := range f.products {
			top, grown := m.vec(), m.vec()
			m.load(reference(r), top)
			for i := range t {
				m.add(m.element(h, f.at, i), t[i], t[i])
			}
			for i := range t {
				m.max(top, t[i], top) // a NaN in t is skipped here and shows in the sum
			}
			m.sub(reference(r), top, grown)
			steady := m.label("steady")
			m.jumpIfNone(m.compare(greater, m.splat("slack", m.slack()), grown), steady)
			factor := m.vec()
			m.load(reference(r), factor)
			m.sub(top, factor, factor)
			m.store(top, reference(r))
			f.exp.apply([]vector{factor})
			m.mul(sum(r), factor, factor)
			m.store(factor, sum(r))
			Label(steady)
			for i := range t {
				m.sub(reference(r), t[i], t[i])
			}
			f.apply(t)
			all := tree(m.add, t)
			m.add(sum(r), all, all)
			m.store(all, sum(r))
		}
	})
	rows, toMax, toSum, size := integer("rows"), pointer("max"), pointer("sum"), GP64()
	MOVQ(I32(m.size()), size)
	for r := range f.x {
		ref, s := m.vec(), m.vec()
		m.load(reference(r), ref)
		m.load(sum(r), s)
		most := m.fold(m.max, ref)
		all := m.vec()
		m.either(VBROADCASTSS, VBROADCASTSD)(most, all)
		m.sub(all, ref, ref)
		f.exp.apply([]vector{ref})
		m.mul(ref, s, s)
		m.storeFirst(most, Mem{Base: toMax})
		m.storeFirst(m.fold(m.add, s), Mem{Base: toSum})
		if r < len(f.x)-1 {
			toMax, toSum = m.nextRow(toMax, size, rows, r+1), m.nextRow(toSum, size, rows, r+1)
		}
	}
	finish()
}

// storeFirst writes the first number of a vector.
func (m *machine) storeFirst(v vector, to Mem) {
	if m.single {
		VMOVSS(v, to)
	} else {
		VMOVSD(v, to)
	}
}

// sweepProducts takes every power once, for the sums of rows and those of columns. The rows' lanes are in lanes.
func (m *machine) sweepProducts() {
	m.function("sweepProducts", "func(rowSums, colSums, lanes, x []T, rows, d int, f, a, y, h, b []T)",
		"is a few rows of SweepProducts for one instruction set.")
	p, lanes := m.newFused(true), pointer("lanes")
	sum := func(r int) Mem { return Mem{Base: lanes, Disp: r * m.width()} }
	zero := m.zero()
	for r := range p.x {
		m.store(zero, sum(r))
	}
	p.tiles(func() {
		h, b, columns := pointer("h"), pointer("b"), pointer("colSums")
		for r, t := range p.products {
			fr := m.broadcast(Mem{Base: pointer("f"), Disp: r * m.size()})
			for i := range t {
				m.add(m.element(h, p.at, i), t[i], t[i])
				m.add(fr, t[i], t[i])
			}
			p.apply(t)
			s, ar := m.vec(), m.broadcast(Mem{Base: pointer("a"), Disp: r * m.size()})
			m.load(sum(r), s)
			for i := range t {
				m.fma(m.element(b, p.at, i), t[i], s)
				m.horner(m.element(columns, p.at, i), ar, t[i])
				m.store(t[i], m.element(columns, p.at, i))
			}
			m.store(s, sum(r))
		}
	})
	rows, to, size := integer("rows"), []reg64{pointer("rowSums")}, GP64()
	MOVQ(I32(m.size()), size)
	for r := 1; r < len(p.x); r++ {
		to = append(to, m.nextRow(to[r-1], size, rows, r))
	}
	// From the last one, so that what stays is the row that is there.
	for r := len(p.x) - 1; r >= 0; r-- {
		s := m.vec()
		m.load(sum(r), s)
		m.storeFirst(m.fold(m.add, s), Mem{Base: to[r]})
	}
	finish()
}
