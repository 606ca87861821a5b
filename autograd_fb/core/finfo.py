"""`finfo` and `iinfo`: the limits of dtypes, as exact Python numbers."""

from __future__ import annotations

from typing import Any, NoReturn

from autograd_fb.core.dtype import DType, as_dtype, get_default_dtype

__all__ = ["finfo", "iinfo"]

# Bits of exponent, of fraction and the decimal digits that always survive, which give all other numbers.
_FORMATS: dict[str, tuple[int, int, int]] = {
    "float16": (5, 10, 3), "bfloat16": (8, 7, 2), "float32": (8, 23, 6), "float64": (11, 52, 15),
}


class _Info:
    """What finfo and iinfo share: read-only, equal by dtype, unhashable as in PyTorch."""

    __slots__ = ("bits", "dtype", "max", "min")

    bits: int
    dtype: str

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"attribute '{name}' of 'torch.{type(self).__name__}' objects is not writable")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.dtype == other.dtype

    __hash__ = None  # type: ignore[assignment]


class finfo(_Info):
    """The limits of a floating-point dtype: ``min max eps tiny smallest_normal resolution bits dtype``.

    A complex dtype means its parts' dtype; without argument it is the default dtype. TypeError for integers.

    >>> finfo(as_dtype(float)).eps
    2.220446049250313e-16
    """

    __slots__ = ("eps", "resolution", "smallest_normal", "tiny")

    min: float
    max: float
    eps: float
    tiny: float
    smallest_normal: float
    resolution: float

    def __init__(self, type: Any = None) -> None:
        dtype: DType = get_default_dtype() if type is None else as_dtype(type, "finfo", "'type' (position 1)")
        if dtype.kind not in "fc":
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"
            )
        name = dtype.to_real().name
        exponent, fraction, digits = _FORMATS[name]
        bias = 2 ** (exponent - 1) - 1
        largest = float((2 ** (fraction + 1) - 1) * 2 ** (bias - fraction))
        tiny = 2.0 ** (1 - bias)
        self._set(
            min=-largest, max=largest, eps=2.0**-fraction, tiny=tiny, smallest_normal=tiny,
            resolution=float(f"1e-{digits}"), bits=8 * dtype.to_real().itemsize, dtype=name,
        )

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo(_Info):
    """The limits of an integer dtype: ``min max bits dtype``. TypeError for bool, floating-point and complex.

    >>> iinfo(as_dtype(int)).max
    9223372036854775807
    """

    __slots__ = ()

    min: int
    max: int

    def __init__(self, type: Any) -> None:
        dtype = as_dtype(type, "iinfo", "'type' (position 1)")
        if dtype.kind == "b":
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if dtype.kind in "fc":
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        bits = 8 * dtype.itemsize
        low, high = (0, 2**bits - 1) if dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        self._set(min=low, max=high, bits=bits, dtype=dtype.name)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
