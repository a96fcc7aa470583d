"""The cone critic at states whose functions are simple enough for closed forms, without a step."""

from common import good, gradient, measure, refused, request, tensor

CONES = "The envelopes of cones, evaluated by hand; their gradients are unit vectors away from the active tip, or towards it"
CONTRACT = "The contract: proto/kantor/v1/loss.proto"


def critic(tips, heights, averages):
    """An Input that is a critic after a step that moved nothing; tips and heights of both functions."""
    count, dimension = len(tips[0]), len(tips[0][0])
    numbers = 2 * count * dimension
    return {
        "coneCritic": {
            "tips": tensor([2, count, dimension], [x for function in tips for tip in function for x in tip]),
            "heights": tensor([2, count], [b for function in heights for b in function]),
            "tipMoments": tensor([2, 2, count, dimension], [0.0] * (2 * numbers)),
            "heightMoments": tensor([2, 2, count], [0.0] * (4 * count)),
            "averages": tensor([2], averages),
            "step": "1",
        }
    }


def value_cases():
    gradients = ["source.points", "source.weights", "target.points"]

    def case(name, averages, value, expected):
        # min(|z|, |z - (10,0)| + 1) and max(-|z|, 2 - |z - (10,0)|).
        tips = [[[0.0, 0.0], [10.0, 0.0]]] * 2
        inputs = {
            "source": measure([[3.0, 4.0], [10.0, 3.0]]),
            "target": measure([[0.0, 0.0]]),
            "critic": critic(tips, [[0.0, 1.0], [0.0, 2.0]], averages),
        }
        req = request([{"coneCritic": {"state": "critic"}}], inputs, gradients)
        points, weights = expected
        good(
            "cone_critic_" + name,
            CONES,
            req,
            value,
            1e-15,
            {"cone_critic": {"value": value, "tolerance": 1e-15, "warnings": []}},
            {
                "source.points": gradient([2, 2], points, 1e-15),
                "source.weights": gradient([2], weights, 1e-15),
                "target.points": gradient([1, 2], [0.0, 0.0], 0.0),  # at a tip
            },
        )

    # At (3,4) and (10,3): 5 and 4 from below, -5 and -1 from above; at the target 0.
    case("below", [1.0, 0.0], 4.5, ([0.3, 0.4, 0.0, 0.5], [0.5, -0.5]))
    case("above", [0.0, 1.0], -3.0, ([-0.3, -0.4, 0.0, -0.5], [-2.0, 2.0]))


def new_cases():
    # A new critic of one cone, which stands on the target's one point: the distance to it.
    inputs = {"source": measure([[3.0, 4.0]]), "target": measure([[0.0, 0.0]])}
    req = request([{"coneCritic": {"cones": 1}}], inputs, ["source.points"], ["cone_critic.state"], seed=7)
    good(
        "cone_critic_new",
        CONES,
        req,
        5.0,
        0.0,
        {"cone_critic": {"value": 5.0, "tolerance": 0.0}},
        {
            "source.points": gradient([1, 2], [0.6, 0.8], 1e-15),
        },
    )


def bad_critic_cases():
    state = critic([[[0.0, 0.0]]] * 2, [[0.0]] * 2, [0.0, 0.0])
    plane = {"source": measure([[3.0, 4.0]]), "target": measure([[0.0, 0.0]])}
    term = "objective.terms[0].cone_critic."

    def case(name, loss, inputs, field, extras=()):
        refused("bad_cone_critic_" + name, CONTRACT, request([{"coneCritic": loss}], inputs, extras=extras), field)

    case(
        "dimension",
        {"state": "critic"},
        {"source": measure([[3.0]]), "target": measure([[0.0]]), "critic": state},
        term + "state",
    )
    case("kind", {"state": "target"}, plane, term + "state")
    case("cones", {"cones": -1}, plane, term + "cones")
    case("cones_many", {"cones": 400_000}, plane, term + "cones")
    case("learning_rate", {"learningRate": -0.01}, plane, term + "learning_rate")
    case("steps", {"steps": 10_001}, plane, term + "steps")
    case("at_none", {}, plane, "objective.extras[0]", ["cone_critic.critic"])
    case("batch", {}, {**plane, "source": {"measure": {"points": tensor([2, 1, 2], [0.0] * 4)}}}, term + "source")
