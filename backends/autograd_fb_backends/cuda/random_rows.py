"""Dropout whose mask is drawn on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd_fb.core.generator import generator_of
from autograd_fb_backends.cuda import updates  # noqa: F401 (fill the table)
from autograd_fb_backends.cuda.glue import Array, Fn, Kernels, floats, shared
from autograd_fb_backends.cuda.launch import arithmetic


class RandomRows(Kernels):
    """native_dropout and its gradient."""

    def native_dropout(self, xp: Any, input: Array, p: float, train: bool | None) -> tuple[Array, Array]:
        """The generator gives a key; which elements it keeps follows from their positions (Philox)."""
        if not floats(input) or train is False or not 0 < p < 1 or not input.size:
            return shared("native_dropout", xp, input, p, train)
        x = self.cupy.ascontiguousarray(input)
        out, mask = self.cupy.empty(x.shape, x.dtype), self.cupy.empty(x.shape, np.bool_)
        keep = 1 - p
        key = np.uint64(generator_of(xp).stream.raw64(1)[0])
        below = np.uint32(min(max(round(keep * 2**32) - 1, 0), 2**32 - 1))
        self.launch.over(
            "dropout", (x.dtype.name,), (x.size + 3) // 4, x, out, mask.view(np.uint8), arithmetic(x.dtype)(1 / keep),
            below, key, np.int64(x.size),
        )  # fmt: skip
        return out, mask

    def native_dropout_backward(self, xp: Any, grad_output: Array, mask: Array, scale: float) -> Array:
        if not floats(grad_output) or mask.dtype.name != "bool" or mask.shape != grad_output.shape:
            return shared("native_dropout_backward", xp, grad_output, mask, scale)
        g, kept = self.cupy.ascontiguousarray(grad_output), self.cupy.ascontiguousarray(mask).view(np.uint8)
        out = self.cupy.empty(g.shape, g.dtype)
        self.launch.over(
            "dropout_backward", (g.dtype.name,), g.size, g, kept, out, arithmetic(g.dtype)(scale), np.int64(g.size)
        )
        return out

    def table(self) -> dict[str, Fn]:
        return {"native_dropout": self.native_dropout, "native_dropout_backward": self.native_dropout_backward}
