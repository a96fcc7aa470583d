//go:build amd64 && !purego

package vec

import "golang.org/x/sys/cpu"

// implementations are what this CPU can run, the fastest first.
func implementations() []implementation {
	var list []implementation
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
		list = append(list, avx512())
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		list = append(list, avx2())
	}
	return append(list, generic())
}

func avx512() implementation {
	return implementation{
		name: "avx512",
		f64: kernels[float64]{
			costRows: 4, costsBlock: costsBlockF64AVX512, costs: costsF64AVX512,
			productsBlock: productsBlockF64AVX512, products: productsF64AVX512,
			logSumRow: logSumRowF64AVX512, logSumColumns: logSumColumnsF64AVX512,
			expRow: expRowF64AVX512, logRow: logRowF64AVX512,
			linearRows: 4, dotBlock: dotBlockF64AVX512, dot: dotF64AVX512,
			addRows: addRowsF64AVX512, addScaled: addScaledF64AVX512, squareRow: squareRowF64AVX512, poles: polesF64AVX512,
			images:    imagesF64AVX512,
			fusedRows: 6, logSumProducts: logSumProductsF64AVX512, sweepProducts: sweepProductsF64AVX512,
			sum: sumF64AVX512, maxOf: maxOfF64AVX512,
			peakOperations: 192, peak: peakF64AVX512,
		},
		f32: kernels[float32]{
			costRows: 6, costsBlock: costsBlockF32AVX512, costs: costsF32AVX512,
			productsBlock: productsBlockF32AVX512, products: productsF32AVX512,
			logSumRow: logSumRowF32AVX512, logSumColumns: logSumColumnsF32AVX512,
			expRow: expRowF32AVX512, expRowNarrow: expRowNarrowF32AVX512,
			linearRows: 4, dotBlock: dotBlockF32AVX512, dot: dotF32AVX512,
			addRows: addRowsF32AVX512, addScaled: addScaledF32AVX512, squareRow: squareRowF32AVX512, poles: polesF32AVX512,
			images:    imagesF32AVX512,
			fusedRows: 6, logSumProducts: logSumProductsF32AVX512, sweepProducts: sweepProductsF32AVX512,
			sum: sumF32AVX512, maxOf: maxOfF32AVX512,
			peakOperations: 384, peak: peakF32AVX512,
		},
	}
}

func avx2() implementation {
	return implementation{
		name: "avx2",
		f64: kernels[float64]{
			costRows: 2, costsBlock: costsBlockF64AVX2, costs: costsF64AVX2,
			productsBlock: productsBlockF64AVX2, products: productsF64AVX2,
			logSumRow: logSumRowF64AVX2, logSumColumns: logSumColumnsF64AVX2,
			expRow: expRowF64AVX2, logRow: logRowF64AVX2,
			linearRows: 2, dotBlock: dotBlockF64AVX2, dot: dotF64AVX2,
			addRows: addRowsF64AVX2, addScaled: addScaledF64AVX2, squareRow: squareRowF64AVX2, poles: polesF64AVX2,
			images:    imagesF64AVX2,
			fusedRows: 3, logSumProducts: logSumProductsF64AVX2, sweepProducts: sweepProductsF64AVX2,
			sum: sumF64AVX2, maxOf: maxOfF64AVX2,
			peakOperations: 96, peak: peakF64AVX2,
		},
		f32: kernels[float32]{
			costRows: 2, costsBlock: costsBlockF32AVX2, costs: costsF32AVX2,
			productsBlock: productsBlockF32AVX2, products: productsF32AVX2,
			logSumRow: logSumRowF32AVX2, logSumColumns: logSumColumnsF32AVX2,
			expRow: expRowF32AVX2, expRowNarrow: expRowNarrowF32AVX2,
			linearRows: 2, dotBlock: dotBlockF32AVX2, dot: dotF32AVX2,
			addRows: addRowsF32AVX2, addScaled: addScaledF32AVX2, squareRow: squareRowF32AVX2, poles: polesF32AVX2,
			images:    imagesF32AVX2,
			fusedRows: 3, logSumProducts: logSumProductsF32AVX2, sweepProducts: sweepProductsF32AVX2,
			sum: sumF32AVX2, maxOf: maxOfF32AVX2,
			peakOperations: 192, peak: peakF32AVX2,
		},
	}
}
