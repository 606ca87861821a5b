"""dask on device ``lazy``: chunked arrays whose values are computed when they are asked for, here or on a cluster.

Note [Lazy values]
    Forward, backward and the steps of an optimizer only build dask's graph. Values are computed by ``cpu()``,
    ``item()``, ``tolist()``, ``bool()``, ``numpy(force=True)`` and by printing; `autograd_fb.backends.compute` and
    `autograd_fb.backends.materialize` do it for several tensors at once, so that what they share is computed once.
    Inside operators nothing is: what a kernel would look at to refuse wrong values becomes part of the graph and is
    told of when that is computed; an operator whose result has a shape that depends on values is refused, as is what
    dask cannot do.

Note [Matrices in one piece]
    dask has LU, Cholesky, and QR and SVD of matrices of one column of chunks, two-dimensional all. A matrix that is no
    larger than dask's usual chunk is therefore gathered into one and given to NumPy, also one of many in a batch;
    dask's own algorithms are for those that are larger.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import array_api_compat.dask.array as array_api
import dask
import dask.array as da
import numpy as np
from dask.utils import parse_bytes

from autograd_fb.backend.protocol import Array, Backend, Traits
from autograd_fb.core.dtype import DType

compat: Any = array_api
LIBRARY = "dask"
NEEDS = ()
_DTYPES = frozenset({
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "complex64", "complex128",
})  # fmt: skip
_CURE = "Compute the tensor first, t.cpu(), and bring the result back with .to('lazy')"


def refuse(name: str, why: str) -> NoReturn:
    raise NotImplementedError(f"{name}: {why} (backend dask, device lazy). {_CURE}.")


class Deferred(da.Array):  # type: ignore[misc]
    """A result that kernels may ask for its value: they are told that it has none yet."""

    __slots__ = ()

    def _refuse(self) -> NoReturn:
        refuse("bool() inside an operator", "it would compute everything that comes before it")

    __bool__ = __int__ = __float__ = __complex__ = __index__ = _refuse


class CheckError(IndexError, RuntimeError):
    """A value that an operator checks turned out wrong when it was computed: PyTorch raises one of the two at the
    call."""


class _Checks(threading.local):
    """The conditions that the kernel running in this thread could not look at."""

    flags: list[Any] | None = None


_checks = _Checks()


def suspect(flag: Any) -> None:
    """Remember what a kernel could not look at; `DaskBackend.compiled` puts it into the graph."""
    if flag is None:
        refuse("an operator of lazy tensors", "it has to know a value to go on")
    if _checks.flags is not None:
        _checks.flags.append(flag)


def _passed(result: Any, wrong: Any, name: str) -> Any:
    if wrong.any():
        raise CheckError(
            f"{name}: an index is out of range, or another value that it checks is wrong. Lazy tensors are checked "
            "when they are computed"
        )
    return result


def _guarded(result: Any, wrong: Array, name: str) -> Any:
    """The result, whose values are there only if nothing is wrong."""
    if isinstance(result, (list, tuple)):
        return type(result)(_guarded(r, wrong, name) for r in result)
    if not isinstance(result, da.Array):
        return result
    return da.core.elemwise(_passed, result, wrong, name, dtype=result.dtype)


def _deferred(fn: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(*args: Any, **kwargs: Any) -> Array:
        found = fn(*args, **kwargs)
        return Deferred(found.dask, found.name, found.chunks, meta=found._meta) if not found.ndim else found

    return reduce


# --- functions of the standard that dask lacks, or has in another form


def _refused(name: str, why: str = "the shape of its result depends on values") -> Callable[..., Any]:
    def refusing(*args: Any, **kwargs: Any) -> NoReturn:
        refuse(name, why)

    return refusing


def reshape(x: Array, shape: Sequence[int], *, copy: bool | None = None) -> Array:
    """dask reshapes where chunks can be kept; otherwise the array passes through one that is in one piece."""
    if copy is False:
        raise ValueError("reshape: dask cannot promise a view")
    shape = tuple(int(n) for n in shape)
    if not x.size and -1 not in shape and 0 in shape:  # dask looks at the chunks of what is not there
        return da.zeros(shape, dtype=x.dtype)
    try:
        return da.reshape(x, shape)
    except (NotImplementedError, ValueError):
        if -1 not in shape and int(np.prod(shape)) != x.size:
            raise
        return da.reshape(x.rechunk(-1), shape)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """Chunk by chunk, with all of ``axis`` in each."""
    axis %= x.ndim
    shape = tuple(n if d == axis else max(n, x.shape[d]) for d, n in enumerate(indices.shape))
    indices = da.broadcast_to(indices, shape).rechunk({axis: -1})
    others = {d: c for d, c in enumerate(indices.chunks) if d != axis}
    x = da.broadcast_to(x, tuple(x.shape[d] if d == axis else n for d, n in enumerate(shape)))
    x = x.rechunk({axis: -1} | others)
    letters = tuple(range(x.ndim))
    of_indices = tuple(x.ndim if d == axis else d for d in letters)
    return da.blockwise(
        _take_along, of_indices, x, letters, indices, of_indices, axis=axis, dtype=x.dtype, concatenate=True,
        meta=np.empty((0,) * x.ndim, x.dtype),
    )  # fmt: skip


def _take_along(x: Any, indices: Any, axis: int) -> Any:
    try:
        return np.take_along_axis(x, indices, axis=axis)
    except IndexError as error:
        raise CheckError(str(error)) from None


# --- linear algebra


def _fits(*arrays: Array) -> bool:
    """Whether the matrices are small enough to be in one piece each."""
    limit = parse_bytes(dask.config.get("array.chunk-size"))
    return all(a.ndim > 2 or a.shape[-1] * a.shape[-2] * a.dtype.itemsize <= limit for a in arrays)


def _square(x: Array) -> Array:
    """Square chunks, which dask's LU and Cholesky ask for."""
    size = max(max(c) for c in x.chunks)
    return x.rechunk((size, size))


def _by_matrix(fn: Callable[..., Any], form: str, *arrays: Array, sizes: Mapping[str, int] | None = None) -> Any:
    """NumPy's function on every matrix of the batches; ``form`` as in ``"(m,n)->(n)"``."""
    if not all(a.size for a in arrays):  # no values to wait for, and no chunks for dask to look at
        nothing = fn(*(np.empty(a.shape, a.dtype) for a in arrays))
        return tuple(map(da.from_array, nothing)) if isinstance(nothing, tuple) else da.from_array(nothing)
    results = form.partition("->")[2].split("),(")
    dtypes = [np.result_type(*(a.dtype for a in arrays))] * len(results)
    if fn is _slogdet or fn is _svd:
        dtypes[1] = np.empty(0, dtypes[1]).real.dtype
    metas = tuple(np.empty((0,), d) for d in dtypes)
    return da.apply_gufunc(
        fn, form, *arrays, meta=metas if len(metas) > 1 else metas[0], output_sizes=dict(sizes or {}),
        allow_rechunk=True,
    )  # fmt: skip


def _slogdet(x: Any) -> Any:
    return tuple(np.linalg.slogdet(x))


def _svd(x: Any) -> Any:
    return tuple(np.linalg.svd(x, full_matrices=False))


def _qr(x: Any) -> Any:
    return tuple(np.linalg.qr(x))


def _complete_qr(x: Any) -> Any:
    return tuple(np.linalg.qr(x, mode="complete"))


class _Linalg:
    """`linalg` of the namespace."""

    eigh = staticmethod(_refused("linalg.eigh", "dask has no eigenvalues"))
    eigvalsh = staticmethod(_refused("linalg.eigvalsh", "dask has no eigenvalues"))
    eig = staticmethod(_refused("linalg.eig", "dask has no eigenvalues"))
    eigvals = staticmethod(_refused("linalg.eigvals", "dask has no eigenvalues"))

    def __getattr__(self, name: str) -> Any:
        return getattr(compat.linalg, name)

    @staticmethod
    def inv(x: Array) -> Array:
        return _by_matrix(np.linalg.inv, "(n,n)->(n,n)", x) if _fits(x) else da.linalg.inv(_square(x)).astype(x.dtype)

    @staticmethod
    def det(x: Array) -> Array:
        return _by_matrix(np.linalg.det, "(n,n)->()", x)

    @staticmethod
    def slogdet(x: Array) -> Any:
        return _by_matrix(_slogdet, "(n,n)->(),()", x)

    @staticmethod
    def solve(a: Array, b: Array) -> Array:
        if not _fits(a, b):
            return da.linalg.solve(_square(a), b).astype(np.result_type(a.dtype, b.dtype))
        if b.ndim == 1:
            return _by_matrix(_solve_vector, "(n,n),(n)->(n)", a, b)
        return _by_matrix(np.linalg.solve, "(n,n),(n,k)->(n,k)", a, b)

    @staticmethod
    def cholesky(x: Array, /, *, upper: bool = False) -> Array:
        if not _fits(x):
            return da.linalg.cholesky(_square(x), lower=not upper).astype(x.dtype)
        lower = _by_matrix(np.linalg.cholesky, "(n,n)->(n,n)", x)
        return da.conj(da.swapaxes(lower, -1, -2)) if upper else lower

    @staticmethod
    def qr(x: Array, /, *, mode: str = "reduced") -> Any:
        m, n = x.shape[-2:]
        if mode == "complete":
            return _by_matrix(_complete_qr, "(m,n)->(m,k),(k,n)", x, sizes={"k": m})
        return _by_matrix(_qr, "(m,n)->(m,k),(k,n)", x, sizes={"k": min(m, n)}) if _fits(x) else da.linalg.qr(x)

    @staticmethod
    def svd(x: Array, /, *, full_matrices: bool = True) -> Any:
        m, n = x.shape[-2:]
        if full_matrices and m != n:
            refuse("linalg.svd(full_matrices=True)", "dask has no full singular value decomposition")
        form = "(m,n)->(m,k),(k),(k,n)"
        return _by_matrix(_svd, form, x, sizes={"k": min(m, n)}) if _fits(x) else da.linalg.svd(x)

    @classmethod
    def svdvals(cls, x: Array, /) -> Array:
        return cls.svd(x, full_matrices=False)[1]


class _Fourier:
    """`fft` of the namespace: transforms along axes that are one chunk, as dask wants them."""

    def __getattr__(self, name: str) -> Any:
        transform = getattr(compat.fft, name)
        if not name.endswith("fftn"):
            return transform

        def whole(x: Array, /, *, axes: Sequence[int], **options: Any) -> Array:
            return transform(x.rechunk(dict.fromkeys(axes, -1)), axes=axes, **options)

        return whole


def _solve_vector(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, b[..., None])[..., 0]


class _Namespace:
    """array-api-compat's namespace of dask with what that lacks, and with refusals where dask would guess."""

    deferred = True  # see aten/values.py
    suspect = staticmethod(suspect)
    linalg = _Linalg()
    fft = _Fourier()
    reshape = staticmethod(reshape)
    take_along_axis = staticmethod(take_along_axis)
    any, all = staticmethod(_deferred(compat.any)), staticmethod(_deferred(compat.all))
    min, max = staticmethod(_deferred(compat.min)), staticmethod(_deferred(compat.max))
    nonzero = staticmethod(_refused("nonzero"))
    complex = staticmethod(lambda real, imag: _complex(real, imag))
    repeat = staticmethod(lambda x, repeats, /, *, axis=None: _repeat(x, repeats, axis))
    unique_all, unique_counts = staticmethod(_refused("unique_all")), staticmethod(_refused("unique_counts"))
    unique_inverse, unique_values = staticmethod(_refused("unique_inverse")), staticmethod(_refused("unique_values"))

    def __getattr__(self, name: str) -> Any:
        value = self.__dict__[name] = getattr(compat, name)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*dir(compat), *vars(_Namespace)})


def _repeat(x: Array, repeats: Any, axis: int | None) -> Array:
    if not isinstance(repeats, int):
        refuse("repeat_interleave with a tensor of counts", "the shape of its result depends on values")
    return compat.repeat(x, repeats, axis=axis)


def _complex(real: Array, imag: Array) -> Array:
    return da.core.elemwise(_joined, real, imag, dtype=np.result_type(real.dtype, np.complex64))


def _joined(real: Any, imag: Any) -> Any:
    """Parts put side by side: ``inf * 1j`` would be (nan, inf)."""
    real, imag = np.broadcast_arrays(real, imag)
    made = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
    made.real, made.imag = real, imag
    return made


def index_put(xp: Any, *args: Any) -> Array:
    """The shared kernel; the table is loaded whenever one is called."""
    return sys.modules["autograd_fb.aten.row"].TABLE["index_put"].kernel(xp, *args)


def _index_put(
    shared: Any, xp: Any, self: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False
) -> Array:
    """``x[mask] = v`` without knowing where the mask is True; all else is the shared kernel's."""
    (mask, *others) = [*indices] or [None]
    if mask is None or mask.dtype != np.bool_ or any(i is not None for i in others) or values.size != 1:
        return shared(xp, self, indices, values, accumulate)
    if mask.shape != self.shape[: mask.ndim]:
        raise IndexError(
            f"The shape of the mask {list(mask.shape)} at index 0 does not match the shape of the indexed tensor "
            f"{list(self.shape)} at index 0"
        )
    mask = da.reshape(mask, mask.shape + (1,) * (self.ndim - mask.ndim))
    value = da.reshape(values, ())
    return da.where(mask, self + value if accumulate else value, self)


_BY_VALUES = "the shape of its result depends on values"
GAPS = {
    "*:nonzero*": _BY_VALUES, "*:argwhere*": _BY_VALUES, "*:where@*": _BY_VALUES, "*:masked_select*": _BY_VALUES,
    "*:_unique2*": _BY_VALUES, "*:unique_consecutive*": _BY_VALUES, "*:bincount*": _BY_VALUES,
    "*:repeat_interleave.self_Tensor*": _BY_VALUES, "*:repeat_interleave.Tensor*": _BY_VALUES,
    "*:histc*": "the ends of its bins are values", "*:histogram.bin_ct*": "the ends of its bins are values",
    "*:*matrix_exp*": "how often it squares depends on values",
    "*:linalg_eigvalsh*": "dask has no eigenvalues",
}  # fmt: skip


class DaskBackend(Backend):
    """Arrays of dask, see Note [Lazy values]. ``chunks``, dask's, are those of arrays that come from the host."""

    name = "dask"
    device_type = "lazy"
    xp: Any = _Namespace()
    array_types = (da.Array, Deferred)
    gaps = GAPS
    traits = Traits(
        aliasing=False, strided=False, negative_strides=False, lazy_values=True, checks_bounds=False, dtypes=_DTYPES
    )

    def __init__(self, chunks: Any = "auto"):
        self.chunks = chunks

    def is_available(self) -> bool:
        return True

    def native_device(self, index: int) -> Any:
        if index != 0:
            raise RuntimeError(f"lazy:{index}: invalid device ordinal; dask is one device")
        return None

    def adopt(self, array: Array) -> Array:
        if any(n != n for n in array.shape):
            refuse(
                f"a tensor over a dask array of shape {array.shape}",
                "shapes must be known; call compute_chunk_sizes() on the array",
            )
        return array

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        self.native_device(index)
        # Always a copy: what is computed later must not see what is written to the array until then.
        return da.from_array(np.array(array, copy=True), chunks=self.chunks, name=False)

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        (found,) = self.to_numpy_all([array])
        return found

    def to_numpy_all(self, arrays: Sequence[Array]) -> list[Any]:
        with warnings.catch_warnings():  # 1/0 is a value, as everywhere; the tasks run in other threads' frames
            warnings.simplefilter("ignore", RuntimeWarning)
            # Copies, as dask hands out the very memory of chunks that are values already.
            return [np.array(found, copy=True) for found in dask.compute(*arrays)]

    def materialize(self, arrays: Sequence[Array]) -> list[Array]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return list(dask.persist(*arrays))

    def set_at(self, array: Array, key: Any, value: Array) -> Array:
        if not value.size:  # dask cannot assign nothing
            return array
        result = array.copy()
        result[key] = value
        return result

    def native_dtype(self, dtype: DType) -> Any:
        return np.dtype(dtype.name)

    def as_array(self, value: Any) -> Array:
        return value if isinstance(value, da.Array) else da.from_array(np.asarray(value), name=False)

    def compiled(self, kernel: Callable[..., Any], pure: bool) -> Callable[..., Any]:
        name = getattr(getattr(kernel, "func", kernel), "__name__", "kernel").strip("_")

        def checked(*args: Any, **kwargs: Any) -> Any:
            flags: list[Array] = []
            outer, _checks.flags = _checks.flags, flags
            try:
                result = kernel(*args, **kwargs)
            finally:
                _checks.flags = outer
            for flag in flags:
                result = _guarded(result, da.any(flag), name)
            return result

        return checked

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        return {"index_put": partial(_index_put, self.compiled(index_put, True))}

    def facts(self) -> Mapping[str, str]:
        return {"scheduler": str(dask.config.get("scheduler", None) or "threads, or a distributed client's")}


def make_backend(chunks: Any = "auto") -> Backend:
    """The backend.

    >>> import autograd_fb as torch
    >>> x = torch.tensor([1.0, 2.0], device="lazy", requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.tolist()
    [2.0, 4.0]
    """
    return DaskBackend(chunks)
