"""The backend against the real CuPy, as far as it goes without a GPU: its names, its keywords, its arrays' geometry.

Arrays are made over host memory that nobody touches: shapes, strides and addresses are worked out on the host.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

from autograd_fb.core import dtype as dtypes
from tests.backends import cuda_host
from tests.backends.cupy_fixture import cuda_devices
from tests.backends.test_cupy_rows import ROWS, compare

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
xp = pytest.importorskip("array_api_compat.cupy")


@pytest.fixture(scope="module")
def backend() -> Any:
    from autograd_fb_backends.cuda_cupy import make_backend

    return make_backend()


def over_host(host: Any) -> Any:
    """A CuPy array at a NumPy array's address."""
    memory = cupy.cuda.UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
    return cupy.ndarray(host.shape, host.dtype, memptr=cupy.cuda.MemoryPointer(memory, 0))


VIEWS: dict[str, Any] = {
    "slice": lambda x: x[1:, :, ::2], "select": lambda x: x[1, 2], "transpose": lambda x: x.transpose(2, 0, 1),
    "reshape": lambda x: x.reshape(6, 4), "negative": lambda x: x[:, ::-1], "new dim": lambda x: x[:, None],
    "0-d": lambda x: x[1, 2, 3, ...], "swapped": lambda x: x.swapaxes(0, 2)[1:],
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_geometry_of_views(backend: Any, name: str) -> None:
    host = np.zeros((2, 3, 4), np.float32)
    x, h = over_host(host), VIEWS[name](host)
    view = VIEWS[name](x)
    shape, strides, offset = backend.geometry(view)
    assert (shape, strides) == (h.shape, tuple(s // 4 for s in h.strides))
    assert offset * 4 == h.__array_interface__["data"][0] - host.__array_interface__["data"][0]
    assert backend.aliases(view, x) and backend.device_index(view) == 0
    if min(strides, default=0) >= 0:
        again = backend.as_strided(view, shape, strides, offset)
        assert backend.geometry(again) == (shape, strides, offset) and backend.aliases(again, x)


def test_rows_of_views(backend: Any) -> None:
    from autograd_fb_backends.cuda.view_rows import ViewRows

    rows = ViewRows(cupy, None)
    x = over_host(np.zeros((3, 4), np.float32))
    assert rows.expand(xp, x[:, None], [2, 3, 5, 4]).strides == (0, 16, 0, 4)
    diagonal = rows.diagonal(xp, x, 1)
    assert (diagonal.shape, diagonal.strides, diagonal.data.ptr - x.data.ptr) == ((3,), (20,), 4)
    below = rows.diagonal(xp, x, -2)
    assert (below.shape, below.data.ptr - x.data.ptr) == ((1,), 32)
    windows = rows.unfold(xp, x, 1, 2, 1)
    assert (windows.shape, windows.strides) == ((3, 3, 2), (16, 4, 4))
    part = rows.as_strided(xp, x[1:], [2, 2], [4, 1], None)
    assert part.data.ptr - x.data.ptr == 16 and rows.as_strided(xp, x[1:], [2], [1], 0).data.ptr == x.data.ptr
    with pytest.raises(RuntimeError, match="out of bounds for storage of size 48"):
        rows.as_strided(xp, x, [4, 4], [4, 1], None)
    assert rows.view(xp, x, [2, -1]).shape == (2, 6)
    with pytest.raises(RuntimeError, match=r"Use .reshape\(...\) instead"):
        rows.view(xp, x.T, [12])


def test_whose_memory_it_is(backend: Any) -> None:
    x = over_host(np.zeros((2, 3), np.float32))
    assert backend.may_keep(x)
    view = x[1:]
    assert not backend.may_keep(view) and not backend.may_keep(x), "a view of it is alive"
    del view
    assert backend.may_keep(x)
    strided = backend.as_strided(x, (3,), (1,), 1)
    assert not backend.may_keep(x) and not backend.may_keep(strided)


def test_dtypes(backend: Any) -> None:
    for name in backend.traits.dtypes:
        dtype = dtypes.dtype_from_name(name)
        native = backend.native_dtype(dtype)
        host = np.zeros(2, native)
        assert backend.dtype_of(over_host(host)) is dtype


def test_it_says_why_there_is_no_gpu(backend: Any) -> None:
    if backend.is_available():
        pytest.skip("there is a GPU here")
    assert backend.unavailable_reason.startswith("no usable GPU: cuda") and backend.device_count() == 0
    assert backend.facts()["devices"] == backend.unavailable_reason
    with pytest.raises(RuntimeError, match="invalid device ordinal: cuda:0 was asked for, and there are 0 devices"):
        backend.native_device(0)


def test_the_switch_for_tf32(backend: Any) -> None:
    """CuPy asks the device before it takes the switch: without one nothing is done, and nothing raised."""
    linalg = cupy._core._routines_linalg
    assert linalg.COMPUTE_TYPE_TF32 != linalg.COMPUTE_TYPE_DEFAULT and callable(linalg.set_compute_type)
    backend.tf32_changed(True)
    if backend.is_available() and backend.properties(0)["major"] >= 8:
        assert linalg.get_compute_type(np.dtype("f")) == linalg.COMPUTE_TYPE_TF32
    backend.tf32_changed(False)


def test_what_the_backend_uses_of_cupy_is_there() -> None:
    """Beside functions over arrays, which the next test takes from the calls that were made."""
    names = {
        cupy: "ndarray RawKernel asarray array empty empty_like zeros full matmul where ascontiguousarray "
              "get_default_memory_pool get_default_pinned_memory_pool",
        cupy.cuda: "Device Stream Event PinnedMemoryPointer alloc_pinned_memory get_device_id get_current_stream "
                   "get_elapsed_time get_allocator set_allocator runtime",
        cupy.cuda.runtime: "getDeviceCount getDeviceProperties runtimeGetVersion driverGetVersion",
        cupy.cuda.Stream: "null record wait_event synchronize done use",
        cupy.cuda.Event: "record synchronize done", cupy.cuda.Device: "use synchronize mem_info",
        cupy.ndarray: "get item data base device flags strides view transpose reshape astype sum copy",
    }  # fmt: skip
    for place, listed in names.items():
        missing = [n for n in listed.split() if not hasattr(place, n)]
        assert not missing, f"{place} lacks {missing}"
    text = cupy.cuda.Event.__init__.__doc__ or cupy.cuda.Event.__doc__
    assert "disable_timing" in text and "block" in text
    assert {"blocking", "out"} <= set((cupy.ndarray.get.__doc__ or "").replace("=", " ").replace(",", " ").split())


@pytest.mark.slow
@pytest.mark.skipif(cuda_host.COMPILER is None, reason=cuda_host.NO_COMPILER)
def test_every_function_that_rows_call_is_in_cupy_and_takes_their_keywords() -> None:
    with cuda_devices(standin=True) as cuda, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cuda.standin.counters.called.clear()
        for key in ROWS:
            for dtype in ("float32", "int64", "complex64"):
                compare(key, dtype)
        called = dict(cuda.standin.counters.called)
    assert len(called) > 100
    wrong = []
    for name, keywords in called.items():
        head, _, last = name.rpartition(".")
        place = cupy.ndarray if head == "ndarray" else getattr(xp, head) if head else xp
        fn = getattr(place, last, None)
        if fn is None:
            wrong.append(f"{name} is not there")
            continue
        try:
            parameters = inspect.signature(fn).parameters
        except (ValueError, TypeError):
            continue  # compiled code tells no signature
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            unknown = set().union(*keywords) - set(parameters)
            wrong += [f"{name} takes no {', '.join(sorted(unknown))}"] if unknown else []
    assert not wrong
