"""Samples of the Fourier transforms."""

from __future__ import annotations

from typing import Any

from autograd_fb.testing.samples import Sample, array, is_complex, is_integral, samples

HALF = ("float16", "bfloat16")


def transforms(*keys: str, takes: str, rows: tuple[tuple[Any, ...], ...]) -> None:
    """Register samples ``(shape, *arguments)`` of rows that take complex numbers, real ones, or both and integers."""

    def make(rng: Any, dtype: str) -> list[Sample]:
        known = {"complex": is_complex(dtype), "floating": not is_complex(dtype) and not is_integral(dtype),
                 "real": not is_complex(dtype), "all": True}  # fmt: skip
        if dtype in HALF or not known[takes]:
            return []
        return [Sample((array(rng, dtype, shape), *rest), name=f"{shape} {rest}") for shape, *rest in rows]

    for key in keys:
        samples(key)(make)


transforms("_fft_c2c", takes="complex",
           rows=(((3, 4), [1], 0, True), ((3, 4), [0, 1], 1, False), ((5,), [0], 2, True)))
transforms("_fft_r2c", takes="floating",
           rows=(((3, 4), [1], 0, True), ((3, 5), [1, 0], 1, True), ((4,), [0], 2, False)))
transforms("_fft_c2r", takes="complex", rows=(((3, 4), [1], 0, 6), ((3, 4), [0, 1], 1, 7), ((2,), [0], 2, 2)))
ONE = (((3, 4),), ((3, 4), 6, 0), ((3, 5), 3, -1, "ortho"), ((4,), None, 0, "forward"))
transforms("fft_fft", "fft_ifft", "fft_irfft", "fft_hfft", takes="all", rows=ONE)
transforms("fft_rfft", "fft_ihfft", takes="real", rows=ONE)
SEVERAL = (((3, 4),), ((3, 4), [5, 3]), ((2, 3, 4), None, [0, -1], "ortho"), ((2, 3), [4], [1], "forward"))
PAIRS = (((3, 4),), ((2, 3, 4), [4, 3]), ((3, 4), None, [1, 0], "ortho"))
for _ending, _rows in (("n", SEVERAL), ("2", PAIRS)):
    transforms(*(f"fft_{name}{_ending}" for name in ("fft", "ifft", "irfft", "hfft")), takes="all", rows=_rows)
    transforms(*(f"fft_{name}{_ending}" for name in ("rfft", "ihfft")), takes="real", rows=_rows)
for _name in ("fft_fftshift", "fft_ifftshift"):
    transforms(_name, takes="all", rows=(((5,),), ((3, 4), [0]), ((2, 3), [0, 1])))


@samples("fft_fftfreq", "fft_rfftfreq")
def _frequencies(rng: Any, dtype: str) -> list[Sample]:
    return [Sample(row, name=str(row), grad=False) for row in ((5,), (6, 0.5), (1, 2.0))] if dtype == "float32" else []


@samples("stft.center")
def _stft(rng: Any, dtype: str) -> list[Sample]:
    if is_integral(dtype) or dtype in HALF:
        return []
    x, window = array(rng, dtype, (2, 12)), array(rng, dtype, (3,), 0.5, 1.0).real.copy()
    return [Sample((x, 4, 2), {"return_complex": True}, "rows"),
            Sample((x[0], 4, 3, 3, window), {"return_complex": False}, "a window, parts"),
            Sample((x, 4, 2, None, None, False), {"return_complex": True, "onesided": False, "normalized": True},
                   "plain")]


@samples("istft")
def _istft(rng: Any, dtype: str) -> list[Sample]:
    if not is_complex(dtype):
        return []
    return [Sample((array(rng, dtype, (2, 3, 5)), 4, 2), name="rows"),
            Sample((array(rng, dtype, (4, 5)), 4, 1), {"onesided": False, "length": 7}, "to a length")]
