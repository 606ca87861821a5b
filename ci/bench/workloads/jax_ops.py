"""Operations on device ``xla`` against the same in raw `jax.numpy`: what the framework adds to a library's own call.

The column of the other framework holds raw JAX here, so that the target is a ratio to it.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from ci.bench.case import Case, Workload, add

ROWS = np.linspace(-1.0, 2.0, 256).reshape(16, 16)
STATEMENTS = {  # name -> (ours, JAX's, NumPy's)
    "mul": ("x * y", "x * y", "x * y"),
    "sin": ("x.sin()", "jnp.sin(x)", "np.sin(x)"),
    "relu": ("x.relu()", "jnp.maximum(x, 0)", "np.maximum(x, 0)"),
    "sum": ("x.sum()", "jnp.sum(x)", "x.sum()"),
    "mm": ("x @ y", "x @ y", "x @ y"),
    "softmax": ("x.softmax(1)", "jax.nn.softmax(x, axis=1)", "np.exp(x) / np.exp(x).sum(1, keepdims=True)"),
    "getitem": ("x[3:5]", "x[3:5]", "x[3:5]"),
    "reshape": ("x.reshape(8, 32)", "x.reshape(8, 32)", "x.reshape(8, 32)"),
}
WRITES = {
    "setitem": ("z[3:5] = 1.0", "w = z.at[3:5].set(1.0)", "z[3:5] = 1.0"),
    "add_": ("z.add_(y)", "w = z + y", "np.add(z, y, out=z)"),
}
TARGET = 3.0


def _framework(ours: str, theirs: str, taped: bool) -> Any:
    def framework(torch: Any) -> Case:
        jax = importlib.import_module("jax")
        if torch.__name__ != "autograd_fb":
            x = jax.numpy.asarray(ROWS.astype(np.float32))
            scope = {"x": x, "y": x + 1, "z": x, "jnp": jax.numpy, "jax": jax}
            return Case(theirs, scope, lambda: [_value(theirs, scope)])
        x = torch.from_numpy(ROWS.astype(np.float32)).to("xla")
        scope = {"x": x.requires_grad_() if taped else x, "y": x.detach() + 1, "z": x.detach().clone()}
        return Case(ours, scope, lambda: [_value(ours, scope)])

    return framework


def _floor(statement: str) -> Any:
    def floor(dtype: Any) -> Case:
        x = ROWS.astype(dtype)
        scope = {"x": x, "y": x + 1, "z": x.copy(), "np": np}
        return Case(statement, scope, lambda: [_value(statement, scope)])

    return floor


def _value(statement: str, scope: dict[str, Any]) -> Any:
    """What an expression gives; where ``z`` is written, a copy of it after that."""
    if "z" not in statement:
        found = eval(statement, scope)
    else:
        z = scope["z"]
        inner = {**scope, "z": z.clone() if hasattr(z, "clone") else z.copy()}
        exec(statement, inner)
        found = inner.get("w", inner["z"])
    if hasattr(found, "detach"):
        return found.detach().cpu()
    return np.asarray(found)


if importlib.util.find_spec("jax") is not None:
    GROUP = "taped op on 16 x 16 elements on `xla`; in torch's column raw jax.numpy"
    for _name, (_ours, _jax, _numpy) in STATEMENTS.items():
        add(Workload(f"xla.{_name}", GROUP, _framework(_ours, _jax, True), _floor(_numpy), TARGET))
    GROUP = "write to 16 x 16 elements on `xla`; in torch's column raw jax.numpy"
    for _name, (_ours, _jax, _numpy) in WRITES.items():
        add(Workload(f"xla.{_name}", GROUP, _framework(_ours, _jax, False), _floor(_numpy), TARGET))
