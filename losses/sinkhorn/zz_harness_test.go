package sinkhorn_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kantor/losses"
	"kantor/losses/sinkhorn"
)

func zzread32(name string) []float32 {
	b, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

func zzread64(name string) []float64 {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	out := make([]float64, len(b)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}

func TestZZ(t *testing.T) {
	which := os.Getenv("ZZ")
	if which == "" {
		return
	}
	tols := []*float64{nil}
	if s := os.Getenv("ZZTOL"); s != "" {
		tols = nil
		for _, w := range strings.Split(s, ",") {
			v, _ := strconv.ParseFloat(w, 64)
			tols = append(tols, &v)
		}
	}
	reps := 7
	if s := os.Getenv("ZZREPS"); s != "" {
		reps, _ = strconv.Atoi(s)
	}
	without := os.Getenv("ZZINT") == ""
	if f := os.Getenv("ZZPROF"); f != "" {
		w, _ := os.Create(f)
		pprof.StartCPUProfile(w)
		defer pprof.StopCPUProfile()
	}
	files, _ := os.ReadDir("/tmp/ref")
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), ".x")
		if !ok || (which != "all" && !slices.Contains(strings.Split(which, ","), name)) {
			continue
		}
		parts := strings.Split(name, "_")
		n, _ := strconv.Atoi(parts[0])
		d, _ := strconv.Atoi(parts[1])
		blur, _ := strconv.ParseFloat(parts[2], 64)
		x, y, g := zzread32("/tmp/ref/"+name+".x"), zzread32("/tmp/ref/"+name+".y"), zzread64("/tmp/ref/"+name+".g")
		for _, tol := range tols {
			div := sinkhorn.Divergence{Source: "x", Target: "y", Blur: &blur, Tolerance: tol, WithoutInterval: without}
			in := losses.Inputs{"x": &losses.Measure{Points: losses.Array{Shape: []int{n, d}, F32: x}}, "y": &losses.Measure{Points: losses.Array{Shape: []int{n, d}, F32: y}}}
			o := losses.Objective{Terms: []losses.Term{{Name: "s", Weight: 1, Loss: div}}, Gradients: []string{"x.points"}}
			var times []float64
			var res *losses.Result
			for range reps {
				start := time.Now()
				e, err := o.Bind(in, 0)
				if err != nil {
					t.Fatal(err)
				}
				res, err = e.Evaluate(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				times = append(times, time.Since(start).Seconds()*1e3)
			}
			slices.Sort(times)
			off, norm := 0.0, 0.0
			for i, v := range res.Gradients[losses.Ref{Input: "x", Field: "points"}].F32 {
				if g == nil {
					break
				}
				off += (float64(v) - g[i]) * (float64(v) - g[i])
				norm += g[i] * g[i]
			}
			out := res.Terms[0].Outcomes[0]
			width := math.NaN()
			if out.Interval != nil {
				width = (out.Interval.Upper - out.Interval.Lower) / out.Value
			}
			tv := 0.0
			if tol != nil {
				tv = *tol
			}
			fmt.Printf("%-16s tol %-7.2g min %8.2f med %8.2f ms  grad %.4f %%  it %5d err %.2g conv %v value %.8g width %.2g\n", name, tv, times[0], times[len(times)/2],
				100*math.Sqrt(off/norm), out.Solve.Iterations, out.Solve.MarginalError, out.Solve.Converged, out.Value, width)
		}
	}
}
