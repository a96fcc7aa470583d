"""What the cases are made of: requests in protobuf's JSON form, and files that say what to make of them."""

import base64
import json
import math
import pathlib
import struct

HERE = pathlib.Path(__file__).parent

F32, F64 = "DTYPE_FLOAT32", "DTYPE_FLOAT64"


def tensor(shape, values, dtype=F64):
    """A kantor.v1.Tensor in protobuf's JSON form."""
    code = "f" if dtype == F32 else "d"
    data = struct.pack(f"<{len(values)}{code}", *values)
    return {"dtype": dtype, "shape": [str(extent) for extent in shape], "data": base64.b64encode(data).decode()}


def measure(points, weights=None, dtype=F64):
    """An Input that is a measure; points are rows."""
    flat = [x for row in points for x in row]
    out = {"points": tensor([len(points), len(points[0])], flat, dtype)}
    if weights is not None:
        out["weights"] = tensor([len(weights)], weights, dtype)
    return {"measure": out}


def batch(problems, weights=None, sizes=None, dtype=F64):
    """An Input that is a batch of measures; problems are lists of as many rows each."""
    flat = [x for rows in problems for row in rows for x in row]
    out = {"points": tensor([len(problems), len(problems[0]), len(problems[0][0])], flat, dtype)}
    if weights is not None:
        out["weights"] = tensor([len(weights), len(weights[0])], [w for row in weights for w in row], dtype)
    if sizes is not None:
        out["sizes"] = [str(size) for size in sizes]
    return {"measure": out}


def gaussian(mean, log_variance, dtype=F64):
    """An Input that is a Gaussian; mean and log_variance are rows."""
    shape = [len(mean), len(mean[0])]
    return {
        "gaussian": {
            "mean": tensor(shape, [x for row in mean for x in row], dtype),
            "logVariance": tensor(shape, [x for row in log_variance for x in row], dtype),
        }
    }


def request(terms, inputs, gradients=(), extras=(), seed=0):
    """An EvaluateRequest."""
    objective = {"terms": terms}
    if gradients:
        objective["gradients"] = list(gradients)
    if extras:
        objective["extras"] = list(extras)
    out = {"objective": objective, "inputs": inputs}
    if seed:
        out["seed"] = str(seed)
    return out


def gradient(shape, values, tolerance, dtype=F64):
    """An expected gradient."""
    return {"dtype": dtype, "shape": shape, "values": values, "tolerance": tolerance}


def number(x):
    """JSON has no infinity; protobuf's JSON form writes it as a string."""
    return "Infinity" if x == math.inf else x


def write(name, source, **rest):
    case = {"name": name, "source": source, **rest}
    (HERE / f"{name}.json").write_text(json.dumps(case, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def good(name, source, req, value, tolerance, terms, gradients=None):
    expect = {"value": number(value), "tolerance": tolerance, "terms": terms}
    if gradients:
        expect["gradients"] = gradients
    write(name, source, request=req, expect=expect)


def refused(name, source, req, field):
    write(name, source, request=req, error={"code": "INVALID_ARGUMENT", "field": field})


def diagnosis(diagnostics, inputs, seed=0):
    """A DiagnoseRequest."""
    return {"diagnostics": diagnostics, "inputs": inputs} | ({"seed": str(seed)} if seed else {})


def diagnosed(name, source, diagnostics, inputs, expected, seed=0):
    write(name, source, diagnose=diagnosis(diagnostics, inputs, seed), expect={"diagnostics": expected})


def not_diagnosed(name, source, diagnostics, inputs, field):
    write(name, source, diagnose=diagnosis(diagnostics, inputs), error={"code": "INVALID_ARGUMENT", "field": field})
