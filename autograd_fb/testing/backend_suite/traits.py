"""What a library does, measured, against what its backend declares in `Traits`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from autograd_fb.backend.protocol import Backend, Traits
from autograd_fb.core.dtype import ALL_DTYPES, DType

UNMEASURED = ("lazy_values", "asynchronous", "free_values")  # an answer would have to wait for what it asks about
# Traits that a backend may have and not declare: it is then served more slowly, not wrongly.
MODEST = ("aliasing", "strided", "negative_strides", "checks_bounds")


def measure_traits(backend: Backend) -> Traits:
    """The traits of a backend's library, by a few small experiments; those of `UNMEASURED` as declared.

    >>> from autograd_fb.backend.registry import load
    >>> measure_traits(load("cpu").backend).scalar_results
    True
    """
    declared = backend.traits
    measured: dict[str, Any] = {name: getattr(declared, name) for name in UNMEASURED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in Traits._fields:
            if name not in measured and name != "dtypes":
                measured[name] = _attempt(_EXPERIMENTS[name], backend)
        names = (d.name for d in ALL_DTYPES if _works(backend, d))
        return Traits(**measured, dtypes=frozenset(names))


def differences(backend: Backend) -> tuple[list[str], list[str]]:
    """What the backend declares and is not so; what it could declare and does not."""
    declared, measured = backend.traits, measure_traits(backend)
    wrong, modest = [], []
    for name in Traits._fields:
        said, is_so = getattr(declared, name), getattr(measured, name)
        if name == "dtypes":
            if said - is_so:
                wrong.append(f"dtypes: {', '.join(sorted(said - is_so))} declared, but do not work")
            if is_so - said:
                modest.append(f"dtypes: {', '.join(sorted(is_so - said))} work, but are not declared")
        elif said != is_so:
            text = f"{name}: {said} declared, {is_so} measured"
            (modest if name in MODEST and not said else wrong).append(text)
    return wrong, modest


def _attempt(experiment: Any, backend: Backend) -> bool:
    """What an experiment finds; what cannot even be tried the library cannot do."""
    try:
        return bool(experiment(backend))
    except Exception:
        return False


def _numbers(backend: Backend) -> Any:
    return backend.from_numpy(np.arange(6, dtype="int64" if not backend.traits.dtypes else _integer(backend)))


def _integer(backend: Backend) -> str:
    return next(d for d in ("int64", "int32", "float32", "float64") if d in backend.traits.dtypes)


def _aliasing(backend: Backend) -> bool:
    base = _numbers(backend)
    if not backend.traits.has_values:
        return backend.geometry(base[2:4]) == ((2,), (1,), 2)
    base[2:4][...] = backend.from_numpy(np.asarray([7, 8], _integer(backend)))
    return list(backend.to_numpy(base)[2:4]) == [7, 8]


def _strided(backend: Backend) -> bool:
    base = _numbers(backend)
    if backend.geometry(base[1:]) != ((5,), (1,), 1):
        return False
    view = backend.as_strided(base, (2, 2), (2, 1), 1)
    if not backend.traits.has_values:
        return tuple(view.shape) == (2, 2)
    view[0, 0] = 9
    return int(backend.to_numpy(base)[1]) == 9


def _negative_strides(backend: Backend) -> bool:
    base = _numbers(backend)
    view = base[::-1]
    if not backend.traits.has_values:
        return backend.geometry(view) == ((6,), (-1,), 5)
    view[0] = 9
    return int(backend.to_numpy(base)[5]) == 9


def _scalar_results(backend: Backend) -> bool:
    xp, base = backend.xp, _numbers(backend)
    zero_dim = xp.reshape(base[:1], ())
    results = (xp.sum(base), zero_dim + zero_dim, xp.negative(zero_dim), base[1], xp.max(base))
    return not all(isinstance(r, backend.array_types) for r in results)


def _checks_bounds(backend: Backend) -> bool:
    """The library refuses an index that is too large; without values nothing can be known."""
    if not backend.traits.has_values:
        return backend.traits.checks_bounds
    base = _numbers(backend)
    index = backend.from_numpy(np.asarray([1, 99]))
    try:
        backend.to_numpy(backend.xp.take(base, index, axis=0))
    except IndexError:
        return True
    except Exception as error:
        return "bound" in str(error)
    return False


def _has_values(backend: Backend) -> bool:
    return list(backend.to_numpy(_numbers(backend))) == list(range(6))


def _works(backend: Backend, dtype: DType) -> bool:
    """Whether arrays of a dtype come in, can be added or combined, keep the dtype, and come back."""
    try:
        host = np.asarray([1, 0, 1]).astype(dtype.name if dtype.name != "bfloat16" else _bfloat16())
        a = backend.from_numpy(host)
        combined = backend.xp.logical_or(a, a) if dtype.kind == "b" else a * a
        if backend.dtype_of(combined) is not dtype:
            return False
        return not backend.traits.has_values or bool(np.all(backend.to_numpy(combined).astype(host.dtype) == host))
    except Exception:
        return False


def _bfloat16() -> Any:
    import ml_dtypes

    return ml_dtypes.bfloat16


_EXPERIMENTS = {
    "aliasing": _aliasing, "strided": _strided, "negative_strides": _negative_strides, "has_values": _has_values,
    "scalar_results": _scalar_results, "checks_bounds": _checks_bounds,
}  # fmt: skip
