package vec

import "math"

// Row is one row of a plan against some of its columns: the point x with weight A and potential F, and the columns' points, weights B and potentials G.
// The plan is P_j = A B_j exp((F + G_j - C(x,y_j))/ε); where a weight is 0 it is 0, whatever the potentials.
//
// Unlike the softmin these sums drop nothing and shift nothing: the rounding bounds of package entropic hold for exactly this order of operations.
type Row struct {
	Cost    Cost
	Epsilon float64
	X       []float64
	A, F    float64
	Y, B, G []float64
}

// RowSums are sums over the columns of a row.
type RowSums struct {
	Mass    float64 // Σ P_j
	Cost    float64 // Σ P_j C_j
	MaxCost float64 // max C_j
}

// Plan adds scale·P_j to columns and returns the sums of the scaled row. columns may be nil.
func (r Row) Plan(columns []float64, scale float64) RowSums {
	var s RowSums
	d := len(r.X)
	for j := range r.B {
		c := r.Cost.Of(r.X, r.Y[j*d:j*d+d])
		s.MaxCost = max(s.MaxCost, c)
		if r.A == 0 || r.B[j] == 0 {
			continue
		}
		p := scale * r.entry(j, c)
		s.Mass += p
		s.Cost += p * c
		if columns != nil {
			columns[j] += p
		}
	}
	return s
}

func (r Row) entry(j int, c float64) float64 {
	return r.A * r.B[j] * math.Exp((r.F+r.G[j]-c)/r.Epsilon)
}

// RoundedSums are sums over the columns of a row of a rounded plan G.
type RoundedSums struct {
	Mass    float64 // Σ G_j
	Cost    float64 // Σ G_j C_j
	Entropy float64 // Σ G_j log(G_j / (A B_j))
	Size    float64 // Σ G_j (|log(G_j / (A B_j))| + 2), for the rounding bound
}

// Rounded adds G_j = row·scale_j·P_j + rest·restOf_j to columns and returns the sums of the row. A G_j with a weight of 0 is left out.
func (r Row) Rounded(columns []float64, row float64, scale []float64, rest float64, restOf []float64) RoundedSums {
	var s RoundedSums
	d := len(r.X)
	for j := range r.B {
		if r.A == 0 || r.B[j] == 0 {
			continue
		}
		c := r.Cost.Of(r.X, r.Y[j*d:j*d+d])
		g := row*scale[j]*r.entry(j, c) + rest*restOf[j]
		if g == 0 {
			continue
		}
		s.Mass += g
		s.Cost += g * c
		columns[j] += g
		l := math.Log(g / (r.A * r.B[j]))
		s.Entropy += g * l
		s.Size += g * (math.Abs(l) + 2)
	}
	return s
}
