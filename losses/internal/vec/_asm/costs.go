package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type reg64 = reg.GPVirtual

// blockRows is how many rows of costs are taken together: as many as the registers hold accumulators for.
func (m *machine) blockRows() int {
	switch {
	case !m.wide:
		return 2
	case m.single:
		return 6
	default:
		return 4
	}
}

// tileVectors is how many vectors of columns are taken together.
func (m *machine) tileVectors() int { return min(4, m.padVectors()) }

// costs writes a few rows of costs: every element is one chain of fused additions in the order of the dimensions, so that grouping changes no bit.
// Without differences it writes products.
func (m *machine) costs(rows int, differences bool) {
	name, signature := "products", "func(dst []T, ld int, x []T, d int, yt []T, stride, cols int)"
	if differences {
		name, signature = "costs", "func(dst []T, ld int, root bool, x []T, d int, yt []T, stride, cols int)"
	}
	if rows > 1 {
		name += "Block"
	}
	m.function(name, signature, "writes rows of Costs or Products for one instruction set.")
	dst, ld := pointer("dst"), m.bytes("ld", false)
	x, d := m.rowPointers(rows), integer("d")
	yt, stride, cols := pointer("yt"), m.bytes("stride", false), m.bytes("cols", false)
	tile := m.tileVectors() * m.width()

	columns, end := m.label("columns"), m.label("done")
	Label(columns)
	CMPQ(cols, Imm(0))
	JLE(LabelRef(end))
	acc := make([][]vector, rows)
	for r := range acc {
		acc[r] = m.vecs(m.tileVectors())
		for _, a := range acc[r] {
			m.clear(a)
		}
	}
	m.dimensions(acc, x, d, yt, stride, differences)
	if differences {
		m.finishCosts(acc)
	}
	to := GP64()
	MOVQ(dst, to)
	for r := range acc {
		for i, a := range acc[r] {
			m.store(a, Mem{Base: to, Disp: i * m.width()})
		}
		if r < rows-1 {
			ADDQ(ld, to)
		}
	}
	ADDQ(U32(tile), dst)
	ADDQ(U32(tile), yt)
	SUBQ(U32(tile), cols)
	JMP(LabelRef(columns))
	Label(end)
	finish()
}

// points are the rows x, three to a pointer.
type points struct {
	pointers []reg64
	step     reg64 // the bytes of a row
}

func (m *machine) rowPointers(rows int) points {
	p := points{pointers: []reg64{pointer("x")}, step: m.bytes("d", false)}
	for len(p.pointers)*3 < rows {
		next := GP64()
		LEAQ(Mem{Base: p.pointers[len(p.pointers)-1], Index: p.step, Scale: 2}, next)
		ADDQ(p.step, next)
		p.pointers = append(p.pointers, next)
	}
	return p
}

// row is the current coordinate of row r.
func (p points) row(r int) Mem {
	if r%3 == 0 {
		return Mem{Base: p.pointers[r/3]}
	}
	return Mem{Base: p.pointers[r/3], Index: p.step, Scale: uint8(r % 3)}
}

// dimensions adds up the squares, or the products, over the dimensions. The pointers of x come back to where they were.
func (m *machine) dimensions(acc [][]vector, x points, d reg64, yt, stride reg64, differences bool) {
	loop, end := m.label("dimension"), m.label("summed")
	k, from := GP64(), GP64()
	MOVQ(yt, from)
	MOVQ(d, k)
	TESTQ(k, k)
	JZ(LabelRef(end))
	Label(loop)
	y := m.vecs(len(acc[0]))
	for i := range y {
		m.load(Mem{Base: from, Disp: i * m.width()}, y[i])
	}
	for r := range acc {
		xr := m.broadcast(x.row(r))
		for i := range y {
			if !differences {
				m.fma(y[i], xr, acc[r][i])
				continue
			}
			diff := m.vec()
			m.sub(xr, y[i], diff)
			m.fma(diff, diff, acc[r][i])
		}
	}
	ADDQ(stride, from)
	for _, p := range x.pointers {
		ADDQ(Imm(uint64(m.size())), p)
	}
	DECQ(k)
	JNZ(LabelRef(loop))
	for _, p := range x.pointers {
		SUBQ(x.step, p)
	}
	Label(end)
}

// finishCosts turns squares into costs: the root, or half.
func (m *machine) finishCosts(acc [][]vector) {
	root, half, end := GP8(), m.label("half"), m.label("costs")
	Load(Param("root"), root)
	TESTB(root, root)
	JZ(LabelRef(half))
	for r := range acc {
		for _, a := range acc[r] {
			m.sqrt(a, a)
		}
	}
	JMP(LabelRef(end))
	Label(half)
	h := m.constant("costsHalf", 0.5)
	for r := range acc {
		for _, a := range acc[r] {
			m.mul(h, a, a)
		}
	}
	Label(end)
}
