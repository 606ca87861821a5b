"""Text of tensors, in PyTorch's format.

Works on nested lists of Python numbers, which the caller fetches: so printing needs no array library and no tensor
operation, and a large tensor hands over only the elements that are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from autograd_fb.core.device import Device
from autograd_fb.core.dtype import DType, bool_, get_default_dtype, int64
from autograd_fb.core.promotion import default_complex_dtype

__all__ = ["edge_positions", "get_printoptions", "is_summarized", "printoptions", "set_printoptions", "tensor_str"]

Nested = Any  # a number, or a list of Nested


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES: dict[str, tuple[int, float, int, int]] = {
    "default": (4, 1000, 3, 80),
    "short": (2, 1000, 2, 80),
    "full": (4, math.inf, 3, 80),
}

_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed, for all threads; what is None stays, except ``sci_mode``, which is reset.

    ``profile`` ("default", "short", "full") is applied first. ValueError for another profile.

    >>> set_printoptions(precision=2)
    >>> set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(
                f"set_printoptions(profile={profile!r}): unknown profile; expected one of {', '.join(_PROFILES)}"
            )
        _options.precision, _options.threshold, _options.edgeitems, _options.linewidth = _PROFILES[profile]
    if precision is not None:
        _options.precision = precision
    if threshold is not None:
        _options.threshold = threshold
    if edgeitems is not None:
        _options.edgeitems = edgeitems
    if linewidth is not None:
        _options.linewidth = linewidth
    _options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The options in force, as keyword arguments of `set_printoptions`.

    >>> get_printoptions()["precision"]
    4
    """
    return asdict(_options)


@contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Set print options for the length of a ``with`` block.

    >>> with printoptions(precision=2):
    ...     get_printoptions()["precision"]
    2
    """
    before = get_printoptions()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        set_printoptions(**before)


def is_summarized(shape: Sequence[int]) -> bool:
    """Whether a tensor of this shape has more elements than the options let print in full.

    >>> is_summarized((2, 3)), is_summarized((10, 1000))
    (False, True)
    """
    return math.prod(shape) > _options.threshold


def edge_positions(size: int, edge: int) -> list[int]:
    """The positions along an axis that a summary shows: all, or the first and last ``edge`` of a longer axis.

    >>> edge_positions(4, 3), edge_positions(100, 2)
    ([0, 1, 2, 3], [0, 1, 98, 99])
    """
    if size <= 2 * edge:
        return list(range(size))
    return [*range(edge), *range(size - edge, size)]


def _cut(values: Nested, depth: int, edge: int) -> Nested:
    """The summary of complete nested lists."""
    if not depth:
        return values
    return [_cut(values[i], depth - 1, edge) for i in edge_positions(len(values), edge)]


def _flatten(values: Nested, depth: int) -> list[Any]:
    if not depth:
        return [values]
    for _ in range(depth - 1):
        values = [inner for outer in values for inner in outer]
    return list(values)


def _as_text(value: Any) -> str:
    return str(value)


class _Style:
    """One form for all numbers of a tensor: how each is written and how wide the column is."""

    __slots__ = ("width", "write")

    def __init__(self, values: list[Any], floating: bool) -> None:
        self.width = 1
        self.write: Callable[[Any], str] = _as_text
        measured = values
        if floating:
            # The column is as wide as the widest finite number other than zero; only these also choose the form.
            measured = [v for v in values if v and math.isfinite(v)]
            self._choose(measured)
        width = max((len(self.write(v)) for v in measured), default=1)
        self.width = max(1, width)

    def _choose(self, finite: list[float]) -> None:
        precision = _options.precision
        sizes = [abs(v) for v in finite]
        scientific = False
        if sizes:
            low, high = min(sizes), max(sizes)
            scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
            if _options.sci_mode is not None:
                scientific = _options.sci_mode
        if scientific:
            self.write = f"{{:.{precision}e}}".format
        elif all(v == math.trunc(v) for v in finite):
            self.write = _whole
        else:
            self.write = f"{{:.{precision}f}}".format

    def __call__(self, value: Any) -> str:
        return self.write(value).rjust(self.width)


def _whole(value: float) -> str:
    """A float without decimals; the point tells that it is one, which inf and nan tell by themselves."""
    text = f"{value:.0f}"
    return text + "." if math.isfinite(value) else text


class _Layout:
    """Writes the nested lists of one tensor with brackets, line breaks and the ellipsis of cut axes."""

    def __init__(self, shape: Sequence[int], write: Callable[[Any], str], width: int, cut: bool) -> None:
        self.shape = shape
        self.write = write
        self.width = width
        self.cut = cut

    def _is_cut(self, axis: int) -> bool:
        return self.cut and self.shape[axis] > 2 * _options.edgeitems

    def text(self, values: Nested, indent: int, axis: int = 0) -> str:
        left = len(self.shape) - axis
        if left == 0:
            return self.write(values)
        if left == 1:
            return self._row(values, indent, axis)
        parts = [self.text(inner, indent + 1, axis + 1) for inner in values]
        if self._is_cut(axis):
            edge = _options.edgeitems
            parts = [*parts[:edge], "...", *parts[edge:]]
        return "[" + ("," + "\n" * (left - 1) + " " * (indent + 1)).join(parts) + "]"

    def _row(self, values: Nested, indent: int, axis: int) -> str:
        items = [self.write(v) for v in values]
        if self._is_cut(axis):
            edge = _options.edgeitems
            items = [*items[:edge], " ...", *items[edge:]]
        per_line = max(1, (_options.linewidth - indent) // self.width)
        lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _values_text(shape: Sequence[int], values: Nested, dtype: DType, indent: int, cut: bool) -> str:
    """The brackets and numbers between ``tensor(`` and the suffixes."""
    flat = _flatten(values, len(shape))
    if not dtype.is_complex:
        style = _Style(flat, dtype.is_floating_point)
        return _Layout(shape, style, style.width + 2, cut).text(values, indent)
    real = _Style([v.real for v in flat], True)
    imag = _Style([v.imag for v in flat], True)

    def write(value: complex) -> str:
        second = (imag(value.imag) + "j").lstrip()
        return real(value.real) + (second if second[0] in "+-" else "+" + second)

    return _Layout(shape, write, real.width + imag.width + 3, cut).text(values, indent)


def _join(head: str, suffixes: list[str], indent: int) -> str:
    """Append the suffixes, each on the line before it where that has room."""
    text = [head]
    # One more than what is written: PyTorch counts so, and breaks lines accordingly.
    used = len(head) - head.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options.linewidth:
            text.append(",\n" + " " * indent + suffix)
            used = indent + len(suffix)
        else:
            text.append(", " + suffix)
            used += len(suffix) + 2
    return "".join(text) + ")"


def _is_default(dtype: DType) -> bool:
    """Whether a tensor literal would get this dtype, so that it need not be named."""
    return dtype in (get_default_dtype(), default_complex_dtype(), int64, bool_)


def _contents(
    shape: Sequence[int],
    tolist: Callable[[], Nested],
    edge_items: Callable[[int], Nested] | None,
    dtype: DType,
    indent: int,
) -> str:
    """Fetch the elements that are shown and write them."""
    cut = is_summarized(shape)
    edge = _options.edgeitems
    if cut and not edge:
        return "[...]"
    if not cut:
        values = tolist()
    elif edge_items is not None:
        values = edge_items(edge)
    else:
        values = _cut(tolist(), len(shape), edge)
    return _values_text(shape, values, dtype, indent, cut)


def tensor_str(
    shape: Sequence[int],
    tolist: Callable[[], Nested],
    *,
    dtype: DType,
    device: Device,
    requires_grad: bool = False,
    edge_items: Callable[[int], Nested] | None = None,
    grad_fn_name: str | None = None,
    is_meta: bool = False,
    size_text: str | None = None,
    name: str = "tensor",
    is_parameter: bool = False,
    tangent: str | None = None,
) -> str:
    """The repr of a tensor, as PyTorch writes it.

    ``tolist()`` gives all elements as nested lists (a number for 0-d). ``edge_items(n)`` gives them with every axis
    longer than ``2 * n`` cut to its first and last ``n`` positions (`edge_positions`); it is what is called above
    the threshold, so that only these leave the device, and by default is cut from ``tolist()``. Neither is called for
    meta and empty tensors. ``size_text`` replaces the shape in ``size=``; ``name`` is the class name of a subclass.

    >>> from autograd_fb.core.dtype import float32
    >>> tensor_str((2,), lambda: [1.0, 2.5], dtype=float32, device=Device("cpu"), grad_fn_name="AddBackward0")
    'tensor([1.0000, 2.5000], grad_fn=<AddBackward0>)'
    """
    indent = len(name) + 1
    suffixes = []
    size = f"size={tuple(shape) if size_text is None else size_text}"
    if device.type != "cpu":
        suffixes.append(f"device='{device}'")
    if is_meta or 0 in shape:
        body = "..." if is_meta else "[]"
        if is_meta or len(shape) != 1:
            suffixes.append(size)
        if dtype is not get_default_dtype():
            suffixes.append(f"dtype={dtype!r}")
    else:
        body = _contents(shape, tolist, edge_items, dtype, indent)
        if not _options.edgeitems:
            suffixes.append(size)
        if not _is_default(dtype):
            suffixes.append(f"dtype={dtype!r}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")
    text = _join(f"{name}({body}", suffixes, indent)
    return "Parameter containing:\n" + text if is_parameter else text
