"""Anomaly mode: which call of the forward a failing or nan-producing step of backward came from."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from autograd_fb.autograd.watching import set_watchers, watchers
from autograd_fb.graph.node import Node
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.tensor import Tensor, wrap


class _Watch:
    """Runs the steps of backward one by one: says where a step was made when it raises, and looks for nan."""

    def __init__(self, check_nan: bool):
        self.check_nan = check_nan

    def around(self, node: Node, grad: Any, record: bool, run: Callable[[], Any]) -> Any:
        try:
            results = run()
            if self.check_nan:
                for i, result in enumerate(results):
                    if result is not None and _has_nan(result):
                        raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
        except Exception:
            warnings.warn(_report(node), UserWarning, stacklevel=2)
            raise
        return results


def _report(node: Node) -> str:
    where = node.site()
    if not where:
        return f"Error detected in {node.name()}. No forward pass information available: no call made the node."
    return f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n  {where}"


def _has_nan(value: Any) -> bool:
    t = value if isinstance(value, Tensor) else wrap(value)
    if not (t.dtype.is_floating_point or t.dtype.is_complex) or not t.binding.backend.traits.has_values:
        return False
    return bool(tensor_namespace().isnan(t.detach()).any().item())


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Turn anomaly mode on or off for the process."""
    _set(_Watch(check_nan) if enabled else None)


def is_anomaly_enabled() -> bool:
    """Whether backward runs in anomaly mode."""
    return _active() is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for nan."""
    active = _active()
    return active is not None and active.check_nan


def _active() -> _Watch | None:
    return next((w for w in watchers() if isinstance(w, _Watch)), None)


def _set(watch: _Watch | None) -> None:
    """Let this be the only anomaly mode in force; others who watch stay."""
    others = tuple(w for w in watchers() if not isinstance(w, _Watch))
    set_watchers(others if watch is None else (*others, watch))


class set_detect_anomaly:
    """Turns anomaly mode on or off for the process; as a context manager, until the block ends.

    In anomaly mode a step of backward that raises is reported with the line of the forward that made it, and with
    ``check_nan`` a step that gives nan raises RuntimeError. Steps are slower: use it to find errors.

    >>> import autograd_fb as torch
    >>> with torch.autograd.set_detect_anomaly(True):
    ...     torch.autograd.anomaly.is_anomaly_enabled()
    True
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = _active()
        _set(_Watch(check_nan) if mode else None)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        _set(self._before)


class detect_anomaly:
    """Anomaly mode for a block. See `set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan
        self._before: _Watch | None = None
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = _active()
        _set(_Watch(self.check_nan))

    def __exit__(self, *error: object) -> None:
        _set(self._before)
