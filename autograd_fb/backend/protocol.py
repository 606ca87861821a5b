"""What a backend is: eight members that must be given, and generic defaults for the rest.

A backend connects one array library to one device type. It is one Python file and one entry point in the group
``autograd_fb.backends`` (``name = module:make_backend``). Nothing in it may touch a device at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from autograd_fb.core.dtype import DType, dtype_from_name

Array = Any
Geometry = tuple[tuple[int, ...], tuple[int, ...], int]  # shape, strides in elements, offset in elements


class Traits(NamedTuple):
    """What a library can do, declared by its backend (a conformance test compares with measurements)."""

    aliasing: bool = True  # a write through a slice is seen by the base; otherwise Functionalize
    strided: bool = True  # strides can be read and as_strided aliases
    negative_strides: bool = True
    lazy_values: bool = False  # bool(x) and data-dependent shapes are unavailable or force a computation
    asynchronous: bool = False
    scalar_results: bool = False  # 0-d results leak as scalars (NumPy)
    checks_bounds: bool = True  # the library validates integer indices
    has_values: bool = True  # False for meta
    free_values: bool = True  # False: values are looked at for checks in debug mode only, see core/checks.py
    dtypes: frozenset[str] = frozenset()


REQUIRED = ("name", "device_type", "xp", "array_types", "traits", "is_available", "from_numpy", "to_numpy")


class Backend:
    """Base class of backends. Subclasses set the first five members and write the three methods below them.

    Everything else is derived from the namespace or has a generic default.
    """

    name: str
    device_type: str
    xp: Any  # namespace of the Array API standard
    array_types: tuple[type, ...]  # for the type(array) -> backend dict
    traits: Traits
    copies_aside: bool = False  # `from_numpy` and `to_numpy` take ``non_blocking=True``: they queue the copy and return
    gaps: Mapping[str, str] = {}  # what `testing.backend_suite` finds missing and is known: "check:operator" -> reason

    def is_available(self) -> bool:
        """Whether arrays can be made here. Never raises and never initialises a device."""
        raise NotImplementedError

    def from_numpy(self, array: Any, index: int = 0, *, copy: bool = True) -> Array:
        """The host array on device ``index`` of this backend."""
        raise NotImplementedError

    def to_numpy(self, array: Array, *, copy: bool = False) -> Any:
        """The values as a NumPy array: the one place that synchronises."""
        raise NotImplementedError

    def to_numpy_all(self, arrays: Sequence[Array]) -> list[Any]:
        """The values of several arrays in memory of their own; lazy libraries compute what they share once."""
        return [self.to_numpy(array, copy=True) for array in arrays]

    def materialize(self, arrays: Sequence[Array]) -> list[Array]:
        """The arrays with their values computed, all at once, where a library has put that off."""
        return list(arrays)

    # --- derived from xp, overridden for speed or truth

    def device_count(self) -> int:
        return 1

    def native_device(self, index: int) -> Any:
        """What the library's functions take as ``device=``. RuntimeError for a device that is not there."""
        self.check_index(index)
        return None

    def check_index(self, index: int) -> None:
        """RuntimeError unless there is a device of this index."""
        count = self.device_count()
        if not 0 <= index < count:
            raise RuntimeError(
                f"{self.device_type}:{index}: invalid device ordinal; {self.name} has {count} "
                f"{'device' if count == 1 else 'devices'}"
            )

    def device_index(self, array: Array) -> int:
        return 0

    def serves(self, array: Array) -> bool:
        """Whether an array of its types is on one of its devices; asked where backends share an array type."""
        return True

    def adopt(self, array: Array) -> Array:
        """What becomes of an array that a user brings: itself, or the same memory without the library's own history."""
        return array

    def to_device(self, array: Array, index: int) -> Array:
        return array

    def native_dtype(self, dtype: DType) -> Any:
        """What the library's functions take as ``dtype=``."""
        return getattr(self.xp, dtype.name)

    def dtype_of(self, array: Array) -> DType:
        return dtype_from_name(str(array.dtype).rpartition(".")[2])

    def compute_dtype(self, dtype: DType) -> DType:
        """The dtype that kernels written over the namespace compute in; results are rounded to ``dtype``."""
        return dtype

    def scalar_array(self, value: Any, dtype: DType, index: int) -> Array:
        """A 0-d array holding a Python number."""
        return self.xp.asarray(value, dtype=self.native_dtype(dtype), device=self.native_device(index))

    def geometry(self, array: Array) -> Geometry | None:
        """Shape, strides and offset within the memory's owner; None where strides do not exist."""
        return None

    def as_strided(self, array: Array, size: Sequence[int], stride: Sequence[int], offset: int) -> Array:
        """A view of the memory that owns ``array`` with another geometry (strided libraries only)."""
        raise NotImplementedError(f"{self.name}: no as_strided")

    def as_array(self, value: Any) -> Array:
        """An array from what a library's function returned (libraries with ``scalar_results`` return scalars for
        0-d)."""
        return self.xp.asarray(value)

    def aliases(self, result: Array, array: Array) -> bool:
        """Whether ``result``, which a view op made of ``array``, is in the same memory (it copied otherwise)."""
        return True

    def memory_size(self, array: Array) -> int | None:
        """The bytes of the memory an array lies in, of which it may be a part; None where nobody tells."""
        return None

    def may_keep(self, array: Array) -> bool:
        """Whether an array may become a leaf's gradient without a copy: none other sees its memory, it is row-major."""
        return False

    def row_major(self, array: Array) -> Array:
        """A row-major copy."""
        return self.xp.reshape(self.xp.asarray(self.xp.reshape(array, (-1,)), copy=True), array.shape)

    def item(self, array: Array) -> Any:
        """The Python number in an array of one element."""
        return self.to_numpy(array).item()

    def quiet(self, fn: Callable[..., Any], direct: bool = False) -> Callable[..., Any]:
        """``fn`` with the library's warnings about infinities and NaNs off while it runs.

        ``direct``: it is called by a plan, a frame without a module name, for which Python drops what compiled code
        warns of.
        """
        return fn

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Kernels ``(xp, *arguments)`` that replace the shared ones, by row name (``"mm"``, ``"add.Tensor"``).

        One named after a composite row is called as that is, with the namespace of all ops for ``xp``, where rules run
        it over raw arrays.
        """
        return {}

    def inline(self, dtype: DType) -> tuple[Mapping[str, str], Mapping[str, Any]]:
        """Expressions that plans for arrays of one dtype use instead of calling a kernel, and the names in them.

        By row name; ``{argument}`` stands for an argument of the schema, ``{kernel}`` for the call of the kernel.
        Results have the arguments' dtype, and no expression makes the library warn in a frame of its own.
        """
        return {}, {}

    # --- where slices are copies (``traits.aliasing`` False): see Note [Functionalize] in tensor/memory.py

    def take_block(self, array: Array, starts: Sequence[int], sizes: Sequence[int]) -> Array:
        """The box of ``sizes`` that begins at ``starts``; inside what `fuse` compiles, starts may be traced."""
        return array[tuple(slice(i, i + n) for i, n in zip(starts, sizes, strict=True))]

    def put_block(self, array: Array, starts: Sequence[int], block: Array) -> Array:
        """``array`` with a box of the same dtype put at ``starts``; what is given is not changed."""
        return self.set_at(array, tuple(slice(i, i + n) for i, n in zip(starts, block.shape, strict=True)), block)

    def set_at(self, array: Array, key: Any, value: Array) -> Array:
        """``array`` with ``value`` at ``key``, slices for all dims or a vector of places; ``array`` stays as it is.

        The default needs arrays that take ``copy[slices] = value``, which the standard has; places it does not have.
        """
        if not isinstance(key[0], slice):
            return _put_at_places(self.xp, array, key[0], value)
        result = self.xp.asarray(array, copy=True)
        result[key] = value
        return result

    def fuse(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """A pure function of arrays and integers, compiled where the library can; itself by default."""
        return fn

    def compiled(self, kernel: Callable[..., Any], pure: bool) -> Callable[..., Any]:
        """A row's kernel, of arrays, lists of arrays and other values, as the library runs it best.

        ``pure``: it draws no random numbers. Kernels may look at values (`aten/values.py` says how they ask).
        """
        return kernel

    def plan_call(self, kernel: Callable[..., Any], name: str, arguments: str, first: str) -> tuple[str, str]:
        """How plans call a pointwise kernel: the expression, and a statement about its result ``r`` ("" for none).

        ``name`` stands for the kernel, ``first`` is an array among the arguments; both texts may use the names that
        `inline` gives.
        """
        return f"{name}({arguments})", ""

    def random_stream(self, seed: int) -> Any:
        """The stream of random numbers for a seed; asked of the CPU's backend only, whose numbers go to all devices."""
        raise NotImplementedError(f"{self.name}: random numbers are drawn on the host")

    def synchronize(self, index: int = 0) -> None:
        return None

    @property
    def guards(self) -> bool:
        """Whether calls must enter the device of their arrays first: libraries with a current device, on several."""
        return False

    def device_guard(self, index: int) -> Any:
        """A context manager in which the library works on device ``index``."""
        return nullcontext()

    def set_current(self, index: int) -> None:
        """Make device ``index`` the one this thread's calls go to when none is named."""
        return None

    # --- streams and memory, for libraries that have them (`autograd_fb.cuda`); streams and events are the library's

    def make_stream(self, index: int, priority: int = 0) -> Any:
        return None

    def current_stream(self, index: int) -> Any:
        return None

    def default_stream(self) -> Any:
        return None

    def stream_guard(self, stream: Any, index: int) -> Any:
        """A context manager in which the library queues its work on a stream of device ``index``."""
        return nullcontext()

    def make_event(self, timing: bool, blocking: bool) -> Any:
        return None

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two recorded events."""
        return 0.0

    def memory_stats(self, index: int) -> dict[str, int]:
        """Bytes ``allocated``, their ``peak`` and bytes ``reserved``."""
        return {"allocated": 0, "peak": 0, "reserved": 0}

    def reset_peak_memory_stats(self, index: int) -> None:
        return None

    def empty_cache(self) -> None:
        """Give memory that is kept for reuse back to the device."""
        return None

    def memory_info(self, index: int) -> tuple[int, int]:
        """Free and total bytes of a device."""
        return 0, 0

    def properties(self, index: int) -> dict[str, Any]:
        """What CUDA tells of a device, under the names of its ``cudaDeviceProp``."""
        return {}

    def pin(self, array: Any) -> Any:
        """A NumPy array's values in page-locked memory."""
        return array

    def is_pinned(self, array: Any) -> bool:
        return False

    def update_many(self, rule: str, arrays: Sequence[tuple[Any, ...]], options: Mapping[str, Any]) -> bool:
        """One step of an optimizer (``"sgd"``, ``"adam"``) over many parameters at once; False where there is none."""
        return False

    def facts(self) -> Mapping[str, str]:
        """What ``python -m autograd_fb doctor`` prints of a loaded library and its devices."""
        return {}

    def tf32_changed(self, allowed: bool) -> None:
        """``backends.cuda.matmul.allow_tf32`` was set; a backend loaded later reads ``core.config.switches``."""
        return None


def _put_at_places(xp: Any, array: Array, places: Array, values: Array) -> Array:
    """A vector with values at some places, by functions of the standard alone; of equal places the last wins."""
    count = places.shape[0]
    if not count:
        return array
    order = xp.argsort(places, stable=True)
    ordered = xp.take(places, order, axis=0)
    every = xp.arange(array.shape[0], dtype=places.dtype, device=array.device)
    last = xp.searchsorted(ordered, every, side="right") - 1
    last = xp.where(last < 0, xp.zeros_like(last), last)
    found = xp.take(ordered, last, axis=0) == every
    chosen = xp.take(values, xp.take(order, last, axis=0), axis=0)
    return xp.where(found, chosen, array)


def check_members(backend: Any, device_type: str | None = None) -> Any:
    """The backend itself, if it has the eight required members; TypeError that names what it lacks.

    ``device_type``: what it was found as, and must say itself. ValueError if it says another.
    """
    if not isinstance(backend, Backend):
        raise TypeError(f"expected a subclass of autograd_fb.backend.protocol.Backend, got {type(backend).__name__}")
    lacking = [name for name in REQUIRED if not _has(backend, name)]
    if lacking:
        raise TypeError(
            f"backend {type(backend).__name__} lacks {', '.join(lacking)}; required are {', '.join(REQUIRED)}"
        )
    if device_type is not None and backend.device_type != device_type:
        raise ValueError(
            f"backend '{backend.name}' says device type '{backend.device_type}', but its entry point '{device_type}'"
        )
    return backend


def _has(backend: Backend, name: str) -> bool:
    if not hasattr(backend, name):
        return False
    return getattr(type(backend), name, None) is not getattr(Backend, name, ...)
