package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Without a table: 2^u = 1 + u q(u) on [0,1] with the least relative error that a polynomial of the degree can have (Remez's exchange), coefficients then
// rounded: 2e-17 in float64 and 1.4e-8 in float32.
var (
	exp2Double = []float64{0x1.62e42fefa39f5p-1, 0x1.ebfbdff82c04bp-3, 0x1.c6b08d706583bp-5, 0x1.3b2ab6f73410ap-7, 0x1.5d87ff4d23480p-10,
		0x1.4308fa1dbcf54p-13, 0x1.ffcfc6ac11f65p-17, 0x1.628f356d91914p-20, 0x1.b85f43d5811f1p-24, 0x1.c2c4722811c47p-28, 0x1.5856788bc9009p-31}
	exp2Single = []float64{0x1.62e42cp-1, 0x1.ebfd58p-3, 0x1.c68912p-5, 0x1.3d0b92p-7, 0x1.46d64cp-10, 0x1.c54178p-13}
)

// With a table of 2^(j/16) in two registers: 2^u = 1 + u q(u) on [0,1/16), to 3e-17 by interpolation at Chebyshev's nodes. AVX-512 looks eight numbers
// up at once, which saves four multiplications of eleven; float32 needs only six without it.
var (
	exp2Near  = []float64{0x1.62e42fefa39ebp-1, 0x1.ebfbdff830eb4p-3, 0x1.c6b08d62f5e70p-5, 0x1.3b2ac53057331p-7, 0x1.5d7a510a65329p-10, 0x1.49182b11a8828p-13}
	exp2Table = []float64{1, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0, 0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0,
		0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0, 0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
		0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0}
)

// exp2 takes powers of 2.
type exp2 struct {
	*machine
	q         []Mem     // coefficients from the constant up
	registers []vector  // the same in registers, where there is room
	table     [2]vector // 2^(j/16)
	low, high Mem       // what exponents are clamped to
	clamps    [2]vector // the same in registers
	clampHigh bool
	direct    bool   // coefficients are read from memory where they are used
	magic     Mem    // what is added to bring the upper digits of an exponent to the low bits
	adder     vector // magic in a register
}

// newExp2 loads the constants. Where exponents are at most the kernel's slack, only the lower clamp is needed.
func (m *machine) newExp2(clampHigh bool) *exp2 {
	e := &exp2{machine: m, clampHigh: clampHigh}
	low, high := -1023.0, 1024.0
	switch {
	case m.wide && !m.single:
		e.coefficients("exp2q", exp2Near)
		e.table = [2]vector{m.vec(), m.vec()}
		e.load(m.data("exp2low8", exp2Table[:8]), e.table[0])
		e.load(m.data("exp2high8", exp2Table[8:]), e.table[1])
		e.adder = m.constant("exp2magic", 0x1.8p48)
		return e // VREDUCE and VSCALEF need no clamps
	case m.wide:
		e.coefficients("exp2c", append([]float64{1}, exp2Single...))
		for _, c := range e.q {
			r := m.vec()
			m.load(c, r)
			e.registers = append(e.registers, r)
		}
		return e
	case m.single:
		e.coefficients("exp2c", append([]float64{1}, exp2Single...))
		e.magic = m.splat("exp2magic", 0x1.8p23+127)
		low, high = -127, 128
	default:
		e.coefficients("exp2c", append([]float64{1}, exp2Double...))
		e.magic = m.splat("exp2magic", 0x1.8p52+1023)
	}
	e.low, e.high = m.splat("exp2low", low), m.splat("exp2high", high)
	e.clamps[0] = m.constant("exp2low", low)
	if clampHigh {
		e.clamps[1] = m.constant("exp2high", high)
	}
	return e
}

// inMemory leaves the registers of coefficients and clamps to others.
func (e *exp2) inMemory() *exp2 {
	e.registers, e.direct = nil, true
	return e
}

func (e *exp2) coefficients(name string, values []float64) {
	for i, c := range values {
		e.q = append(e.q, e.splat(fmt.Sprintf("%s%d", name, i), c))
	}
}

// apply sets t = 2^t, in all vectors side by side. 0 for -Inf, NaN for NaN. AVX2 gives 0 below the smallest normal number; AVX-512 rounds to a subnormal.
func (e *exp2) apply(t []vector) {
	switch {
	case e.wide && e.single:
		e.byReduction(t)
	case e.wide:
		e.byTable(t)
	default:
		e.byShift(t)
	}
}

// byReduction takes 2^floor(t) (1 + u q(u)) with u = t - floor(t), in instructions made for it: VREDUCE gives u, and 0 for an infinity; VSCALEF
// multiplies by 2^floor(t).
func (e *exp2) byReduction(t []vector) {
	u, p := e.vecs(len(t)), e.vecs(len(t))
	for i := range t {
		VREDUCEPS(Imm(1), t[i], u[i])
	}
	e.polynomial(u, p)
	for i := range t {
		VSCALEFPS(t[i], p[i], t[i])
	}
}

// byTable takes 2^floor(t) 2^(j/16) (1 + u q(u)) with j/16 the first four binary digits of t - floor(t) and u the rest. Adding 1.5·2^48, rounding down,
// leaves 16 floor(t) + j at the low end of the sum, and its last four bits are the place in the table.
func (e *exp2) byTable(t []vector) {
	u, power, q := e.vecs(len(t)), e.vecs(len(t)), e.vecs(len(t))
	for i := range t {
		VADDPD_RD_SAE(e.adder, t[i], power[i])
		VREDUCEPD(Imm(4<<4|1), t[i], u[i])
		VPERMI2PD(e.table[1], e.table[0], power[i])
	}
	e.polynomial(u, q)
	for i := range t {
		e.mul(power[i], u[i], u[i])
	}
	for i := range t {
		e.fma(q[i], u[i], power[i])
	}
	for i := range t {
		VSCALEFPD(t[i], power[i], t[i])
	}
}

// byShift is byReduction where there are no such instructions: adding 1.5·2^52 and the bias of the exponent to floor(t) leaves the bits of 2^floor(t) at
// the low end of the sum, from where they are shifted into place. A NaN stays one in t, which the product at the end passes on, whatever the bits are.
func (e *exp2) byShift(t []vector) {
	power, p := e.vecs(len(t)), e.vecs(len(t))
	for i := range t {
		e.clamp(t[i])
		if e.single {
			VROUNDPS(Imm(9), t[i], power[i])
		} else {
			VROUNDPD(Imm(9), t[i], power[i])
		}
		e.sub(power[i], t[i], t[i])
		e.add(e.magic, power[i], power[i])
		if e.single {
			VPSLLD(Imm(23), power[i], power[i])
		} else {
			VPSLLQ(Imm(52), power[i], power[i])
		}
	}
	e.polynomial(t, p)
	for i := range t {
		e.mul(power[i], p[i], t[i])
	}
}

// clamp keeps NaN.
func (e *exp2) clamp(t vector) {
	low, high := e.clamps[0], e.clamps[1]
	if e.direct {
		low = e.vec()
		e.load(e.low, low)
	}
	e.max(t, low, t)
	if !e.clampHigh {
		return
	}
	if e.direct {
		high = e.vec()
		e.load(e.high, high)
	}
	e.min(t, high, t)
}

// polynomial sets p = Σ q_i u^i by Horner's rule, in all vectors side by side.
func (e *exp2) polynomial(u, p []vector) {
	last := len(e.q) - 1
	for i := range u {
		e.load(e.q[last], p[i])
	}
	for c := last - 1; c >= 0; c-- {
		var coefficient Op = e.q[c]
		if e.registers != nil {
			coefficient = e.registers[c]
		} else if e.wide && len(u) > 1 && !e.direct {
			v := e.vec()
			e.load(e.q[c], v)
			coefficient = v
		}
		for i := range u {
			e.horner(coefficient, u[i], p[i])
		}
	}
}

// expRow writes dst = 2^(h - c scale + shift).
func (m *machine) expRow() {
	m.function("expRow", "func(dst, c, h []T, scale, shift T)", "is expRow for one instruction set.")
	dst, c, h, n := pointer("dst"), pointer("c"), pointer("h"), m.bytes("dst", true)
	scale, shift, e := m.scalar("scale"), m.scalar("shift"), m.newExp2(true)
	m.blocks(n, m.group(), func(at reg64, vectors int) {
		t := m.vecs(vectors)
		for i := range t {
			m.load(m.element(c, at, i), t[i])
			m.subMul(m.element(h, at, i), scale, t[i])
			m.add(shift, t[i], t[i])
		}
		e.apply(t)
		for i := range t {
			m.store(t[i], m.element(dst, at, i))
		}
	})
	finish()
}

// logRow writes dst = ln x by the method of FreeBSD's e_log.c (Sun Microsystems, 1993): x = 2^k (1+f) with √½ <= 1+f < √2, s = f/(2+f), and
// ln(1+f) = f - (f²/2 - s (f²/2 + R(s²))). Subnormal numbers are scaled up first.
func (m *machine) logRow() {
	m.function("logRow", "func(dst, x []T)", "is logRow for one instruction set.")
	dst, from, n := pointer("dst"), pointer("x"), m.bytes("dst", true)
	m.blocks(n, 1, func(at reg64, _ int) {
		x, y := m.vec(), m.vec()
		m.load(m.element(from, at, 0), x)
		m.logarithm(x, y)
		m.store(y, m.element(dst, at, 0))
	})
	finish()
}

func (m *machine) logarithm(x, y vector) {
	const root, exponentOfOne = 0x3fe6a09e667f3bcd, 0x3ff0000000000000
	v, k, low := m.vec(), m.vec(), m.zero()
	m.move(x, v)
	m.mul(m.splat("log2p54", 0x1p54), x, y)
	tiny := m.compare(less, m.splat("logNormal", 0x1p-1022), x)
	m.replace(tiny, y, v)
	m.replace(tiny, m.constant("log54", 54), low)

	// The upper bits of v + (1 - √½), as integers, are k + 1023, and the rest of them is the distance of 1+f from √½.
	VPADDQ(m.splatBits("logShift", exponentOfOne-root), v, v)
	VPSRLQ(Imm(52), v, k)
	m.or(m.splat("log2p52", 0x1p52), k, k)
	m.sub(m.splat("logBias", 0x1p52+1023), k, k)
	m.sub(low, k, k)
	m.and(m.splatBits("logMantissa", 1<<52-1), v, v)
	VPADDQ(m.splatBits("logRoot", root), v, v)

	f, s, z, r, half := m.vec(), m.vec(), m.vec(), m.vec(), m.vec()
	m.sub(m.splat("exp2c0", 1), v, f)
	m.add(m.splat("log2", 2), f, s)
	m.div(s, f, s)
	m.mul(s, s, z)
	series := []float64{6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
		1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01}
	last := len(series) - 1
	m.load(m.splat(fmt.Sprintf("logc%d", last), series[last]), r)
	for i := last - 1; i >= 0; i-- {
		m.horner(m.splat(fmt.Sprintf("logc%d", i), series[i]), z, r)
	}
	m.mul(m.splat("logHalf", 0.5), f, half)
	m.mul(f, half, half)
	m.horner(half, z, r) // f²/2 + R
	m.mul(s, r, r)
	m.fma(m.splat("logLow", 1.90821492927058770002e-10), k, r)
	m.sub(r, half, r)
	m.sub(f, r, r) // ((f²/2 - (s(f²/2+R) + k ln2 low)) - f
	m.mul(m.splat("logHigh", 6.93147180369123816490e-01), k, y)
	m.sub(r, y, y)

	zero := m.zero()
	m.replace(m.compare(equal, zero, x), m.constant("logMinusInf", math.Inf(-1)), y)
	m.replace(m.compare(less, zero, x), m.constant("logNaN", math.NaN()), y)
	finite := m.compare(less, m.splat("logInf", math.Inf(1)), x)
	kept := m.vec()
	m.move(x, kept) // +Inf and NaN
	m.replace(finite, y, kept)
	m.move(kept, y)
}
