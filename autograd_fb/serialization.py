"""`save` and `load`: tensors, and containers of them, as pickles."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

from autograd_fb.core.device import Device, as_device
from autograd_fb.tensor.tensor import Tensor

__all__ = ["load", "save"]

# What a file with weights may name; anything else could run code of whoever wrote the file.
_TRUSTED = {
    "autograd_fb.core.device": {"_unpickle"}, "autograd_fb.core.dtype": {"dtype_from_name"},
    "autograd_fb.core.generator": {"Generator"}, "autograd_fb.core.layout": {"_find"},
    "autograd_fb.core.size": {"Size"}, "autograd_fb.nn.parameter": {"Parameter", "_rebuild"},
    "autograd_fb.tensor.extra_methods": {"rebuild", "rebuild_view"}, "autograd_fb.tensor.tensor": {"Tensor"},
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"OrderedDict", "defaultdict"}, "_codecs": {"encode"}, "ml_dtypes": {"bfloat16"},
    "numpy": {"dtype", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"}, "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"}, "numpy.core.numeric": {"_frombuffer"},
}  # fmt: skip


class _Views(pickle.Pickler):
    """Writes the memory that tensors share once, so that they share it again."""

    def reducer_override(self, obj: Any) -> Any:
        found = obj._reduce_view() if isinstance(obj, Tensor) else None
        return NotImplemented if found is None else found


class _Weights(pickle.Unpickler):
    """Reads tensors and plain containers only."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _TRUSTED.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"Weights only load failed: the file names {module}.{name}, which is no tensor and no plain container. "
            "Load it with weights_only=False if you trust whoever wrote it: that can run their code."
        )


def save(obj: Any, f: Any, pickle_module: Any = pickle, pickle_protocol: int = pickle.DEFAULT_PROTOCOL) -> None:
    """Write an object to a path or an open binary file.

    >>> import io
    >>> import autograd_fb as torch
    >>> file = io.BytesIO()
    >>> torch.save({"weight": torch.ones(2)}, file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    {'weight': tensor([1., 1.])}
    """
    if isinstance(f, (str, os.PathLike)):
        with open(f, "wb") as file:
            save(obj, file, pickle_module, pickle_protocol)
    elif pickle_module is pickle:
        _Views(f, protocol=pickle_protocol).dump(obj)
    else:
        pickle_module.dump(obj, f, protocol=pickle_protocol)


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool = True, **_: Any) -> Any:
    """Read what `save` wrote; ``map_location`` puts tensors on another device.

    Files may hold tensors and plain containers; ``weights_only=False`` allows all objects, and so the code of whoever
    wrote the file.
    """
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return load(io.BytesIO(file.read()), map_location, pickle_module, weights_only=weights_only)
    if weights_only:
        found = _Weights(f).load()
    else:
        found = (pickle_module or pickle).load(f)
    return found if map_location is None else _moved(found, map_location)


def _moved(obj: Any, where: Any) -> Any:
    """Containers with their tensors on another device."""
    if isinstance(obj, Tensor):
        device = where.get(str(obj.device), obj.device) if isinstance(where, dict) else where
        if callable(device) and not isinstance(device, Device):
            return device(obj, str(obj.device))
        moved = obj.detach().to(as_device(device))
        return moved.requires_grad_(obj.requires_grad) if type(obj) is Tensor else obj
    if isinstance(obj, dict):
        return type(obj)((k, _moved(v, where)) for k, v in obj.items())
    if isinstance(obj, (list, tuple)) and type(obj) in (list, tuple):
        return type(obj)(_moved(v, where) for v in obj)
    return obj
