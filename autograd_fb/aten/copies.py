"""Views as copies: what each view row shows, in new row-major memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from autograd_fb.aten.row import op
from autograd_fb.core.layout import contiguous_format

_FAMILY = "copies"
_CONTIGUOUS = contiguous_format


def _copied(view: str, F: Any, *args: Any, **kwargs: Any) -> Any:
    shown = getattr(F, view)(*args, **kwargs)
    if isinstance(shown, (list, tuple)):
        return tuple(F.clone(part, memory_format=_CONTIGUOUS) for part in shown)
    return F.clone(shown, memory_format=_CONTIGUOUS)


for _view, _arguments in (
    ("alias", ""), ("as_strided", "SymInt[] size, SymInt[] stride, SymInt? storage_offset=None"),
    ("diagonal", "int offset=0, int dim1=0, int dim2=1"), ("expand", "SymInt[] size, *, bool implicit=False"),
    ("permute", "int[] dims"), ("select.int", "int dim, SymInt index"),
    ("slice.Tensor", "int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1"), ("squeeze", ""),
    ("squeeze.dim", "int dim"), ("squeeze.dims", "int[] dim"), ("t", ""), ("transpose.int", "int dim0, int dim1"),
    ("unfold", "int dimension, int size, int step"), ("unsqueeze", "int dim"), ("view", "SymInt[] size"),
    ("view.dtype", "ScalarType dtype"), ("view_as_complex", ""), ("view_as_real", ""),
    ("split.Tensor", "SymInt split_size, int dim=0"), ("split_with_sizes", "SymInt[] split_sizes, int dim=0"),
    ("unbind.int", "int dim=0"),
):  # fmt: skip
    _name, _, _overload = _view.partition(".")
    _returns = "Tensor[]" if _name.startswith(("split", "unbind")) else "Tensor"
    _key = f"{_name}_copy{'.' * bool(_overload)}{_overload}"
    op(f"{_key}(Tensor self{', ' * bool(_arguments)}{_arguments}) -> {_returns}",
       family=_FAMILY, composite=partial(_copied, _name), method=False, out=_returns == "Tensor",
       doc=f"What `{_name}` shows, in new memory.")
