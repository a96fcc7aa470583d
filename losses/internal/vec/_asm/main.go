// Command asm writes the vector kernels of package vec: one generator for AVX2 and AVX-512, float32 and float64. See the go:generate line of vec.
//
// What each kernel computes is said by the plain Go loop beside its entry in package vec; here stands only how. avo is imported by dot, so that
// instructions read as in the manual.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64,!purego")
	for _, m := range []*machine{
		{suffix: "F64AVX2"},
		{suffix: "F64AVX512", wide: true},
		{suffix: "F32AVX2", single: true},
		{suffix: "F32AVX512", single: true, wide: true},
	} {
		m.costs(m.blockRows(), true)
		m.costs(1, true)
		m.costs(m.blockRows(), false)
		m.costs(1, false)
		m.logSumRow()
		m.logSumColumns()
		m.expRow()
		if m.single {
			m.expRowNarrow()
		}
		if !m.single {
			m.logRow()
		}
		m.dot(m.linearRows())
		m.dot(1)
		m.addRows(m.linearRows())
		m.addScaled()
		m.squareRow()
		m.poles()
		m.images()
		m.logSumProducts()
		m.sweepProducts()
		m.sum()
		m.maxOf()
		m.peak()
	}
	Generate()
}
