"""Random index expressions: reading, assigning and their gradients agree with PyTorch, and so do the errors."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch

reference = pytest.importorskip("torch")

SHAPES = [(4, 5, 6), (3,), (), (2, 3), (5, 1, 2, 3), (0, 3)]
Part = tuple[str, Any]  # how the value becomes an index ("as it is" or a tensor of that dtype), and the value


def one_index(r: random.Random, size: int, shape: tuple[int, ...], dim: int) -> tuple[Part, int]:
    """An index for one dim (or several: a mask), and how many dims it takes."""

    def place() -> int:
        return r.randint(-size - (r.random() < 0.03), max(size - 1 + (r.random() < 0.03), -size))

    def places() -> list[int]:
        return [place() for _ in range(3)] if size else []

    kind = r.choice([
        "int", "int", "slice", "slice", "slice", "none", "list", "tensor", "matrix", "mask", "mask list", "array",
        "array mask", "0-d", "0-d mask", "bool", "nested", "range", "empty", "big mask",
    ])  # fmt: skip
    flags = [r.random() < 0.5 for _ in range(size)]
    part = shape[dim : dim + r.choice([1, 2])]
    bounds = [r.choice([None, r.randint(-size - 2, size + 2)]) for _ in range(2)]
    choices: dict[str, Callable[[], tuple[Part, int]]] = {
        "int": lambda: (("as it is", place()), 1),
        "slice": lambda: (("as it is", slice(*bounds, r.choice([None, 1, 2, 3]))), 1),
        "none": lambda: (("as it is", None), 0),
        "list": lambda: (("as it is", places()), 1),
        "nested": lambda: (("as it is", [places(), places()] if size else []), 1),
        "range": lambda: (("as it is", range(min(3, size))), 1),
        "empty": lambda: (("int64", []), 1),
        "tensor": lambda: ((r.choice(["int64", "int32"]), places()), 1),
        "matrix": lambda: (("int64", [places()]), 1),
        "array": lambda: (("as it is", np.array(places(), dtype=np.int64)), 1),
        "0-d": lambda: (("int64", place() if size else 0), 1),
        "0-d mask": lambda: (("bool", r.random() < 0.5), 0),
        "bool": lambda: (("as it is", r.random() < 0.5), 0),
        "mask": lambda: (("bool", flags), 1),
        "mask list": lambda: (("as it is", flags), 1),
        "array mask": lambda: (("as it is", np.array(flags, dtype=bool)), 1),
        "big mask": lambda: (("bool", np.random.RandomState(r.randint(0, 99)).randint(0, 2, part).tolist()), len(part)),
    }
    return choices[kind]()


def index_of(r: random.Random, shape: tuple[int, ...]) -> list[Part]:
    parts: list[Part] = []
    dim, ellipsis = 0, False
    while dim < len(shape) and r.random() > 0.25:
        if not ellipsis and r.random() < 0.1:
            parts.append(("as it is", Ellipsis))
            ellipsis, dim = True, dim + r.randint(0, len(shape) - dim)
            continue
        part, taken = one_index(r, shape[dim], shape, dim)
        parts.append(part)
        dim += taken
    return parts or [one_index(r, shape[0] if shape else 0, shape, 0)[0]]


def key_of(M: Any, parts: list[Part]) -> Any:
    made = tuple(v if kind == "as it is" else M.tensor(v, dtype=getattr(M, kind)) for kind, v in parts)
    return made[0] if len(made) == 1 else made


def read(M: Any, shape: tuple[int, ...], parts: list[Part]) -> list[Any]:
    x = M.arange(float(np.prod(shape))).reshape(shape).requires_grad_()
    y = x[key_of(M, parts)]
    if not y.requires_grad:
        return [y]
    (y * M.arange(float(y.numel())).reshape(y.shape)).sum().backward()
    return [y, x.grad]


def assign(M: Any, shape: tuple[int, ...], parts: list[Part], how: str) -> list[Any]:
    x = M.arange(float(np.prod(shape))).reshape(shape).requires_grad_(how == "gradient")
    z, key = x * 1, key_of(M, parts)
    room = (0,) if how == "number" else tuple(z.detach()[key].shape)
    count = float(np.prod(room))
    values = {
        "number": lambda: 7,
        "same shape": lambda: M.arange(count).reshape(room) + 100,
        "gradient": lambda: (M.arange(count).reshape(room) + 100).requires_grad_(),
        "broadcast": lambda: M.arange(float(room[-1] if room else 1)) + 50,
        "integers": lambda: M.arange(int(count)).reshape(room),
        "list": lambda: [3.0],
        "NumPy number": lambda: np.float64(2.5),
    }
    value = values[how]()
    z[key] = value
    if how != "gradient":
        return [z]
    (z * M.arange(float(np.prod(shape))).reshape(shape)).sum().backward()
    return [z, x.grad, *([value.grad] if value.grad is not None else [])]


def outcome(run: Callable[[], list[Any]]) -> list[Any] | str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return [t.detach().numpy() for t in run()]
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def agree(want: list[Any] | str, got: list[Any] | str) -> bool:
    if isinstance(want, str) or isinstance(got, str):
        if "out of bounds" in want and "out of bounds" in got:  # which of several dims is named differs
            return str(want).partition(" for ")[0] == str(got).partition(" for ")[0]
        if "shape of the mask" in want:  # PyTorch quotes a shape with slices applied
            return str(got).startswith("IndexError: The shape of the mask")
        return want == got
    return len(want) == len(got) and all(
        a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(want, got, strict=True)
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_indices(seed: int) -> None:
    r = random.Random(seed)
    modes = ["number", "same shape", "gradient", "broadcast", "integers", "list", "NumPy number"]
    for _ in range(60):
        shape, how = r.choice(SHAPES), r.choice(modes)
        parts = index_of(r, shape)
        want, got = (outcome(partial(read, M, shape, parts)) for M in (reference, torch))
        assert agree(want, got), (shape, parts, want, got)
        want, got = (outcome(partial(assign, M, shape, parts, how)) for M in (reference, torch))
        assert agree(want, got), (how, shape, parts, want, got)


# --- in place through chains of views


def basic_key(r: random.Random, shape: tuple[int, ...]) -> Any:
    key: list[Any] = []
    for size in shape:
        at = slice(r.choice([None, 0, 1]), r.choice([None, size, -1]), r.choice([None, 1, 2]))
        key.append(r.randrange(-size, size) if size and r.random() < 0.35 else at)
        if r.random() < 0.1:
            key.append(None)
    return tuple(key[: r.randint(1, len(key))]) if key else Ellipsis


def step(r: random.Random, M: Any, x: Any, v: Any) -> Any | None:
    """A view of ``v``, or None after a change in place."""
    kind = r.choice(["index", "t", "set", "mul", "add", "fill", "flat", "copy", "sin", "mask", "narrow", "unsqueeze"])
    if kind == "index":
        return v[basic_key(r, tuple(v.shape))]
    if kind in ("t", "narrow"):
        able = v.dim() > 1 if kind == "t" else v.dim() and v.shape[0] > 1
        return None if not able else v.transpose(0, -1) if kind == "t" else v.narrow(0, 1, 1)
    if kind == "unsqueeze":
        return v.unsqueeze(-1)
    if kind == "flat":
        return v.reshape(-1)
    if kind == "set":
        v[basic_key(r, tuple(v.shape))] = r.choice([3.0, x[0, 0, 0]])
    elif kind == "mask":
        v[v > 2] = 0.5
    elif kind == "mul":
        v.mul_(r.choice([2.0, x[1, 1, 1]]))
    elif kind == "add":
        v.add_(x.sum())
    elif kind == "fill":
        v.fill_(1.0)
    elif kind == "copy":
        v.copy_(x[0, 0, 0].expand(v.shape) if r.random() < 0.5 else v.detach() * 0 + 1)
    else:
        v.sin_()
    return None


def chain(M: Any, seed: int) -> list[Any]:
    r = random.Random(seed)
    x = (M.arange(60.0, dtype=M.float64) * 0.1).reshape(3, 4, 5).requires_grad_()
    views = [x * 2]
    for _ in range(r.randint(1, 5)):
        made = step(r, M, x, r.choice(views))
        if made is not None:
            views.append(made)
    sum((v * M.arange(float(v.numel())).reshape(v.shape)).sum() for v in views).backward()  # type: ignore[union-attr]
    return [*views, x.grad]


def test_chains_of_views() -> None:
    for seed in range(150):
        want, got = (outcome(partial(chain, M, seed)) for M in (reference, torch))
        if isinstance(want, str) or isinstance(got, str):
            assert str(want)[:60] == str(got)[:60], seed
        else:
            for a, b in zip(want, got, strict=True):
                np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9, err_msg=str(seed))
