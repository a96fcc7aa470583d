"""kantor.explain on clouds of which it is known what should be said, and whether its advice does what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kantor
from conftest import Floats
from kantor.__main__ import main
from kantor._terms import Cost

PRIOR = kantor.StandardNormal()
COSTS: tuple[Cost, ...] = ("half_squared_euclidean", "euclidean")


def findings(advice: kantor.Advice) -> dict[str, str]:
    return {finding.topic: finding.sentence for finding in advice.findings}


def gradient(client: kantor.Client, term: kantor.Sinkhorn, x: Floats, y: object, seed: int = 0) -> Floats:
    result = client.evaluate(term, source=x, target=y, gradients="source.points", seed=seed)
    return np.asarray(result.gradients["source.points"], np.float64)


def pull(client: kantor.Client, term: kantor.Sinkhorn, scale: float) -> tuple[float, float]:
    """The mean derivative of the term in the scale of codes scale·g, N=64 and D=32, and its standard error."""
    values = []
    for seed in range(30):
        g = np.random.default_rng(1000 + seed).standard_normal((64, 32))
        values.append(float(np.sum(g * gradient(client, replace(term, without_interval=True), scale * g, PRIOR, seed))))
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def test_codes_and_a_prior_in_many_dimensions(client: kantor.Client, rng: np.random.Generator) -> None:
    """Split batches, with what the server says; and what it says of both debiasings is what a trainer would see."""
    x = rng.standard_normal((64, 32))
    advice = kantor.explain(x, PRIOR, client)
    assert advice.debias == "split"
    assert advice.blur is not None
    result = client.evaluate(kantor.Sinkhorn(blur=advice.blur), source=x, target=PRIOR, gradients="source.points")
    (warning,) = result.terms["sinkhorn"].warnings
    assert (warning.code, warning.message in findings(advice)["debias"]) == ("SELF_SHRINKS", True)
    scale = advice.numbers("debias")["scale"]
    assert f"about {scale:.2f} times as wide" in warning.message
    # With self terms the least is at that scale, to the few hundredths that the table is right to; with split batches
    # codes of half the width are drawn outwards, and those of the prior's neither way.
    own = replace(advice.term, debias="self")
    for s, sign in ((scale - 0.06, -1), (scale + 0.06, 1)):
        mean, error = pull(client, own, s)
        assert sign * mean > 2 * error, s
    mean, error = pull(client, advice.term, 1.0)
    assert abs(mean) < 3 * error
    mean, error = pull(client, advice.term, scale)
    assert mean < -4 * error


def test_the_advised_blur_brings_no_warning_with_other_batches(client: kantor.Client, rng: np.random.Generator) -> None:
    """In many dimensions the server's own default is next to what BLUR_LARGE warns of, and batches differ in spread."""
    advice = kantor.explain(rng.standard_normal((64, 32)), PRIOR, client)
    for seed in range(20):
        x = rng.standard_normal((64, 32))
        result = client.evaluate(advice.term, source=x, target=PRIOR, gradients="source.points", seed=seed)
        assert not result.terms["sinkhorn"].warnings


def test_what_split_batches_cost(client: kantor.Client, rng: np.random.Generator) -> None:
    x = rng.standard_normal((64, 32))
    advice = kantor.explain(x, PRIOR, client, seed=5)
    values = [client.evaluate(advice.term, source=x, target=PRIOR, seed=5 + s).value for s in range(8)]
    numbers = advice.numbers("debias")
    assert (numbers["value"], numbers["scatter"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)), rel=1e-9)
    assert set(advice.numbers("time")) == {"self", "split"}


def test_self_terms_where_they_do_no_harm(client: kantor.Client, rng: np.random.Generator) -> None:
    advice = kantor.explain(rng.standard_normal((512, 1)), rng.standard_normal((512, 1)), client)
    assert (advice.debias, "no shrinking" in findings(advice)["debias"]) == ("self", True)


@pytest.mark.parametrize(
    ("rows", "weighted", "said"),
    [
        ((64, 50), False, "got 64 and 50: send 50 of each"),
        ((51, 51), False, "an even number of points, got 51"),
        ((64, 64), True, "kantor.Mmd() takes any"),
    ],
)
def test_what_stands_in_the_way_of_split_batches(
    client: kantor.Client, rng: np.random.Generator, rows: tuple[int, int], weighted: bool, said: str
) -> None:
    x, y = rng.standard_normal((rows[0], 16)), rng.standard_normal((rows[1], 16))
    source = kantor.Measure(x, rng.dirichlet(np.full(len(x), 20.0))) if weighted else x
    advice = kantor.explain(source, y, client)
    assert said in findings(advice)["debias"]
    assert 0 < advice.numbers("debias")["scale"] < 0.95
    client.evaluate(advice.term, source=source, target=y)  # and the term can be had


def test_the_blur_and_what_it_is_next_to(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 100, 2)) * 3
    advice = kantor.explain(x, y, client)
    numbers = advice.numbers("blur")
    distances = np.linalg.norm(y[:, None] - y, axis=2) + np.diag(np.full(100, np.inf))
    assert numbers["spacing"] == pytest.approx(np.median(distances.min(axis=1)))
    assert numbers["deviation"] == pytest.approx(np.sqrt(np.mean(np.var(y, axis=0))))
    box = np.ptp(np.concatenate([x, y]), axis=0)
    assert numbers["diameter"] == pytest.approx(np.hypot(*box))
    # The server's default, ε = a fifth of the mean cost to the mean, less a twentieth, to the three digits shown.
    assert advice.blur is not None
    assert advice.blur == pytest.approx(0.95 * np.sqrt(0.1 * np.sum(np.var(y, axis=0))), rel=5e-3)
    kernel = np.exp(-0.5 * np.sum((x[:, None] - y) ** 2, axis=2) / advice.blur**2)
    u = v = np.ones(100)
    for _ in range(2000):
        u = 1 / (kernel @ v)
        v = 1 / (u @ kernel)
    plan = u[:, None] * kernel * v
    partners = np.median(np.exp(-np.sum(plan * np.log(plan), axis=1)))
    assert numbers["partners"] == pytest.approx(partners, rel=1e-2)  # the marginal errors of the default tolerance
    cold = kantor.explain(x, y, client, blur=0.01)
    assert (cold.blur, round(cold.numbers("blur")["partners"])) == (0.01, 1)
    assert "nearly a matching" in findings(cold)["blur"]


def test_a_blur_that_is_too_large(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 128, 2))
    advice = kantor.explain(x, y, client, blur=5.0)
    result = client.evaluate(kantor.Sinkhorn(blur=5.0), source=x, target=y, gradients="source.points")
    (warning,) = result.terms["sinkhorn"].warnings
    assert (warning.code, warning.message in findings(advice)["blur"]) == ("BLUR_LARGE", True)
    assert findings(advice)["blur"].startswith("not 5: ")
    assert advice.blur == kantor.explain(x, y, client).blur
    # What the warning is about: of a source half as wide, more is left of the gradient in its width.
    spread = [float(np.sum(x * gradient(client, t, x / 2, y))) for t in (kantor.Sinkhorn(blur=5.0), advice.term)]
    assert spread[1] < 5 * spread[0] < 0


def test_no_difference_and_a_difference(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 128, 3))
    same, moved = kantor.explain(x, y, client), kantor.explain(x + np.array([0.8, 0, 0]), y, client)
    assert "no difference is seen with 128 points of each" in findings(same)["difference"]
    assert ": a difference is seen with 128 points of each" in findings(moved)["difference"]
    assert (same.numbers("difference")["seen"], moved.numbers("difference")["seen"]) == (0, 1)
    for numbers in (same.numbers("difference"), moved.numbers("difference")):
        # In it the halves' own self terms cancel; the default tolerance leaves values right to about 1e-4 of the cost.
        assert numbers["excess"] == pytest.approx(numbers["value"] - numbers["floor"], abs=3e-4)
        assert 0 < numbers["floor"] < 0.5
    # A shift by v adds ½|v|² - <v, mean difference> to transport across and nothing within: the excess is that more.
    excess = moved.numbers("difference")["excess"] - same.numbers("difference")["excess"]
    assert excess == pytest.approx(0.32 + 0.8 * float(np.mean(x[:, 0]) - np.mean(y[:, 0])), abs=1e-3)


def test_no_difference_is_seen_where_there_is_none(client: kantor.Client) -> None:
    """By chance once in 40 pairs of clouds: more than 4 of 30 come with a probability of .006."""
    seen = 0.0
    for seed in range(30):
        x, y = np.random.default_rng(seed).standard_normal((2, 24, 4))
        seen += kantor.explain(x, y, client).numbers("difference")["seen"]
    assert seen <= 4


def test_how_many_points_it_would_take(client: kantor.Client) -> None:
    """With twice as many as were said to be needed the difference, which is real here, is seen."""

    def clouds(n: int) -> tuple[Floats, Floats]:
        x, y = np.random.default_rng(3).standard_normal((2, 512, 8))
        return x[:n] + 0.22, y[:n]

    few = kantor.explain(*clouds(32), client)
    needed = int(few.numbers("difference")["needed"])
    assert 32 < needed < 256
    assert f"about {needed}" in findings(few)["difference"]
    assert kantor.explain(*clouds(2 * needed), client).numbers("difference")["seen"] == 1


def test_an_axis_in_another_unit(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 128, 5))
    wide = np.array([1, 1, 10, 1, 1])
    numbers = kantor.explain(x, y * wide, client).numbers("units")
    assert (numbers["axis"], numbers["wide"]) == (2, 1)
    variances = np.var(y * wide, axis=0)
    assert numbers["share"] == pytest.approx(variances[2] / variances.sum())
    assert numbers["deviation"] == pytest.approx(np.sqrt(variances[2]))
    # What the words promise: that axis has the cost, and divided by its deviation the finding is gone.
    whole = client.evaluate(kantor.Transport(), source=x, target=y * wide).value
    alone = client.evaluate(kantor.Transport(), source=x[:, 2:3], target=10 * y[:, 2:3]).value
    assert alone > 0.8 * whole
    assert "units" not in findings(kantor.explain(x, y, client))


def test_an_axis_that_does_not_vary_is_no_unit(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 32, 3))
    y[:, :2] = 7
    assert "units" not in findings(kantor.explain(x, y, client))


def test_a_cloud_of_one_weight(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 16, 2))
    advice = kantor.explain(kantor.Measure(x, np.eye(16)[3]), y, client)
    assert "only one point of positive weight" in findings(advice)["difference"]


def test_copies(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 40, 2))
    assert "duplicates" not in findings(kantor.explain(x, y, client))
    x[10:14] = x[0]
    y[:3] = x[20:23]
    numbers = kantor.explain(x, y, client).numbers("duplicates")
    assert numbers == {"source": 4, "target": 0, "shared": 3}


def test_points_far_from_everything(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 128, 3))
    near = kantor.explain(x, y, client)
    assert ("tails" in findings(near), near.term.reach) == (False, None)
    y = y.copy()
    y[7] = 60  # in the target, whose spread decides the server's default blur
    advice = kantor.explain(x, y, client)
    numbers = advice.numbers("tails")
    assert (numbers["far_source"], numbers["far_target"], advice.term.reach) == (0, 1, numbers["reach"])
    assert advice.blur == pytest.approx(near.blur, rel=0.05)
    own = replace(advice.term, debias="self")
    assert client.evaluate(own, source=x, target=y).value == pytest.approx(numbers["reached"], rel=1e-9)
    assert numbers["reached"] < 0.1 * numbers["value"]
    # Of the rest it takes little.
    rest = client.evaluate(own, source=x, target=np.delete(y, 7, axis=0)).value
    assert numbers["rest"] == pytest.approx(rest, rel=1e-9)
    assert rest > 0.75 * numbers["without"]
    # What reach is for: without it the far point drags the whole of the source, with it hardly.
    drag = [abs(float(np.sum(gradient(client, t, x, y)))) for t in (replace(own, reach=None), own)]
    assert drag[1] < 0.2 * drag[0]


def test_heavy_tails(client: kantor.Client) -> None:
    """Of the lognormal law much of the variance is that of a few points; of the mean distance it is not."""
    x, y = np.random.default_rng(0).standard_normal((2, 400, 2))
    assert "tails" not in findings(kantor.explain(x, y, client))
    x, y = np.exp(x), np.exp(y)
    advice = kantor.explain(x, y, client)
    distances = np.linalg.norm(x - x.mean(axis=0), axis=1)
    farthest = np.argsort(distances)[-4:]
    numbers = advice.numbers("tails")
    assert numbers["farthest"] == 4
    assert numbers["share"] == pytest.approx(np.sum(distances[farthest] ** 2) / np.sum(distances**2))
    assert numbers["share"] > 0.2 > 2 * numbers["share_of_distances"]
    # What the words promise of the other cost: those points have less of its gradient.
    sizes = [
        np.linalg.norm(gradient(client, kantor.Sinkhorn(cost=cost, debias="none"), x, y), axis=1) for cost in COSTS
    ]
    shares = [float(np.sum(size[farthest]) / np.sum(size)) for size in sizes]
    assert shares[1] < 0.5 * shares[0]


def test_many_far_points_are_not_left_out(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 100, 2))
    y[:8] += 100
    advice = kantor.explain(x, y, client)
    assert advice.numbers("tails")["far_target"] == 8
    assert advice.term.reach is None
    assert "too many to leave out" in findings(advice)["tails"]


def test_a_prior_is_looked_at_by_its_samples(client: kantor.Client) -> None:
    """Against the uniform cube: the samples are those that an evaluation with the seed compares with."""
    x = np.random.default_rng(0).uniform(-2, 2, (64, 2))
    cube = kantor.UniformCube(-2.0, 2.0)
    advice = kantor.explain(x, cube, client, seed=4)
    numbers = advice.numbers("blur")
    assert numbers["deviation"] == pytest.approx(4 / np.sqrt(12), rel=0.15)
    assert numbers["diameter"] < 4 * np.sqrt(2)
    solve = client.evaluate(kantor.Sinkhorn(), source=x, target=cube, seed=4).terms["sinkhorn"].solve
    assert solve is not None
    assert solve.epsilon == pytest.approx(0.1 * 2 * numbers["deviation"] ** 2, rel=1e-9)
    swapped = kantor.explain(cube, x, client)
    client.evaluate(swapped.term, source=cube, target=x)


def test_numbers_are_in_the_sentences_and_the_seed_decides_them(
    client: kantor.Client, rng: np.random.Generator
) -> None:
    x, y = rng.standard_normal((2, 64, 12))
    y[:, 3] *= 10
    y[1] = y[2]
    x[0] = 500
    advice, again = kantor.explain(x, y, client, seed=2), kantor.explain(x, y, client, seed=2)
    topics = ["blur", "debias", "difference", "units", "duplicates", "tails", "time"]
    assert [finding.topic for finding in advice.findings] == topics
    assert advice.findings[:-1] == again.findings[:-1]
    assert advice.term == again.term
    assert kantor.explain(x, y, client, seed=3).numbers("difference") != advice.numbers("difference")
    text = repr(advice)
    assert text == str(advice)
    assert len(text.splitlines()) <= 15
    assert text.startswith(f"kantor.Sinkhorn(blur={advice.blur!r}, debias={advice.debias!r}, reach=")
    hidden = {"seen", "points"}
    for topic in ("blur", "difference", "tails"):
        for name, number in advice.numbers(topic).items():
            shown = f"{number:.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"
            assert name in hidden or shown in findings(advice)[topic], (topic, name)
    page = advice._repr_html_()
    assert all(f">{topic}</th>" in page for topic in topics)
    assert "debias=&#x27;" in page


def test_all_points_in_one_place(client: kantor.Client) -> None:
    advice = kantor.explain(np.zeros((8, 2)), np.ones((8, 2)), client)
    assert advice.blur is None
    assert "one place" in str(advice)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((3, 2)), np.zeros((8, 2)), r"source.points: has shape \[3, 2\], want \[N, D\], at least 4 points"),
        (np.zeros((8, 2)), np.zeros((2, 8, 2)), r"target.points: has shape \[2, 8, 2\]"),
        (np.zeros((8, 2)), np.zeros((8, 3)), "dimension"),
        (np.full((8, 2), np.nan), np.zeros((8, 2)), "source.points: has NaN"),
        (np.zeros((8, 2), int), np.zeros((8, 2)), "source.points: is int64, want float32 or float64"),
        (PRIOR, PRIOR, "want points of one of them"),
        (np.zeros((8, 2)), kantor.Measure(np.zeros((8, 2)), np.ones(7)), "target.weights"),
    ],
)
def test_what_it_refuses(client: kantor.Client, x: object, y: object, said: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=said):
        kantor.explain(x, y, client)


def test_the_command(
    client: kantor.Client,
    rng: np.random.Generator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kantor._client.shared", lambda: client)
    x, y = str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    np.save(x, rng.standard_normal((32, 2)))
    np.save(y, rng.standard_normal((32, 2)) + 3)
    assert main(["explain", x, y, "--blur", "0.5"]) == 0
    assert capsys.readouterr().out.startswith("kantor.Sinkhorn(blur=0.5, ")
    assert main(["explain", x, "--seed", "1"]) == 0
    assert "no difference is seen" in capsys.readouterr().out
    assert main(["explain", x, str(tmp_path / "z.npy")]) == 1
    assert "z.npy" in capsys.readouterr().err
