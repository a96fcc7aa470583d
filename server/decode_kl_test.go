package server

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/losses/kl"
)

// Every parameter of the family arrives.
func TestKlParameters(t *testing.T) {
	bits, capacity, reverse := proto.Float64(0.5), proto.Float64(2), kantorv1.Direction_DIRECTION_REVERSE
	free, limited := kl.Allowance{FreeBits: bits}, kl.Allowance{Capacity: capacity}
	for _, c := range []struct {
		term *kantorv1.Term
		want any
	}{
		{&kantorv1.Term{Loss: &kantorv1.Term_Kl{Kl: &kantorv1.GaussianKl{Posterior: "a", Prior: "b", Direction: reverse, FreeBits: bits}}},
			kl.Gaussian{Posterior: "a", Prior: "b", Direction: kl.Reverse, Allowance: free}},
		{&kantorv1.Term{Loss: &kantorv1.Term_CategoricalKl{CategoricalKl: &kantorv1.CategoricalKl{Posterior: "a", Prior: "b", Direction: reverse, Capacity: capacity}}},
			kl.Categorical{Posterior: "a", Prior: "b", Direction: kl.Reverse, Allowance: limited}},
		{&kantorv1.Term{Loss: &kantorv1.Term_BernoulliKl{BernoulliKl: &kantorv1.BernoulliKl{Direction: kantorv1.Direction_DIRECTION_SYMMETRIC, FreeBits: bits}}},
			kl.Bernoulli{Posterior: "posterior", Direction: kl.Symmetric, Allowance: free}},
		{&kantorv1.Term{Loss: &kantorv1.Term_VonMisesFisherKl{VonMisesFisherKl: &kantorv1.VonMisesFisherKl{Capacity: capacity}}},
			kl.VonMisesFisher{Posterior: "posterior", Allowance: limited}},
		{&kantorv1.Term{Loss: &kantorv1.Term_DiscreteKl{DiscreteKl: &kantorv1.DiscreteKl{Target: "b", Direction: reverse}}},
			kl.Discrete{Source: "source", Target: "b", Direction: kl.Reverse}},
		{&kantorv1.Term{Loss: &kantorv1.Term_JensenShannon{JensenShannon: &kantorv1.JensenShannon{Source: "a"}}}, kl.JensenShannon{Source: "a", Target: "target"}},
	} {
		if got, err := decodeLoss("", c.term); err != nil || fmt.Sprintf("%T%+v", got, got) != fmt.Sprintf("%T%+v", c.want, c.want) {
			t.Errorf("got %T%+v, %v, want %+v", got, got, err, c.want)
		}
	}
}

// A schedule may set free bits or a capacity that the objective has not, and what is set together is refused of that batch alone.
func TestStreamsOverrideFreeBitsAndCapacity(t *testing.T) {
	c := start(t, Config{}).opened(t, klOpen())
	send := func(id uint64, numbers map[string]float64) {
		c.batch(&kantorv1.Batch{Id: id, Inputs: klInputs(2), Overrides: numbers}) // KL = 2
	}
	send(1, map[string]float64{"kl.capacity": 5})
	send(2, map[string]float64{"kl.free_bits": 2.5})
	send(3, map[string]float64{"kl.capacity": 1, "kl.free_bits": 1})
	send(4, map[string]float64{"kl.capacity": 0.5, "kl.weight": 10})
	send(5, nil)
	for id, want := range []float64{3, 2.5, math.NaN(), 15, 2} {
		if math.IsNaN(want) {
			if err := c.failure(uint64(id) + 1); !strings.Contains(err.Error(), "together with free_bits") {
				t.Errorf("batch %d: got %v, want that both are too much", id+1, err)
			}
			continue
		}
		if got := c.result(uint64(id) + 1); got != want {
			t.Errorf("batch %d: got %v, want %v", id+1, got, want)
		}
	}
	c.end()
}
