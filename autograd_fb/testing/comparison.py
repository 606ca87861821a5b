"""`assert_close`: PyTorch's comparison of tensors, numbers and containers of them, with its tolerances and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autograd_fb.core.dtype import DType
from autograd_fb.core.promotion import promote_types
from autograd_fb.tensor.factory import as_tensor
from autograd_fb.tensor.tensor import Tensor

__all__ = ["assert_close"]

_TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip


class _Options:
    """What one call of `assert_close` asks for."""

    def __init__(self, **options: Any):
        self.rtol: float | None = options["rtol"]
        self.atol: float | None = options["atol"]
        self.equal_nan: bool = options["equal_nan"]
        self.check_device: bool = options["check_device"]
        self.check_dtype: bool = options["check_dtype"]
        self.check_stride: bool = options["check_stride"]
        self.msg: str | Callable[[str], str] | None = options["msg"]

    def fail(self, message: str, where: str, kind: type[Exception] = AssertionError) -> None:
        if where:
            message += f"\n\nThe failure occurred for item {where}"
        if callable(self.msg):
            message = self.msg(message)
        raise kind(self.msg if isinstance(self.msg, str) else message)

    def tolerances(self, actual: DType, expected: DType) -> tuple[float, float]:
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        pairs = [_TOLERANCES.get(d.name, (0.0, 0.0)) for d in (actual, expected)]
        return max(p[0] for p in pairs), max(p[1] for p in pairs)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless ``|actual - expected| <= atol + rtol * |expected|``, and dtypes and devices agree.

    Tolerances depend on the dtype unless given. Sequences and mappings are compared item by item.

    >>> import autograd_fb as torch
    >>> assert_close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.000001]))
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    options = _Options(rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=check_device, check_dtype=check_dtype,
                       check_stride=check_stride, msg=msg)  # fmt: skip
    _compare(actual, expected, options, "")


def _compare(actual: Any, expected: Any, options: _Options, where: str) -> None:
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            missing = sorted(map(str, expected.keys() - actual.keys()))
            extra = sorted(map(str, actual.keys() - expected.keys()))
            options.fail("The keys of the mappings do not match:\n"
                         f"Missing keys in the actual mapping: {missing}\n"
                         f"Additional keys in the actual mapping: {extra}", where)  # fmt: skip
        for key in expected:
            _compare(actual[key], expected[key], options, f"{where}[{key!r}]")
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            options.fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", where)
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, b, options, f"{where}[{i}]")
    elif actual is None or expected is None:
        if actual is not expected:
            options.fail(f"None mismatch: {actual} is not {expected}", where)
    elif isinstance(actual, (bool, int, float, complex)) and isinstance(expected, (bool, int, float, complex)):
        _numbers(actual, expected, options, where)
    else:
        _tensors(*_pair(actual, expected, options, where), options, where)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _pair(actual: Any, expected: Any, options: _Options, where: str) -> tuple[Tensor, Tensor]:
    """Both as tensors; TypeError for what cannot be compared."""
    tensors = isinstance(actual, Tensor) and isinstance(expected, Tensor)
    if not tensors and (type(actual) is not type(expected) or isinstance(actual, str)):
        kinds = f"{type(actual)} and {type(expected)}"
        options.fail(f"No comparison pair was able to handle inputs of type {kinds}.", where, TypeError)
    return as_tensor(actual).detach(), as_tensor(expected).detach()


def _numbers(actual: Any, expected: Any, options: _Options, where: str) -> None:
    kinds = {bool: "int64", int: "int64", float: "float64", complex: "complex128"}
    if options.check_dtype and type(actual) is not type(expected):
        options.fail(f"The (d)types do not match: {type(actual)} != {type(expected)}.", where)
    pairs = [_TOLERANCES.get(kinds.get(type(v), "float64"), (0.0, 0.0)) for v in (actual, expected)]
    rtol = options.rtol if options.rtol is not None else max(p[0] for p in pairs)
    atol = options.atol if options.atol is not None else max(p[1] for p in pairs)
    both_nan = actual != actual and expected != expected
    if actual == expected or (both_nan and options.equal_nan):
        return
    difference = abs(actual - expected)
    if difference <= atol + rtol * abs(expected):
        return
    if not rtol and not atol:
        options.fail(f"Scalars are not equal!\n\nExpected {expected} but got {actual}.\n"
                     f"Absolute difference: {difference}\n"
                     f"Relative difference: {_ratio(difference, abs(expected))}", where)  # fmt: skip
    options.fail(f"Scalars are not close!\n\nExpected {expected} but got {actual}.\n"
                 f"Absolute difference: {difference} (up to {atol} allowed)\n"
                 f"Relative difference: {_ratio(difference, abs(expected))} (up to {rtol} allowed)", where)  # fmt: skip


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("inf")


def _tensors(actual: Tensor, expected: Tensor, options: _Options, where: str) -> None:
    if actual.shape != expected.shape:
        options.fail(f"The values for attribute 'shape' do not match: {actual.shape} != {expected.shape}.", where)
    checks = (("device", options.check_device), ("dtype", options.check_dtype), ("stride()", options.check_stride))
    for name, wanted in checks:
        a, b = (getattr(t, name.removesuffix("()")) for t in (actual, expected))
        a, b = (a(), b()) if name.endswith("()") else (a, b)
        if wanted and a != b:
            options.fail(f"The values for attribute '{name}' do not match: {a} != {b}.", where)
    if actual.is_meta or expected.is_meta:
        return
    rtol, atol = options.tolerances(actual.dtype, expected.dtype)
    dtype = promote_types(actual.dtype, expected.dtype)
    actual, expected = actual.to("cpu").to(dtype), expected.to("cpu").to(dtype)
    close = actual.isclose(expected, rtol, atol, options.equal_nan)
    if bool(close.all()):
        return
    options.fail(_difference(actual, expected, close, rtol, atol), where)


def _difference(actual: Tensor, expected: Tensor, close: Tensor, rtol: float, atol: float) -> str:
    """How many elements differ, and where the greatest differences are."""
    exact = not rtol and not atol
    if actual.dtype.kind in "bui":
        actual, expected = actual.long(), expected.long()
    title = f"{'Scalars' if not actual.ndim else 'Tensor-likes'} are not {'equal' if exact else 'close'}!"
    absolute = (actual - expected).abs()
    relative = absolute / expected.abs()
    lines = [title, ""]
    if not actual.ndim:
        lines.append(f"Expected {expected.item()} but got {actual.item()}.")
    else:
        count, total = int((~close).sum()), actual.numel()
        lines.append(f"Mismatched elements: {count} / {total} ({100 * count / total:.1f}%)")
    ignored = close
    for name, values, allowed in (("absolute", absolute, atol), ("relative", relative, rtol)):
        shown = values.double().masked_fill(ignored, 0)
        place = int(shown.flatten().argmax())
        value = values.flatten()[place].item()
        limit = "" if exact else f" (up to {allowed} allowed)"
        if not actual.ndim:
            lines.append(f"{name.capitalize()} difference: {value}{limit}")
        else:
            lines.append(f"Greatest {name} difference: {value} at index {_index(place, actual.shape)}{limit}")
    return "\n".join(lines)


def _index(place: int, shape: Sequence[int]) -> tuple[int, ...]:
    out = []
    for n in reversed(shape):
        place, rest = divmod(place, n)
        out.append(rest)
    return tuple(out[::-1])
