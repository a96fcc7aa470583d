package bigmath

import (
	"math/big"
	"testing"
)

// e and ln 2 to 50 digits, from OEIS A001113 and A002162.
func TestExpAndLog(t *testing.T) {
	check := func(name string, got *big.Float, digits string) {
		t.Helper()
		want, _, err := big.ParseFloat(digits, 10, Precision, big.ToNearestEven)
		if err != nil {
			t.Fatal(err)
		}
		// 50 digits are 166 bits; the last of 160 may differ by the halvings' squarings.
		if diff := new(big.Float).Sub(got, want); diff.Sign() != 0 && diff.MantExp(nil)-want.MantExp(nil) > -145 {
			t.Errorf("%s: got %.50g, want %s", name, got, digits)
		}
	}
	check("e", Exp(New(1)), "2.71828182845904523536028747135266249775724709369995")
	check("ln 2", Log(New(2), 0.693), "0.69314718055994530941723212145817656807550013436026")
}
