"""Geometric losses with bounds and gradients, computed by a kantor server.

    import numpy as np
    import kantor

    x, y = np.random.randn(256, 2), np.random.randn(256, 2) + 1
    with kantor.Client() as client:  # finds a server, or starts one
        result = client.evaluate(kantor.Sinkhorn(blur=0.5), source=x, target=y, gradients=["source.points"])
    result.value, result.terms["sinkhorn"].interval, result.gradients["source.points"]

`kantor.torch` and `kantor.jax`, imported by themselves, make the same call differentiable, and `kantor.schedules` has
numbers for it that change from step to step. `kantor.aio` has the same client for asyncio. `kantor.explain` looks at
two clouds and advises, `kantor.plot` draws. Importing `kantor` imports nothing else until a name is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kantor import aio as aio
    from kantor import plot as plot
    from kantor import schedules as schedules
    from kantor._advice import Advice, Finding
    from kantor._client import Client
    from kantor._diagnostics import (
        ActiveUnits,
        Diagnostic,
        EffectiveScale,
        Entropy,
        ExpectedShrink,
        NearestNeighbourKl,
        PermutationTest,
    )
    from kantor._divergences import (
        BernoulliKl,
        CategoricalKl,
        Dip,
        DiscreteKl,
        GaussianKl,
        JensenShannon,
        Stress,
        TotalCorrelation,
        VonMisesFisherKl,
    )
    from kantor._errors import (
        CallError,
        CancelledError,
        ClosedError,
        DeadlineError,
        InternalError,
        InvalidArgumentError,
        KantorError,
        OverloadedError,
        ServerNotFoundError,
        ServerStartError,
        TooLargeError,
        UnauthenticatedError,
        UnavailableError,
        UnsupportedError,
    )
    from kantor._explain import explain
    from kantor._inputs import (
        Bernoulli,
        Categorical,
        ConeCriticState,
        Gaussian,
        GaussianMixture,
        Measure,
        Prior,
        StandardNormal,
        UniformCube,
        UniformSphere,
        VonMisesFisher,
    )
    from kantor._objective import Objective, Term
    from kantor._results import (
        Build,
        DiagnosticResult,
        Evaluation,
        Interval,
        Limits,
        Outcome,
        Plan,
        Potentials,
        ServerInfo,
        Solve,
        TermResult,
        TermWarning,
        Timing,
    )
    from kantor._stream import Pending, Stream
    from kantor._terms import (
        Bures,
        ConeCritic,
        Kantorovich,
        Mmd,
        Sinkhorn,
        Sliced,
        Stein,
        Transport,
    )
    from kantor._tls import TLS

__all__ = [
    "TLS",
    "ActiveUnits",
    "Advice",
    "Bernoulli",
    "BernoulliKl",
    "Build",
    "Bures",
    "CallError",
    "CancelledError",
    "Categorical",
    "CategoricalKl",
    "Client",
    "ClosedError",
    "ConeCritic",
    "ConeCriticState",
    "DeadlineError",
    "Diagnostic",
    "DiagnosticResult",
    "Dip",
    "DiscreteKl",
    "EffectiveScale",
    "Entropy",
    "Evaluation",
    "ExpectedShrink",
    "Finding",
    "Gaussian",
    "GaussianKl",
    "GaussianMixture",
    "InternalError",
    "Interval",
    "InvalidArgumentError",
    "JensenShannon",
    "KantorError",
    "Kantorovich",
    "Limits",
    "Measure",
    "Mmd",
    "NearestNeighbourKl",
    "Objective",
    "Outcome",
    "OverloadedError",
    "Pending",
    "PermutationTest",
    "Plan",
    "Potentials",
    "Prior",
    "ServerInfo",
    "ServerNotFoundError",
    "ServerStartError",
    "Sinkhorn",
    "Sliced",
    "Solve",
    "StandardNormal",
    "Stein",
    "Stream",
    "Stress",
    "Term",
    "TermResult",
    "TermWarning",
    "Timing",
    "TooLargeError",
    "TotalCorrelation",
    "Transport",
    "UnauthenticatedError",
    "UnavailableError",
    "UniformCube",
    "UniformSphere",
    "UnsupportedError",
    "VonMisesFisher",
    "VonMisesFisherKl",
    "explain",
]

# In the order of their cost: a name is looked for in modules that need nothing before one that needs grpc.
_MODULES = (
    *("_errors", "_inputs", "_objective", "_terms", "_divergences", "_diagnostics", "_results", "_advice", "_tls"),
    *("_stream", "_client", "_explain"),
)

if not TYPE_CHECKING:  # a type checker that saw it would accept any name

    def __getattr__(name):
        if name in ("aio", "plot", "schedules"):
            return import_module(f"kantor.{name}")
        if name in __all__:
            for module in _MODULES:
                value = vars(import_module(f"kantor.{module}")).get(name)
                if value is not None:
                    globals()[name] = value
                    return value
        raise AttributeError(f"module 'kantor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
