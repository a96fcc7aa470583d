"""Converged gradients in float64, written for being plainly right and independent of every library measured.

`newton` goes where alternating iterations would take hours: damped Newton steps on the concave semi-dual

    L(g) = <a, f(g)> + <b, g>,  f_i(g) = -ε log Σ_j b_j exp((g_j - C_ij)/ε),
    ∇L = b - q,  -ε ∇²L = diag(q) - Pᵀ diag(1/a) P,

with P the plan that f(g) and g make, whose row sums are a by construction and whose column sums are q. `plain` is the
textbook's iteration, to check `newton` where both can be had. A step of `newton` solves its linear system by
elimination, or, where that would take minutes, by conjugate gradients, which need the plan alone. A measure against
itself has one potential, whose `averaged` iteration at the least halves its error each time near the solution: the
eigenvalues of N P, for clouds whose kernel is positive definite, lie between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.problems import Floats

Float64s = npt.NDArray[np.float64]
Solver = Callable[[Float64s, float], tuple[Float64s, float]]

_TOLERANCE = 1e-11  # L1 marginal error
_STEPS = 400

# Columns above which a step is found by conjugate gradients, to this part of the right side and with so many products.
_ELIMINATED = 2048
_PART = 1e-2
_PRODUCTS = 500


def gradient(x: Floats, y: Floats, epsilon: float, solver: Solver) -> tuple[Float64s, float]:
    """The gradient of the divergence in x, and the largest L1 marginal error of the two plans in it."""
    source, target = x.astype(np.float64), y.astype(np.float64)
    cross, cross_error = solver(costs(source, target), epsilon)
    own, own_error = averaged(costs(source, source), epsilon)
    # Σ_j P_ij (x_i - y_j) - Σ_j Q_ij (x_i - x_j), both plans with the marginal 1/N.
    towards = source * cross.sum(1, keepdims=True) - cross @ target
    away = source * own.sum(1, keepdims=True) - own @ source
    return towards - away, max(cross_error, own_error)


def costs(x: Float64s, y: Float64s) -> Float64s:
    """|x_i - y_j|²/2."""
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T
    out: Float64s = np.maximum(squares, 0) / 2
    return out


def newton(cost: Float64s, epsilon: float) -> tuple[Float64s, float]:
    """The optimal plan between uniform weights, and its L1 marginal error."""
    g = np.zeros(cost.shape[1])
    temperature = float(cost.mean())
    while temperature > epsilon:
        for _ in range(5):
            g = _half_step(cost, g, temperature)
        g = _climb(cost, g, temperature, 1e-2)[0]
        temperature /= 2
    for _ in range(20):
        g = _half_step(cost, g, epsilon)
    _, plan, error = _climb(cost, g, epsilon, _TOLERANCE)
    return plan, error


def _climb(cost: Float64s, g: Float64s, epsilon: float, tolerance: float) -> tuple[Float64s, Float64s, float]:
    """Newton steps, damped as Levenberg and Marquardt do, from g: a better g, its plan and its L1 marginal error."""
    value, plan, error = _semi_dual(cost, g, epsilon)
    damping = 1e-2
    for _ in range(_STEPS):
        if error <= tolerance or damping > 1e6:
            break
        step = _direction(plan, epsilon, damping)
        after, after_plan, after_error = _semi_dual(cost, g + step, epsilon)
        # Near the optimum the value no longer tells: there the marginal error decides.
        if after > value + 1e-13 * abs(value) or after_error < error:
            g, value, plan, error, damping = g + step, after, after_plan, after_error, max(damping / 5, 1e-13)
        else:
            damping *= 4
    return g, plan, error


def plain(cost: Float64s, epsilon: float, iterations: int = 3000) -> tuple[Float64s, float]:
    """The same by alternating softmins in the log domain, without annealing or relaxation."""
    g = np.zeros(cost.shape[1])
    for count in range(iterations):
        if count % 50 == 0 and _semi_dual(cost, g, epsilon)[2] <= _TOLERANCE:
            break
        g = _half_step(cost, g, epsilon)
    _, plan, error = _semi_dual(cost, g, epsilon)
    return plan, error


def averaged(cost: Float64s, epsilon: float, iterations: int = 300) -> tuple[Float64s, float]:
    """The optimal plan of uniform weights to themselves, symmetric, and its L1 marginal error."""
    f = np.zeros(len(cost))
    for _ in range(iterations):
        softmin = _softmin(cost - f, epsilon)
        error = float(np.abs(np.expm1((f - softmin) / epsilon)).mean())
        if error <= _TOLERANCE:
            break
        f = (f + softmin) / 2
    plan: Float64s = np.exp((f[:, None] + f - cost) / epsilon) / len(cost) ** 2
    return plan, float(np.abs(plan.sum(1) - 1 / len(cost)).sum())


def _direction(plan: Float64s, epsilon: float, damping: float) -> Float64s:
    """Solves (diag(q) + damping - Pᵀ diag(1/a) P) δ = ε (b - q); what is singular without damping is a constant."""
    n, m = plan.shape
    q = plan.sum(0)
    diagonal = q + damping * np.maximum(q, 1 / m)
    right = epsilon * (1 / m - q)
    step: Float64s
    if m > _ELIMINATED:
        step = _conjugate(lambda v: diagonal * v - n * (plan.T @ (plan @ v)) + v.mean() / m, right, diagonal)
    else:
        hessian = -n * plan.T @ plan
        hessian[np.diag_indices(m)] += diagonal
        hessian += 1 / m**2  # the constant's direction
        step = np.linalg.solve(hessian, right)
    step -= step.mean()
    return step


def _conjugate(apply: Callable[[Float64s], Float64s], right: Float64s, diagonal: Float64s) -> Float64s:
    """Conjugate gradients, preconditioned by the diagonal (Hestenes and Stiefel 1952)."""
    x, residual = np.zeros_like(right), right.copy()
    direction = residual / diagonal
    size = float(residual @ direction)
    end = _PART**2 * size
    for _ in range(_PRODUCTS):
        if size <= end:
            break
        product = apply(direction)
        length = size / float(direction @ product)
        x += length * direction
        residual -= length * product
        scaled = residual / diagonal
        size, before = float(residual @ scaled), size
        direction = scaled + size / before * direction
    return x


def _semi_dual(cost: Float64s, g: Float64s, epsilon: float) -> tuple[float, Float64s, float]:
    """L(g), its plan and the plan's L1 marginal error, which is all in the columns."""
    f = _softmin(cost - g, epsilon)
    n, m = cost.shape
    plan = np.exp((f[:, None] + g - cost) / epsilon) / (n * m)
    return float(f.mean() + g.mean()), plan, float(np.abs(plan.sum(0) - 1 / m).sum())


def _half_step(cost: Float64s, g: Float64s, epsilon: float) -> Float64s:
    f = _softmin(cost - g, epsilon)
    return _softmin((cost - f[:, None]).T, epsilon)


def _softmin(rows: Float64s, epsilon: float) -> Float64s:
    """-ε log of the mean of exp(-row/ε)."""
    least = rows.min(1)
    out: Float64s = least - epsilon * np.log(np.exp((least[:, None] - rows) / epsilon).mean(1))
    return out
