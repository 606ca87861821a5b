"""Samples of views as copies."""

from __future__ import annotations

from autograd_fb.core.dtype import int32
from autograd_fb.testing.samples import is_complex
from autograd_fb.testing.samples.shape import cases

for _name in ("alias_copy", "t_copy"):
    cases(_name, ((2, 3),), ((4,),))
cases("as_strided_copy", ((3, 4), [2, 2], [1, 4]))
cases("diagonal_copy", ((3, 4),), ((2, 3, 4), 1, -2, -1))
cases("expand_copy", ((3, 1), [2, 3, 4]))
cases("permute_copy", ((2, 3, 4), [2, 0, 1]))
cases("select_copy.int", ((3, 4), 1, -1))
cases("slice_copy.Tensor", ((5, 4), 0, 1, 4, 2))
cases("squeeze_copy", ((2, 1, 3),))
cases("squeeze_copy.dim", ((2, 1, 3), 1))
cases("squeeze_copy.dims", ((2, 1, 3), [1, 0]))
cases("transpose_copy.int", ((2, 3, 4), 0, -1))
cases("unfold_copy", ((7, 2), 0, 3, 2))
cases("unsqueeze_copy", ((2, 3), 1))
cases("view_copy", ((2, 6), [3, 4]))
cases("view_copy.dtype", ((2, 3), int32), takes=lambda dtype: dtype == "float32")
cases("view_as_complex_copy", ((3, 2),), takes=lambda dtype: dtype in ("float32", "float64"))
cases("view_as_real_copy", ((3, 2),), takes=is_complex)
cases("split_copy.Tensor", ((5, 3), 2))
cases("split_with_sizes_copy", ((5, 3), [2, 3]))
cases("unbind_copy.int", ((3, 2),))
