package vec

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"kantor/losses/internal/bigmath"
)

// ulpsFrom is the distance of got from the exact number, in units of the last place of the exact one.
func ulpsFrom[T Float](got T, exact *big.Float) float64 {
	digits := 53
	if _, ok := any(got).(float32); ok {
		digits = 24
	}
	diff := new(big.Float).Sub(exact, bigmath.New(float64(got)))
	off, _ := diff.SetMantExp(diff, digits-exact.MantExp(nil)).Float64()
	return math.Abs(off)
}

// exponents spread over the whole range that gives normal numbers, with many near integers, where the reduction turns.
func exponents[T Float](r *rand.Rand) T {
	low, high := -1022.0, 1024.0
	if _, ok := any(T(0)).(float32); ok {
		low, high = -126, 128
	}
	for {
		t := low + (high-low)*r.Float64()
		switch r.IntN(4) {
		case 0:
			t = 2*r.Float64() - 1
		case 1:
			t = math.Round(t) + r.NormFloat64()*0x1p-30
		case 2:
			t = math.Ldexp(t, -r.IntN(60))
		}
		if v := T(t); float64(v) >= low && float64(v) < high {
			return v
		}
	}
}

func TestExpRowWithinTwoUlps(t *testing.T) {
	each(t, func(t *testing.T) { testExpRow[float64](t); testExpRow[float32](t) })
}

func testExpRow[T Float](t *testing.T) {
	ln2 := bigmath.Log(bigmath.New(2), math.Ln2)
	r := rand.New(rand.NewPCG(1, 9))
	worst, at := 0.0, T(0)
	for n := 0; n <= 1024; n += 32 {
		h := row[T](n, func() float64 { return float64(exponents[T](r)) })
		c, dst := row[T](n, always(0)), row[T](n, always(-1))
		ExpRow(dst.data, c.data, h.data, 1, 0)
		h.check(t)
		dst.check(t)
		for j, v := range h.data {
			exact := bigmath.Exp(new(big.Float).Mul(ln2, bigmath.New(float64(v))))
			if off := ulpsFrom(dst.data[j], exact); !(off <= worst) {
				worst, at = off, v
			}
		}
	}
	t.Logf("%T: at most %.3f ulps", T(0), worst)
	if !(worst <= 2) {
		t.Errorf("%T: 2^%v is off by %v ulps, want at most 2", T(0), at, worst)
	}
}

// Every float32 multiple of 2^-22 between 0 and 1, where all the error of the polynomial is.
func TestExpRowOfSinglesDensely(t *testing.T) {
	each(t, func(t *testing.T) {
		const n = 1 << 12
		h, c, dst := make([]float32, n), make([]float32, n), make([]float32, n)
		worst := 0.0
		for lo := 0; lo < 1<<22; lo += n {
			for j := range h {
				h[j] = float32(lo+j) * 0x1p-22
			}
			ExpRow(dst, c, h, 1, 0)
			for j, v := range h {
				worst = max(worst, math.Abs(float64(dst[j])-math.Exp2(float64(v)))*0x1p23)
			}
		}
		t.Logf("at most %.3f ulps", worst)
		if worst > 2 {
			t.Errorf("off by %v ulps, want at most 2", worst)
		}
	})
}

func TestExpRowComputesItsExponent(t *testing.T) {
	each(t, func(t *testing.T) { testExpRowExponent[float64](t); testExpRowExponent[float32](t) })
}

// Small integers, so that the exponents are exact.
func testExpRowExponent[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(2, 9))
	whole := func() float64 { return float64(r.IntN(21) - 10) }
	for n := 0; n <= 1024; n += 32 {
		c, h, dst := row[T](n, whole), row[T](n, whole), row[T](n, always(0))
		scale, shift := T(whole()/2), T(whole())
		ExpRow(dst.data, c.data, h.data, scale, shift)
		for j := range h.data {
			exponent := h.data[j] - c.data[j]*scale + shift
			if want := math.Exp2(float64(exponent)); math.Abs(dst.at(0, j)-want) > 2*epsilon[T]()*want {
				t.Fatalf("%T: 2^%v is %v", T(0), exponent, dst.data[j])
			}
		}
	}
}

func TestExpRowExtremes(t *testing.T) {
	each(t, func(t *testing.T) { testExpRowExtremes[float64](t); testExpRowExtremes[float32](t) })
}

func testExpRowExtremes[T Float](t *testing.T) {
	inf, top := math.Inf(1), 1024.0
	if epsilon[T]() == 0x1p-23 {
		top = 128
	}
	for _, tt := range []struct{ exponent, low, high float64 }{
		{-inf, 0, 0}, {-100000, 0, 0}, {-math.MaxFloat32, 0, 0}, {-top - 60, 0, 0},
		{-top + 1.5, 0, math.Exp2(-top+1.5) * (1 + 1e-6)}, // subnormal, or 0
		{-top + 2, math.Exp2(-top + 2), math.Exp2(-top + 2)},
		{0, 1, 1}, {1, 2, 2}, {-1, 0.5, 0.5}, {-1e-30, 1 - epsilon[T](), 1}, {1e-30, 1, 1},
		{top - 1, math.Exp2(top - 1), math.Exp2(top - 1)},
		{top - 0.01, math.Exp2(top-0.01) * (1 - 8e-6), math.Exp2(top-0.01) * (1 + 8e-6)},
		{top, inf, inf}, {1e4, inf, inf}, {inf, inf, inf},
	} {
		h, c, dst := row[T](64, always(tt.exponent)), row[T](64, always(0)), row[T](64, always(-1))
		ExpRow(dst.data, c.data, h.data, 1, 0)
		for j := range 64 {
			if got := dst.at(0, j); !(got >= tt.low && got <= tt.high) {
				t.Fatalf("%T: 2^%v is %v, want %v to %v", T(0), tt.exponent, got, tt.low, tt.high)
			}
		}
	}
	for _, nan := range []float64{math.NaN(), math.Float64frombits(0xfff8000000000fff), math.Float64frombits(0x7ff8deadbeef0001)} {
		h, c, dst := row[T](32, always(nan)), row[T](32, always(0)), row[T](32, always(-1))
		ExpRow(dst.data, c.data, h.data, 1, 0)
		for j := range 32 {
			if !isNaN(dst.data[j]) {
				t.Fatalf("%T: NaN became %v", T(0), dst.data[j])
			}
		}
	}
}

func TestLogRowWithinTwoUlps(t *testing.T) {
	each(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 9))
		worst, at := 0.0, 0.0
		for n := 0; n <= 1024; n += 32 {
			x := row[float64](n, func() float64 {
				switch r.IntN(3) {
				case 0:
					return 1 + r.NormFloat64()*math.Exp2(-float64(1+r.IntN(50)))*0.3
				case 1:
					return math.Ldexp(math.Sqrt2*(1+r.NormFloat64()*0x1p-20), r.IntN(5)-2)
				default:
					return math.Exp2(2098*r.Float64() - 1074) // subnormal ones too
				}
			})
			dst := row[float64](n, always(-1))
			LogRow(dst.data, x.data)
			x.check(t)
			dst.check(t)
			for j, v := range x.data {
				exact := bigmath.Log(bigmath.New(v), ln(v))
				if v == 1 && dst.data[j] == 0 {
					continue
				}
				if off := ulpsFrom(dst.data[j], exact); !(off <= worst) {
					worst, at = off, v
				}
			}
		}
		t.Logf("at most %.3f ulps", worst)
		if !(worst <= 2) {
			t.Errorf("log %v is off by %v ulps, want at most 2", at, worst)
		}
	})
}

func TestLogRowExtremes(t *testing.T) {
	each(t, func(t *testing.T) {
		inf, nan := math.Inf(1), math.NaN()
		for _, tt := range [][2]float64{{0, -inf}, {math.Copysign(0, -1), -inf}, {1, 0}, {inf, inf}, {-inf, nan}, {-1, nan}, {nan, nan},
			{5e-324, -744.4400719213812}, {math.MaxFloat64, 709.782712893384}} {
			x, want := tt[0], tt[1]
			v, dst := row[float64](32, always(x)), row[float64](32, always(-1))
			LogRow(dst.data, v.data)
			for j, got := range dst.data {
				if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Fatalf("log %v is %v at %d, want %v", x, got, j, want)
				}
			}
		}
	})
}
