"""kantor's losses as PyTorch criteria.

    import kantor.torch

    criterion = kantor.torch.Loss(kantor.Sinkhorn("codes", "prior", blur=0.5) + 4 * kantor.GaussianKl())
    loss = criterion(codes=z, prior=kantor.StandardNormal(), posterior=kantor.Gaussian(mean, log_variance), seed=step)
    loss.backward()

Tensors may be float16, bfloat16, float32 or float64, on any device and with any strides: they are copied to the server
and the gradients back. The two half formats are sent as float32, the value is float32, and a gradient is cast to its
tensor's format once, after it was scaled by what flows back: with torch.autocast and a GradScaler nothing else is
needed. The server computes the gradients of the inputs that need them, in the same call as the value. Tensors
[B, N, D] are B problems in one call: the value is the sum over them, and `report` has each.
"""

from kantor.torch._loss import Loss
from kantor.torch._samples_loss import AccuracyWarning, SamplesLoss

__all__ = ["AccuracyWarning", "Loss", "SamplesLoss"]
