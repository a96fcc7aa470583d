package losses

import "kantor/losses/internal/vec"

// Kernel names the vector kernel that was chosen at start.
func Kernel() string { return vec.Name }
