"""Anomaly mode: which call of the forward a failing or nan-producing step of backward came from.

Note [What anomaly mode knows of a forward]
    Nodes remember the line that made them whether or not the mode is on, so nothing has to be recorded in a forward.
    The mode notes the sequence numbers given out while it is on: a node whose number is not among them is reported as
    in PyTorch, without a traceback, and with the line all the same. What a step of backward records (``create_graph``)
    is given that step as its parent, in ``metadata["parent_"]``.
"""

from __future__ import annotations

import sys
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.watching import set_watchers, watchers
from autograd_fb.core.callsite import source_line
from autograd_fb.graph.node import Node, Output, next_sequence
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.storage import AccumulateGrad
from autograd_fb.tensor.tensor import Tensor, wrap

_PARENT = "parent_"
_REMEMBERED = 1000  # of the latest times the mode was on


class _Times:
    """The sequence numbers given out while the mode is on: where each such time begins and ends, in order."""

    def __init__(self) -> None:
        self.bounds: list[int] = []

    def turn(self, on: bool) -> None:
        if on is not bool(len(self.bounds) % 2):
            if on:
                del self.bounds[: -2 * _REMEMBERED]
            self.bounds.append(next_sequence())

    def __contains__(self, sequence: int) -> bool:
        return bisect_right(self.bounds, sequence) % 2 == 1


_times = _Times()


class _Watch:
    """Runs the steps of backward one by one: says where a step was made when it raises, and looks for nan."""

    def __init__(self, check_nan: bool):
        self.check_nan = check_nan

    def around(self, node: Node, grad: Any, record: bool, run: Callable[[], Any]) -> Any:
        first = next_sequence()
        try:
            results = run()
            if self.check_nan:
                for i, result in enumerate(results):
                    if result is not None and _has_nan(result):
                        raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
        except Exception:
            for text in _reports(node):
                _tell(text)
            raise
        if record:
            _adopt(results, node, first)
        return results


def _adopt(results: Sequence[Any], parent: Node, first: int) -> None:
    """Note the parent of the nodes a step made: those behind its results with numbers from ``first`` on."""
    waiting = [t.node for t in results if isinstance(t, Tensor)]
    while waiting:
        edge = waiting.pop()
        node = edge.node if isinstance(edge, Output) else edge
        if node is None or isinstance(node, AccumulateGrad) or node.sequence < first or _PARENT in node.metadata:
            continue
        node.metadata[_PARENT] = parent
        waiting += node.edges


def _reports(node: Node) -> list[str]:
    """What is told of a failing step, and of the steps of earlier backwards that its calculation came from."""
    reports = [f"Error detected in {node.name()}. {_forward(node, 'that caused the error')}"]
    parent = node.metadata.get(_PARENT)
    while parent is not None:
        where = _forward(parent, "that induced the previous calculation")
        reports.append(f"\n\nPrevious calculation was induced by {parent.name()}. {where}")
        parent = parent.metadata.get(_PARENT)
    return reports


def _forward(node: Node, role: str) -> str:
    if node.code is None:
        return "No forward pass information available: no call made the node."
    if node.sequence in _times:
        return f"Traceback of forward call {role}:\n{source_line(node.code, node.lasti)}"
    return (
        "No forward pass information available: anomaly mode was off. Enable detect anomaly during forward pass for "
        f"more information. The node was made at {node.site()}."
    )


def _tell(text: str) -> None:
    """Warn; where warnings are errors, print instead: the error of the step is the one to be raised."""
    try:
        warnings.warn(text, UserWarning, stacklevel=3)
    except UserWarning as warning:
        print(f"{type(warning).__name__}: {warning}", file=sys.stderr)


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
    _times.turn(watch is not None)
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
