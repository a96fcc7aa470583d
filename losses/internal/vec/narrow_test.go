package vec

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"kantor/losses/internal/bigmath"
)

// narrowError is what ExpRowNarrow promises, relative.
const narrowError = 3e-7

func TestExpRowNarrow(t *testing.T) {
	each(t, func(t *testing.T) {
		ln2 := bigmath.Log(bigmath.New(2), math.Ln2)
		r := rand.New(rand.NewPCG(5, 9))
		worst, at := 0.0, 0.0
		for n := 0; n <= 1024; n += 32 {
			// Exponents of float32's range, as binary64 has them: half of them so near an integer that float32 does not tell.
			h := row[float64](n, func() float64 {
				v := float64(exponents[float32](r))
				if r.IntN(2) == 0 {
					v = max(-126, math.Round(v)+r.NormFloat64()*math.Exp2(-float64(r.IntN(45))))
				}
				return min(v, 127.99)
			})
			c, dst := row[float64](n, always(0)), row[float32](n, always(-1))
			ExpRowNarrow(dst.data, c.data, h.data, 1, 0)
			h.check(t)
			dst.check(t)
			for j, v := range h.data {
				exact := bigmath.Exp(new(big.Float).Mul(ln2, bigmath.New(v)))
				diff := new(big.Float).Sub(exact, bigmath.New(dst.at(0, j)))
				off, _ := diff.Quo(diff, exact).Float64()
				if off = math.Abs(off); !(off <= worst) {
					worst, at = off, v
				}
			}
		}
		t.Logf("at most %.3g", worst)
		if !(worst <= narrowError) {
			t.Errorf("2^%v is off by %v, want at most %v of it", at, worst, narrowError)
		}
	})
}

// An exponent that is small against what it is the difference of: in binary64 it has its digits, in binary32 it would have none.
func TestExpRowNarrowKeepsDigitsOfLargeExponents(t *testing.T) {
	each(t, func(t *testing.T) {
		noise := normal(6)
		for n := 0; n <= 1024; n += 32 {
			c := row[float64](n, func() float64 { return 1e4 * (1 + math.Abs(noise())) })
			h := row[float64](n, func() float64 { return 20 * noise() })
			dst := row[float32](n, always(-1))
			const scale = 300.0
			for j := range h.data {
				h.data[j] += c.data[j] * scale
			}
			ExpRowNarrow(dst.data, c.data, h.data, scale, -3)
			for j := range h.data {
				// A fused multiply-add may have its rounding of 1e7·2^-53 where the loop has two.
				want := math.Exp2(h.data[j] - c.data[j]*scale - 3)
				if !(math.Abs(dst.at(0, j)-want) <= (narrowError+1e-8)*want) {
					t.Fatalf("number %d: got %v, want %v", j, dst.data[j], want)
				}
			}
		}
	})
}

func TestExpRowNarrowExtremes(t *testing.T) {
	each(t, func(t *testing.T) {
		inf := math.Inf(1)
		for _, tt := range []struct{ exponent, low, high float64 }{
			{-inf, 0, 0}, {-100000, 0, 0}, {-1e300, 0, 0}, {-1023, 0, 0}, {-149, 0, 0}, {-127, 0, 0}, {-126.5, 0, 0}, {math.Nextafter(-126, -200), 0, 0},
			{-126, 0x1p-126, 0x1p-126}, {-125.5, math.Exp2(-125.5) * (1 - narrowError), math.Exp2(-125.5) * (1 + narrowError)},
			{0, 1, 1}, {1, 2, 2}, {-1, 0.5, 0.5}, {-1e-30, 1 - 0x1p-24, 1}, {1e-30, 1, 1}, {127, 0x1p127, 0x1p127},
			{127.99, math.Exp2(127.99) * (1 - narrowError), math.Exp2(127.99) * (1 + narrowError)},
			{128, inf, inf}, {1023, inf, inf}, {1e4, inf, inf}, {1e300, inf, inf}, {inf, inf, inf},
		} {
			for at := range 64 {
				h, c, dst := row[float64](64, always(-3)), row[float64](64, always(0)), row[float32](64, always(-1))
				h.data[at] = tt.exponent
				ExpRowNarrow(dst.data, c.data, h.data, 1, 0)
				for j := range 64 {
					low, high := 0.125, 0.125
					if j == at {
						low, high = tt.low, tt.high
					}
					if got := dst.at(0, j); !(got >= low && got <= high) {
						t.Fatalf("2^%v at %d: number %d is %v, want %v to %v", tt.exponent, at, j, got, low, high)
					}
				}
			}
		}
		for _, nan := range []float64{math.NaN(), math.Float64frombits(0xfff8000000000fff), math.Float64frombits(0x7ff8deadbeef0001)} {
			h, c, dst := row[float64](32, always(nan)), row[float64](32, always(0)), row[float32](32, always(-1))
			ExpRowNarrow(dst.data, c.data, h.data, 1, 0)
			for j := range 32 {
				if !isNaN(dst.data[j]) {
					t.Fatalf("NaN became %v", dst.data[j])
				}
			}
		}
	})
}
