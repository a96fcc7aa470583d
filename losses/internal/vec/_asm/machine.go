package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pad is vec.Pad: every run of columns is a multiple of it.
const pad = 32

// machine is one instruction set and one number format. Its methods are the instructions that kernels are written in.
type machine struct {
	suffix string // ends the names of its functions
	wide   bool   // AVX-512 (F, DQ, VL); otherwise AVX2 with FMA
	single bool   // float32; otherwise float64

	labels    int
	constants map[string]Mem
}

// vector is a register of the machine's width.
type vector = reg.VecVirtual

// size is the bytes of a number.
func (m *machine) size() int {
	if m.single {
		return 4
	}
	return 8
}

// width is the bytes of a vector.
func (m *machine) width() int {
	if m.wide {
		return 64
	}
	return 32
}

// padVectors is how many vectors make up vec.Pad numbers.
func (m *machine) padVectors() int { return pad * m.size() / m.width() }

// group is how many exponentials are taken side by side, to hide the latency of their chains as far as the registers reach.
func (m *machine) group() int {
	if m.wide {
		return 4
	}
	return 2
}

func (m *machine) vec() vector {
	if m.wide {
		return ZMM()
	}
	return YMM()
}

func (m *machine) vecs(n int) []vector {
	v := make([]vector, n)
	for i := range v {
		v[i] = m.vec()
	}
	return v
}

// function starts a function. In the signature T stands for the number format.
func (m *machine) function(name, signature, doc string) {
	format := "float64"
	if m.single {
		format = "float32"
	}
	TEXT(name+m.suffix, attr.NOSPLIT, strings.ReplaceAll(signature, "T", format))
	Pragma("noescape")
	Doc(name + m.suffix + " " + doc)
}

// label returns a name that is new.
func (m *machine) label(name string) string {
	m.labels++
	return fmt.Sprintf("%s%d", name, m.labels)
}

func pointer(name string) reg.GPVirtual {
	return Load(Param(name).Base(), GP64()).(reg.GPVirtual)
}

func integer(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// bytes is an integer parameter, or the length of a slice, in bytes.
func (m *machine) bytes(name string, slice bool) reg.GPVirtual {
	r := GP64()
	if slice {
		Load(Param(name).Len(), r)
	} else {
		Load(Param(name), r)
	}
	SHLQ(Imm(map[bool]uint64{true: 2, false: 3}[m.single]), r)
	return r
}

// scalar is a parameter in every lane.
func (m *machine) scalar(name string) vector {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return m.broadcast(b.Addr)
}

// splat is a constant in every lane, in memory.
func (m *machine) splat(name string, v float64) Mem {
	if m.single {
		return m.splatBits(name, uint64(math.Float32bits(float32(v))))
	}
	return m.splatBits(name, math.Float64bits(v))
}

func (m *machine) splatBits(name string, bits uint64) Mem {
	if m.constants == nil {
		m.constants = map[string]Mem{}
	}
	if _, ok := m.constants[name]; !ok {
		c := GLOBL(name+m.suffix, attr.RODATA|attr.NOPTR)
		for at := 0; at < m.width(); at += m.size() {
			if m.single {
				DATA(at, U32(bits))
			} else {
				DATA(at, U64(bits))
			}
		}
		m.constants[name] = c
	}
	return m.constants[name]
}

// data is a vector of doubles in memory.
func (m *machine) data(name string, values []float64) Mem {
	if _, ok := m.constants[name]; !ok {
		m.constants[name] = GLOBL(name+m.suffix, attr.RODATA|attr.NOPTR)
		for i, v := range values {
			DATA(8*i, U64(math.Float64bits(v)))
		}
	}
	return m.constants[name]
}

// constant is a constant in a register.
func (m *machine) constant(name string, v float64) vector {
	r := m.vec()
	m.load(m.splat(name, v), r)
	return r
}

// blocks runs body over n bytes of numbers, `most` vectors at a time. What is then left of a multiple of vec.Pad takes one run more. The body gets the
// offset in bytes.
func (m *machine) blocks(n reg.GPVirtual, most int, body func(at reg.GPVirtual, vectors int)) {
	at, next := GP64(), GP64()
	loop, rest, end := m.label("block"), m.label("rest"), m.label("end")
	XORQ(at, at)
	Label(loop)
	LEAQ(Mem{Base: at, Disp: most * m.width()}, next)
	CMPQ(next, n)
	JGT(LabelRef(rest))
	body(at, most)
	ADDQ(U32(most*m.width()), at)
	JMP(LabelRef(loop))
	Label(rest)
	if left := m.padVectors() % most; left > 0 {
		CMPQ(at, n)
		JGE(LabelRef(end))
		body(at, left)
		Label(end)
	}
}

// element is the i-th vector at base + at.
func (m *machine) element(base reg.Register, at reg.Register, i int) Mem {
	return Mem{Base: base, Index: at, Scale: 1, Disp: i * m.width()}
}

// either is the single or the double form of an instruction.
func (m *machine) either(single, double func(...Op)) func(...Op) {
	if m.single {
		return single
	}
	return double
}

// The order of operands is the assembler's: sources from last to first, then the destination.

func (m *machine) load(from Op, to vector)  { m.either(VMOVUPS, VMOVUPD)(from, to) }
func (m *machine) store(from vector, to Op) { m.either(VMOVUPS, VMOVUPD)(from, to) }
func (m *machine) move(from, to vector)     { m.either(VMOVAPS, VMOVAPD)(from, to) }
func (m *machine) add(b Op, a Op, to Op)    { m.either(VADDPS, VADDPD)(b, a, to) }
func (m *machine) sub(b Op, a Op, to Op)    { m.either(VSUBPS, VSUBPD)(b, a, to) } // to = a - b
func (m *machine) mul(b Op, a Op, to Op)    { m.either(VMULPS, VMULPD)(b, a, to) }
func (m *machine) div(b Op, a Op, to Op)    { m.either(VDIVPS, VDIVPD)(b, a, to) } // to = a / b
func (m *machine) sqrt(a Op, to Op)         { m.either(VSQRTPS, VSQRTPD)(a, to) }
func (m *machine) and(b Op, a Op, to Op)    { m.either(VANDPS, VANDPD)(b, a, to) }
func (m *machine) or(b Op, a Op, to Op)     { m.either(VORPS, VORPD)(b, a, to) }
func (m *machine) fma(b Op, a Op, to Op)    { m.either(VFMADD231PS, VFMADD231PD)(b, a, to) }   // to += a b
func (m *machine) horner(c Op, x Op, to Op) { m.either(VFMADD213PS, VFMADD213PD)(c, x, to) }   // to = to x + c
func (m *machine) subMul(c Op, x Op, to Op) { m.either(VFNMADD213PS, VFNMADD213PD)(c, x, to) } // to = c - to x

// max is the larger of a and b, and b where one of them is NaN.
func (m *machine) max(b Op, a Op, to Op) { m.either(VMAXPS, VMAXPD)(b, a, to) }

// min is the smaller of a and b, and b where one of them is NaN.
func (m *machine) min(b Op, a Op, to Op) { m.either(VMINPS, VMINPD)(b, a, to) }

func (m *machine) broadcast(from Op) vector {
	v := m.vec()
	m.either(VBROADCASTSS, VBROADCASTSD)(from, v)
	return v
}

func (m *machine) zero() vector {
	v := m.vec()
	m.clear(v)
	return v
}

func (m *machine) clear(v vector) { m.either(VXORPS, VXORPD)(v, v, v) }

// Predicates of comparisons: false where an operand is NaN.
const (
	equal   = 0x00
	less    = 0x11
	greater = 0x1e
)

// compare is the mask of the lanes where a and b are in the relation. A mask is an opmask register or, with AVX2, a vector.
func (m *machine) compare(relation uint64, b Op, a vector) Op {
	var mask Op = m.vec()
	if m.wide {
		mask = K()
	}
	m.either(VCMPPS, VCMPPD)(Imm(relation), b, a, mask)
	return mask
}

// jumpIfNone jumps where no lane of the mask is set.
func (m *machine) jumpIfNone(mask Op, to string) {
	if m.wide {
		KORTESTW(mask, mask)
	} else {
		r := GP32()
		if m.single {
			VMOVMSKPS(mask, r)
		} else {
			VMOVMSKPD(mask, r)
		}
		TESTL(r, r)
	}
	JZ(LabelRef(to))
}

// replace sets to = from in the lanes of the mask.
func (m *machine) replace(mask Op, from Op, to vector) {
	switch {
	case m.wide:
		m.either(VBLENDMPS, VBLENDMPD)(from, to, mask, to)
	case m.single:
		VBLENDVPS(mask, from, to, to)
	default:
		VBLENDVPD(mask, from, to, to)
	}
}

// fold combines the lanes, the upper half into the lower until one is left.
func (m *machine) fold(op func(b, a, to Op), v vector) vector {
	if m.wide {
		y := YMM()
		VEXTRACTF64X4(Imm(1), v, y)
		op(y, v.AsY(), y)
		v = y
	}
	x := XMM()
	VEXTRACTF128(Imm(1), v.AsY(), x)
	op(x, v.AsX(), x)
	if !m.single {
		y := XMM()
		VPERMILPD(Imm(1), x, y)
		op(y, x, y)
		return y
	}
	for _, shuffle := range []uint64{0x4e, 0xb1} {
		y := XMM()
		VPERMILPS(Imm(shuffle), x, y)
		op(y, x, y)
		x = y
	}
	return x
}

// tree combines vectors pairwise, into the first.
func tree(op func(b, a, to Op), v []vector) vector {
	for n := len(v); n > 1; n = (n + 1) / 2 {
		for i := 0; i < n/2; i++ {
			op(v[n-1-i], v[i], v[i])
		}
	}
	return v[0]
}

// finish returns the scalar results, after the upper halves are cleared for the code that follows.
func finish(results ...vector) {
	VZEROUPPER()
	for i, r := range results {
		Store(r, ReturnIndex(i))
	}
	RET()
}
