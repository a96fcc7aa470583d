"""Diagnostics, live against SciPy, scikit-learn and NumPy; and what a call of them takes and gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma, gammaln
from scipy.stats import energy_distance, multivariate_normal
from sklearn.neighbors import NearestNeighbors

import kantor
from conftest import Floats


def clouds(n: int, m: int, d: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(n + d)
    return rng.standard_normal((n, d)) + 0.5, rng.standard_normal((m, d))


def kth(of: Floats, among: Floats, k: int) -> Floats:
    """Distances to the k-th neighbour, a point itself left out where it is one of them."""
    itself = 1 if of is among else 0
    distances: Floats = NearestNeighbors(n_neighbors=k + itself).fit(among).kneighbors(of)[0][:, -1]
    return distances


@pytest.mark.parametrize(("n", "m", "d", "k"), [(40, 55, 1, None), (200, 150, 3, 1), (120, 300, 7, 9)])
def test_neighbours_as_of_scikit_learn(client: kantor.Client, n: int, m: int, d: int, k: int | None) -> None:
    x, y = clouds(n, m, d)
    asked = [kantor.NearestNeighbourKl(neighbours=k), kantor.Entropy(neighbours=k)]
    results = client.diagnose(asked, source=x, target=y)
    k = k or 5
    own = np.log(kth(x, x, k)).mean()
    kl = d * (np.log(kth(x, y, k)).mean() - own) + math.log(m / (n - 1))
    ball = d / 2 * math.log(math.pi) - gammaln(d / 2 + 1)
    assert results["nearest_neighbour_kl"].value == pytest.approx(kl, abs=1e-10)
    assert results["entropy"].value == pytest.approx(digamma(n) - digamma(k) + ball + d * own, abs=1e-10)
    rough = ["HIGH_DIMENSION"] if d > 4 else []
    assert [warning.code for warning in results["entropy"].warnings] == rough


def test_entropy_of_gaussians_as_of_scipy(client: kantor.Client) -> None:
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((4, 3, 3))
    covariance = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(3)
    want = np.mean([multivariate_normal(cov=c).entropy() for c in covariance])
    got = client.diagnose(kantor.Entropy("q"), q=kantor.Gaussian(np.zeros((4, 3)), covariance=covariance))
    assert got["entropy"].value == pytest.approx(want, abs=1e-12)


def test_spread_as_of_numpy(client: kantor.Client) -> None:
    x, y = clouds(60, 80, 5)
    x *= [1, 0.5, 0.1, 0.01, 0]
    asked = [kantor.ActiveUnits("source", threshold=0.005), kantor.EffectiveScale()]
    results = client.diagnose(asked, source=x, target=y)
    units, scale = results["active_units"], results["effective_scale"]
    assert units.value == np.sum(np.var(x, axis=0) > 0.005)
    np.testing.assert_allclose(units.details["variance"], np.var(x, axis=0), atol=1e-14)
    assert scale.value == pytest.approx(math.sqrt(np.var(x, axis=0).sum() / np.var(y, axis=0).sum()), abs=1e-13)
    np.testing.assert_allclose(scale.details["per_dimension"], np.std(x, axis=0) / np.std(y, axis=0), atol=1e-13)


def test_permutation_statistic_as_of_scipy(client: kantor.Client) -> None:
    x, y = clouds(30, 45, 1)
    result = client.diagnose(kantor.PermutationTest(permutations=99), source=x, target=y, seed=3)["permutation_test"]
    # SciPy's is the root of the V-statistic, whose means over pairs have those of a point with itself.
    inside = sum(np.abs(z - z.T).mean() / (len(z) - 1) for z in (x, y))
    want = energy_distance(x[:, 0], y[:, 0]) ** 2 - inside
    assert result.details["statistic"][0] == pytest.approx(want, abs=1e-12)
    assert (result.value * 100) % 1 == pytest.approx(0, abs=1e-9)


def test_permutations_tell_samples_apart(client: kantor.Client) -> None:
    x, y = clouds(80, 80, 2)
    kernels: list[kantor.Diagnostic] = [
        kantor.PermutationTest(kernel="energy", name="energy"),
        kantor.PermutationTest(kernel="gaussian", name="gaussian"),
        kantor.PermutationTest("target", "prior", kernel="laplacian", blur=1.0, name="null"),
    ]
    results = client.diagnose(kernels, {"prior": kantor.StandardNormal()}, source=x, target=y, seed=5)
    assert results["energy"].value <= 0.01
    assert results["gaussian"].value <= 0.01
    assert results["null"].value > 0.01
    again = client.diagnose(kernels, {"prior": kantor.StandardNormal()}, source=x, target=y, seed=5)
    assert {name: r.values for name, r in again.items()} == {name: r.values for name, r in results.items()}


def test_expected_shrink_is_the_warnings(client: kantor.Client) -> None:
    x, y = clouds(64, 64, 16)
    shrink = client.diagnose(kantor.ExpectedShrink(blur=0.5), source=x, target=y)["expected_shrink"]
    loss = client.evaluate(kantor.Sinkhorn(blur=0.5), source=x, target=y, gradients="source.points")
    (warning,) = (w for w in loss.terms["sinkhorn"].warnings if w.code == "SELF_SHRINKS")
    assert f"about {shrink.value:.2f} times" in warning.message
    assert shrink.details["epsilon"][0] == pytest.approx(0.25)
    assert client.diagnose(kantor.ExpectedShrink(debias="split"), source=x, target=y)["expected_shrink"].value == 1


def test_a_batch_has_values(client: kantor.Client) -> None:
    x, _ = clouds(20, 20, 3)
    result = client.diagnose(kantor.ActiveUnits("codes"), codes=np.stack([x, 0 * x]))["active_units"]
    assert result.values == (3, 0)
    assert result.details["variance"].shape == (2, 3)
    with pytest.raises(ValueError, match=r"active_units.*2 values"):
        _ = result.value


def test_what_is_wrong_is_named(client: kantor.Client) -> None:
    x, _ = clouds(9, 9, 2)
    for diagnostics, field in [
        ([], "diagnostics"),
        (kantor.Diagnostic(), "diagnostics[0]"),
        ([kantor.Sinkhorn()], "diagnostics[0]"),
        (kantor.ActiveUnits(threshold=-1.0), "diagnostics[0].active_units.threshold"),
        (kantor.Entropy("posterior", neighbours=0), "diagnostics[0].entropy.neighbours"),
        (kantor.PermutationTest(kernel="odd"), "diagnostics[0].permutation_test.kernel"),  # type: ignore[arg-type]
        (
            [kantor.Entropy("posterior", neighbours=1), kantor.ExpectedShrink("nothing")],
            "diagnostics[1].expected_shrink",
        ),
        (kantor.ExpectedShrink(blur=1.0, epsilon=1.0), "diagnostics[0].expected_shrink"),
    ]:
        with pytest.raises(kantor.InvalidArgumentError) as caught:
            client.diagnose(diagnostics, posterior=x)  # type: ignore[arg-type]
        assert caught.value.field.startswith(field)
