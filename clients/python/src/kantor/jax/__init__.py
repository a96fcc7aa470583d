"""kantor's losses in jax: a function of arrays under jit, grad, vmap and scan.

    import kantor.jax

    loss = kantor.jax.Loss(kantor.Sinkhorn("codes", "prior", blur=0.5) + 4 * kantor.GaussianKl())

    @jax.jit
    def step(params, batch, i):
        mean, log_variance = encode(params, batch)
        prior, posterior = kantor.StandardNormal(), kantor.Gaussian(mean, log_variance)
        return loss(codes=mean, prior=prior, posterior=posterior, seed=i)

    value, gradient = jax.value_and_grad(step)(params, batch, 0)

The server computes the gradients of what jax differentiates in, in the same call as the value, and none where jax does
not differentiate. Arrays may be float16, bfloat16, float32 or float64, as far as jax has them: the two half formats are
sent as float32, the value is float32, and a gradient is cast to its array's format once. Importing this registers
kantor's inputs, such as Measure and Gaussian, as pytrees.
"""

from kantor.jax._loss import Loss
from kantor.jax._report import Report, TermReport

__all__ = ["Loss", "Report", "TermReport"]
