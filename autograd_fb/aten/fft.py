"""Discrete Fourier transforms, short-time transforms and what belongs to them, over the namespace's ``fft`` extension.

Three rows compute (complex to complex, real to complex, complex to real); each is linear and the others' transpose.
All else is composed of them, so that derivatives of any order follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from autograd_fb.aten.creation import default_dtype
from autograd_fb.aten.pointwise import conj
from autograd_fb.aten.reduction import holds, low_precision
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import device_of
from autograd_fb.core.dtype import described, get_default_dtype
from autograd_fb.core.geometry import normalize_dim, normalize_dims

_FAMILY = "fft"
NONE, BY_ROOT, BY_COUNT = 0, 1, 2  # the numbers of normalizations: by nothing, by the root of the count, by the count
_FORWARD = {NONE: "backward", BY_ROOT: "ortho", BY_COUNT: "forward"}  # the standard's names, of transforms
_INVERSE = {NONE: "forward", BY_ROOT: "ortho", BY_COUNT: "backward"}  # and of inverse transforms


# ------------------------------------------------------------------------------------------------ transforms


def _c2c(xp: Any, self: Any, dim: Sequence[int], normalization: int, forward: bool) -> Any:
    if not len(dim):
        return xp.asarray(self, copy=True)
    if forward:
        return xp.fft.fftn(self, axes=tuple(dim), norm=_FORWARD[normalization])
    return xp.fft.ifftn(self, axes=tuple(dim), norm=_INVERSE[normalization])


def _r2c(xp: Any, self: Any, dim: Sequence[int], normalization: int, onesided: bool) -> Any:
    if onesided:
        return xp.fft.rfftn(self, axes=tuple(dim), norm=_FORWARD[normalization])
    wide = getattr(xp, described(self.dtype).to_complex().name)
    return _c2c(xp, xp.astype(self, wide), dim, normalization, True)


def _c2r(xp: Any, self: Any, dim: Sequence[int], normalization: int, last_dim_size: int) -> Any:
    sizes = [*(self.shape[d] for d in dim[:-1]), last_dim_size]
    return xp.fft.irfftn(self, s=tuple(sizes), axes=tuple(dim), norm=_INVERSE[normalization])


def _r2c_backward(F: Any, grad: Any, self_shape: Any, dim: Any, normalization: int, onesided: bool) -> Any:
    """The transpose of a real transform: the inverse of the gradient, zeros where nothing was returned."""
    if onesided:
        missing = self_shape[dim[-1]] - grad.shape[dim[-1]]
        grad = _resized(F, grad, dim[-1], grad.shape[dim[-1]] + missing)
    return F.real(F._fft_c2c(grad, dim, normalization, False))


def _c2r_backward(F: Any, grad: Any, dim: Any, normalization: int, self_shape: Any) -> Any:
    """The transpose of a transform to real values: each frequency that stands for two gives twice."""
    out = F._fft_r2c(grad, dim, normalization, True)
    last, doubled = dim[-1], grad.shape[dim[-1]] - out.shape[dim[-1]]
    parts = [F.narrow(out, last, 0, 1), F.narrow(out, last, 1, doubled) * 2]
    parts.append(F.narrow(out, last, 1 + doubled, out.shape[last] - 1 - doubled))
    return F.cat([p for p in parts if p.shape[last]], last)


op("_fft_c2c(Tensor self, SymInt[] dim, int normalization, bool forward) -> Tensor", family=_FAMILY, kernel=_c2c,
   method=False, linear=("self",), backward={"self": lambda F, grad, dim, normalization, forward: F._fft_c2c(
       grad, dim, normalization, not forward)}, doc="The discrete Fourier transform of complex values.")
op("_fft_r2c(Tensor self, int[] dim, int normalization, bool onesided) -> Tensor", family=_FAMILY, kernel=_r2c,
   method=False, linear=("self",), backward={"self": _r2c_backward}, doc="The transform of real values.")
op("_fft_c2r(Tensor self, int[] dim, int normalization, SymInt last_dim_size) -> Tensor", family=_FAMILY, kernel=_c2r,
   method=False, linear=("self",), backward={"self": _c2r_backward},
   doc="The inverse transform of the half of a spectrum whose signal is real.")


# ------------------------------------------------------------------------------------------------ arguments


def _normalization(norm: str | None, forward: bool) -> int:
    if norm in (None, "backward"):
        return NONE if forward else BY_COUNT
    if norm == "forward":
        return BY_COUNT if forward else NONE
    if norm == "ortho":
        return BY_ROOT
    raise RuntimeError(f'Invalid normalization mode: "{norm}"')


def _floating(F: Any, x: Any, needs_complex: bool = False) -> Any:
    """The input as floating point numbers: integers in the default dtype; complex where that is needed."""
    if low_precision(x.dtype):
        raise RuntimeError(f"Unsupported dtype {described(x.dtype).torch_name}")
    d = described(x.dtype)
    wanted = d if d.kind in "fc" else get_default_dtype()
    wanted = wanted.to_complex() if needs_complex else wanted
    return x if d is wanted else F.to(x, wanted)


def _real_only(F: Any, name: str, x: Any, word: str = "real") -> Any:
    if described(x.dtype).is_complex:
        raise RuntimeError(
            f"{name} expects a {word} input tensor, but got {described(x.dtype).torch_name}"
        )
    return _floating(F, x)


def _resized(F: Any, x: Any, dim: int, size: int) -> Any:
    """Cut, or filled with zeros, at the end of a dim."""
    have = x.shape[dim]
    if have == size:
        return x
    if have > size:
        return F.narrow(x, dim, 0, size)
    return F.constant_pad_nd(x, [0, 0] * (x.ndim - 1 - dim) + [0, size - have], 0)


def _points(n: int) -> int:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _along(x: Any, dim: int) -> int:
    if not x.ndim:
        raise IndexError("Dimension specified as " + str(dim) + " but tensor has no dimensions")
    return normalize_dim(dim, x.ndim)


def _sizes_and_dims(x: Any, s: Any, dim: Any) -> tuple[list[int], list[int]]:
    """How many points each transformed dim has, and which dims those are; all by default."""
    given = None if s is None else [s] if isinstance(s, int) else list(s)
    if dim is not None:
        if not x.ndim and not isinstance(dim, int) and len(dim):
            _along(x, dim[0])
        try:
            dims = list(normalize_dims((dim,) if isinstance(dim, int) else tuple(dim), x.ndim))
        except IndexError:
            raise
        except RuntimeError:
            raise RuntimeError("FFT dims must be unique") from None
    elif given is not None:
        if len(given) > x.ndim:
            raise RuntimeError(f"Got shape with {len(given)} values but input tensor only has {x.ndim} dimensions.")
        dims = list(range(x.ndim - len(given), x.ndim))
    else:
        dims = list(range(x.ndim))
    if given is None:
        given = [-1] * len(dims)
    if len(given) != len(dims):
        raise RuntimeError("When given, dim and shape arguments must have the same length")
    return [_points(x.shape[d] if n == -1 else n) for n, d in zip(given, dims, strict=True)], dims


def _all_resized(F: Any, x: Any, sizes: Sequence[int], dims: Sequence[int]) -> Any:
    for n, d in zip(sizes, dims, strict=True):
        x = _resized(F, x, d, n)
    return x


# ------------------------------------------------------------------------------------------------ along one dim


def _one(forward: bool) -> Any:
    def transform(F: Any, self: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
        x = _floating(F, self)
        axis = _along(x, dim)
        x = _resized(F, x, axis, _points(x.shape[axis] if n is None else n))
        mode = _normalization(norm, forward)
        if described(x.dtype).is_complex:
            return F._fft_c2c(x, [axis], mode, forward)
        out = F._fft_r2c(x, [axis], mode, False)
        return out if forward else conj(F, out)

    return transform


def _halved(forward: bool, name: str) -> Any:
    def transform(F: Any, self: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
        x = _real_only(F, name, self)
        axis = _along(x, dim)
        x = _resized(F, x, axis, _points(x.shape[axis] if n is None else n))
        out = F._fft_r2c(x, [axis], _normalization(norm, forward), True)
        return out if forward else conj(F, out)

    return transform


def _doubled(forward: bool) -> Any:
    def transform(F: Any, self: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Any:
        x = _floating(F, self, True)
        axis = _along(x, dim)
        size = _points(2 * (x.shape[axis] - 1) if n is None else n)
        x = _resized(F, x, axis, size // 2 + 1)
        return F._fft_c2r(conj(F, x) if forward else x, [axis], _normalization(norm, forward), size)

    return transform


for _name, _composite, _doc in (
    ("fft", _one(True), "The discrete Fourier transform along a dim."),
    ("ifft", _one(False), "The inverse transform along a dim."),
    ("rfft", _halved(True, "rfft"), "The half of the spectrum of a real signal that tells all of it."),
    ("ihfft", _halved(False, "ihfft"), "The inverse of `hfft`."),
    ("irfft", _doubled(False), "The real signal of half a spectrum; ``n`` tells whether its length is odd."),
    ("hfft", _doubled(True), "The real spectrum of half of a signal that is Hermitian."),
):
    op(f"fft_{_name}(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor", family=_FAMILY,
       composite=_composite, method=False, doc=_doc)


# ------------------------------------------------------------------------------------------------ along several dims


def _several(forward: bool) -> Any:
    def transform(F: Any, self: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
        x = _floating(F, self, True)
        sizes, dims = _sizes_and_dims(x, s, dim)
        return F._fft_c2c(_all_resized(F, x, sizes, dims), dims, _normalization(norm, forward), forward)

    return transform


def _several_halved(forward: bool, name: str) -> Any:
    def transform(F: Any, self: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
        x = _real_only(F, name, self, "real-valued")
        sizes, dims = _sizes_and_dims(x, s, dim)
        if not dims:
            raise RuntimeError(f"{name} must transform at least one axis")
        out = F._fft_r2c(_all_resized(F, x, sizes, dims), dims, _normalization(norm, forward), True)
        return out if forward else conj(F, out)

    return transform


def _several_doubled(forward: bool, name: str) -> Any:
    def transform(F: Any, self: Any, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
        x = _floating(F, self, True)
        sizes, dims = _sizes_and_dims(x, s, dim)
        if not dims:
            raise RuntimeError(f"{name} must transform at least one axis")
        last_given = s is not None and (s if isinstance(s, int) else list(s)[-1]) != -1
        last = _points(sizes[-1] if last_given else 2 * (x.shape[dims[-1]] - 1))
        x = _all_resized(F, x, [*sizes[:-1], last // 2 + 1], dims)
        return F._fft_c2r(conj(F, x) if forward else x, dims, _normalization(norm, forward), last)

    return transform


for _name, _composite, _doc in (
    ("fft", _several(True), "The discrete Fourier transform along several dims."),
    ("ifft", _several(False), "The inverse transform along several dims."),
    ("rfft", _several_halved(True, "rfftn"), "The half of the spectrum of real values that tells all of it."),
    ("ihfft", _several_halved(False, "ihfftn"), "The inverse of `hfftn`."),
    ("irfft", _several_doubled(False, "irfftn"), "The real values of half a spectrum."),
    ("hfft", _several_doubled(True, "hfftn"), "The real spectrum of half of values that are Hermitian."),
):
    for _suffix, _dims in (("n", "int[1]? dim=None"), ("2", "int[1] dim=[-2,-1]")):
        op(f"fft_{_name}{_suffix}(Tensor self, SymInt[1]? s=None, {_dims}, str? norm=None) -> Tensor", family=_FAMILY,
           composite=_composite, method=False, doc=_doc)

# ------------------------------------------------------------------------------------------------ frequencies


def _shift(half: Any) -> Any:
    def shifted(F: Any, self: Any, dim: Any = None) -> Any:
        given = tuple(range(self.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        dims = list(normalize_dims(given, self.ndim))
        return F.roll(self, [half(self.shape[d]) for d in dims], dims) if dims else F.clone(self)

    return shifted


op("fft_fftshift(Tensor self, int[1]? dim=None) -> Tensor", family=_FAMILY, method=False, out=False,
   composite=_shift(lambda n: n // 2), doc="The frequency zero moved to the middle.")
op("fft_ifftshift(Tensor self, int[1]? dim=None) -> Tensor", family=_FAMILY, method=False, out=False,
   composite=_shift(lambda n: (n + 1) // 2), doc="The frequency zero moved back to the front.")

_OPTIONS = "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None"


def _frequencies(real: bool) -> Any:
    def kernel(
        xp: Any, n: int, d: float = 1.0, *, dtype: Any = None, layout: Any = None, device: Any = None,
        pin_memory: bool | None = None,
    ) -> Any:
        kind = default_dtype(xp, dtype)
        if described(kind).kind not in "fc":
            raise RuntimeError(
                f"{'rfftfreq' if real else 'fftfreq'} requires a floating point or complex dtype"
            )
        if real:
            places = xp.arange(n // 2 + 1, dtype=xp.int64, device=device)
        else:
            places = xp.arange(n, dtype=xp.int64, device=device)
            places = xp.where(places < (n + 1) // 2, places, places - n)
        return xp.astype(places, kind) * (1.0 / (n * d))

    return kernel


for _name, _real, _doc in (("fftfreq", False, "The frequencies of `fft`."), ("rfftfreq", True, "Those of `rfft`.")):
    op(f"fft_{_name}(int n, float d=1.0, *, {_OPTIONS}) -> Tensor", family=_FAMILY, kernel=_frequencies(_real),
       method=False, doc=_doc)


# ------------------------------------------------------------------------------------------------ short-time transforms


def _frame(
    name: str, given: str, n_fft: int, hop_length: int | None, win_length: int | None, window: Any
) -> tuple[int, int]:
    """The step between frames and the length of the window, checked."""
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    tail = (
        f"{name}({given}, n_fft={n_fft}, hop_length={hop}, win_length={length}, "
        f"window={'None' if window is None else 'torch.FloatTensor{' + str(list(window.shape)) + '}'})"
    )
    if hop <= 0:
        raise RuntimeError(f"{tail}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise RuntimeError(f"{tail}: expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and (window.ndim != 1 or window.shape[0] != length):
        raise RuntimeError(
            f"{tail}: expected a 1D window tensor of size equal to win_length={length}, but got window with size "
            f"{list(window.shape)}"
        )
    return hop, length


def _window(F: Any, like: Any, window: Any, length: int, n_fft: int) -> Any:
    """A window of ``n_fft`` values, the one given in the middle; None for one of ones."""
    if length == n_fft:
        return window
    kind = described(like.dtype).to_real()
    full = F.ones([length], dtype=kind, device=device_of(like)) if window is None else window
    left = (n_fft - length) // 2
    return F.constant_pad_nd(full, [left, n_fft - length - left], 0)


def _stft(
    F: Any, self: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
    center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
    return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Any:
    d = described(self.dtype)
    given = f"torch.{d.torch_name}Tensor{{{list(self.shape)}}}"
    if d.kind not in "fc":
        raise RuntimeError(f"stft({given}): expected a tensor of floating point or complex values")
    if self.ndim not in (1, 2):
        raise RuntimeError(f"stft({given}): expected a 1D or 2D tensor")
    windowed_complex = window is not None and described(window.dtype).is_complex
    if not return_complex and not (d.is_complex or windowed_complex) and return_complex is None:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will further require that "
            "return_complex=True in a future PyTorch release."
        )
    hop, length = _frame("stft", given, n_fft, hop_length, win_length, window)
    x = F.unsqueeze(self, 0) if self.ndim == 1 else self
    if center:
        if align_to_window is not None:
            raise RuntimeError("stft align_to_window should only be set when center = false.")
        wide = F.pad(F.unsqueeze(x, 0), [n_fft // 2, n_fft // 2], pad_mode)
        x = F.squeeze(wide, 0)
    if not 0 < n_fft <= x.shape[1]:
        raise RuntimeError(f"stft({given}): expected 0 < n_fft <= {x.shape[1]}, but got n_fft={n_fft}")
    onesided = not (d.is_complex or windowed_complex) if onesided is None else onesided
    frames = F.unfold(x, -1, n_fft, hop)
    weights = _window(F, x, window, length, n_fft)
    frames = frames if weights is None else frames * weights
    mode = BY_ROOT if normalized else NONE
    if described(frames.dtype).is_complex:
        if onesided:
            raise RuntimeError("Cannot have onesided output if window or input is complex")
        out = F._fft_c2c(frames, [2], mode, True)
    else:
        out = F._fft_r2c(frames, [2], mode, bool(onesided))
    out = F.transpose(out, 1, 2)
    out = F.squeeze(out, 0) if self.ndim == 1 else out
    complex_result = return_complex if return_complex is not None else d.is_complex or windowed_complex
    return out if complex_result else F.view_as_real(out)


def _istft(
    F: Any, self: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Any = None,
    center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None,
    return_complex: bool = False,
) -> Any:
    d = described(self.dtype)
    given = f"torch.{d.torch_name}Tensor{{{list(self.shape)}}}"
    if not d.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    hop, size = _frame("istft", given, n_fft, hop_length, win_length, window)
    if self.ndim not in (2, 3) or not prod(self.shape):
        raise RuntimeError(f"istft({given}): expected a tensor with 2 or 3 dims and elements, but got {self.ndim} dims")
    x = F.unsqueeze(self, 0) if self.ndim == 2 else self
    onesided = x.shape[1] != n_fft if onesided is None else onesided
    expected = n_fft // 2 + 1 if onesided else n_fft
    if x.shape[1] != expected:
        raise RuntimeError(
            f"istft({given}): expected the frequency dimension (3rd to the last) of the input tensor to match n_fft "
            f"{'/ 2 + 1 ' if onesided else ''}when onesided={onesided}, but got {x.shape[1]}"
        )
    if return_complex and onesided:
        raise RuntimeError("cannot have onesided output if window or input is complex")
    mode = BY_ROOT if normalized else BY_COUNT
    spectra = F.transpose(x, 1, 2)
    if return_complex:
        frames = F._fft_c2c(spectra, [2], mode, False)
    else:
        half = spectra if onesided else F.narrow(spectra, -1, 0, n_fft // 2 + 1)
        frames = F._fft_c2r(half, [2], mode, n_fft)
    kind = described(frames.dtype).to_real()
    weights = _window(F, frames, window, size, n_fft)
    weights = F.ones([n_fft], dtype=kind, device=device_of(frames)) if weights is None else weights
    count = x.shape[2]
    total = n_fft + hop * (count - 1)
    signal = F.unfold_backward(frames * weights, [frames.shape[0], total], 1, n_fft, hop)
    envelope = F.unfold_backward(
        F.expand(F.unsqueeze(weights * weights, 0), [count, n_fft]), [total], 0, n_fft, hop
    )
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - (n_fft // 2 if center else 0)
    signal = F.narrow(signal, 1, start, min(end, total) - start)
    envelope = F.narrow(envelope, 0, start, min(end, total) - start)
    if holds(lambda: F.min(F.abs(envelope)) < 1e-11):
        raise RuntimeError(f"istft({given}) window overlap add min: 1")
    out = signal / envelope
    if end > total:
        out = F.constant_pad_nd(out, [0, end - total], 0)
    return F.squeeze(out, 0) if self.ndim == 2 else out


_FRAMES = "int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None"
_STFT_TAIL = "bool normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None"
op(f'stft.center(Tensor self, {_FRAMES}, bool center=True, str pad_mode="reflect", {_STFT_TAIL}) -> Tensor',
   family=_FAMILY, composite=_stft, out=False, doc="Spectra of windows that move over a signal: (frequency, frame).")
op(f"istft(Tensor self, {_FRAMES}, bool center=True, bool normalized=False, bool? onesided=None, int? length=None, "
   "bool return_complex=False) -> Tensor", family=_FAMILY, composite=_istft, out=False,
   doc="The signal whose windows have these spectra: the inverse of `stft`.")
