"""Rows of the operator table served by hand-written kernels.

Each function takes what its row's kernel takes. The common case (one of the float dtypes, shapes that fit) is launched
straight; everything else, errors included, goes to the shared kernel, and so do indices in debug mode, where they are
to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autograd_fb.core.checks import debug_mode
from autograd_fb_backends.cuda import pointwise, reductions  # noqa: F401 (fill the table)
from autograd_fb_backends.cuda.glue import Array, Fn, Kernels, beside, floats, rounds_itself, shared, split
from autograd_fb_backends.cuda.launch import Launcher, arithmetic

NONE, MEAN, SUM = 0, 1, 2


def kernels(cupy: Any, launch: Launcher) -> Mapping[str, Callable[..., Any]]:
    """All functions, by row."""
    from autograd_fb_backends.cuda.products import Products
    from autograd_fb_backends.cuda.random_rows import RandomRows
    from autograd_fb_backends.cuda.scatter_rows import ScatterRows
    from autograd_fb_backends.cuda.view_rows import ViewRows
    from autograd_fb_backends.cuda.window_rows import WindowRows

    found: dict[str, Fn] = {}
    for family in (Activations, Softmaxes, Losses, Norms, ScatterRows, WindowRows, RandomRows, Products):
        found.update((key, rounds_itself(fn)) for key, fn in family(cupy, launch).table().items())
    found.update(ViewRows(cupy, launch).table())
    return found


# --- pointwise


class Activations(Kernels):
    """Pointwise rows."""

    def run(self, name: str, arrays: tuple[Array, ...], scalars: tuple[Any, ...], again: Fn) -> Array:
        """A pointwise kernel where the arrays are alike; what ``again`` answers where they are not."""
        first = arrays[0]
        if not all(isinstance(a, self.cupy.ndarray) for a in arrays) or not floats(*arrays) or any(
            a.shape != first.shape for a in arrays
        ):
            return again()
        arrays_, out = beside(self.cupy, arrays)
        kind = arithmetic(first.dtype)
        count, width = first.size, 16 // first.dtype.itemsize
        packs = count // width if all(a.data.ptr % 16 == 0 for a in (*arrays_, out)) else 0
        self.launch.over(
            name, (first.dtype.name,), packs or count, *arrays_, out, *(kind(s) for s in scalars), np.int64(packs),
            np.int64(count),
        )  # fmt: skip
        return out

    def plain(self, name: str, arrays: int, defaults: tuple[Any, ...] = ()) -> Fn:
        """A row whose arguments are arrays first and numbers after them, as the kernel's are."""

        def call(xp: Any, *args: Any) -> Array:
            scalars = (*args[arrays:], *defaults[len(args) - arrays :])
            return self.run(name, args[:arrays], scalars, lambda: shared(name, xp, *args))

        return call

    def gelu(self, xp: Any, input: Array, *, approximate: str = "none") -> Array:
        def again() -> Any:
            return shared("gelu", xp, input, approximate=approximate)

        if approximate not in ("none", "tanh"):
            return again()
        return self.run("gelu_tanh" if approximate == "tanh" else "gelu", (input,), (), again)

    def gelu_backward(self, xp: Any, grad_output: Array, input: Array, *, approximate: str = "none") -> Any:
        name = {"none": "gelu_backward", "tanh": "gelu_tanh_backward"}.get(approximate)
        if name is None:
            return NotImplemented
        return self.run(name, (grad_output, input), (), lambda: NotImplemented)

    def elu_backward(
        self, xp: Any, grad_output: Array, alpha: Any, scale: Any, input_scale: Any, is_result: bool,
        self_or_result: Array,
    ) -> Any:
        if is_result and alpha < 0:
            return NotImplemented
        name = "elu_backward_of_result" if is_result else "elu_backward"
        arrays = (grad_output, self_or_result)
        return self.run(name, arrays, (alpha, scale, input_scale), lambda: NotImplemented)

    def leaky_relu_backward(
        self, xp: Any, grad_output: Array, input: Array, negative_slope: Any, self_is_result: bool
    ) -> Any:
        if self_is_result and negative_slope < 0:
            return NotImplemented
        arrays = (grad_output, input)
        return self.run("leaky_relu_backward", arrays, (negative_slope,), lambda: NotImplemented)

    def table(self) -> dict[str, Fn]:
        return {
            "relu": self.plain("relu", 1),
            "threshold_backward": self.plain("threshold_backward", 2),
            "leaky_relu": self.plain("leaky_relu", 1, (0.01,)),
            "leaky_relu_backward": self.leaky_relu_backward,
            "elu": self.plain("elu", 1, (1, 1, 1)),
            "elu_backward": self.elu_backward,
            "hardtanh": self.plain("hardtanh", 1, (-1, 1)),
            "hardtanh_backward": self.plain("hardtanh_backward", 2),
            "gelu": self.gelu,
            "gelu_backward": self.gelu_backward,
            "sigmoid": self.plain("sigmoid", 1),
            "sigmoid_backward": self.plain("sigmoid_backward", 2),
            "tanh_backward": self.plain("tanh_backward", 2),
            "silu": self.plain("silu", 1),
            "silu_backward": self.plain("silu_backward", 2),
            "softplus": self.plain("softplus", 1, (1, 20)),
            "softplus_backward": self.plain("softplus_backward", 2),
            "mish": self.plain("mish", 1),
            "mish_backward": self.plain("mish_backward", 2),
            "hardsigmoid": self.plain("hardsigmoid", 1),
            "hardsigmoid_backward": self.plain("hardsigmoid_backward", 2),
            "hardswish": self.plain("hardswish", 1),
            "hardswish_backward": self.plain("hardswish_backward", 2),
        }


# --- rows of numbers


class Softmaxes(Kernels):
    """Softmax and log-softmax."""

    def forward(self, name: str) -> Fn:
        def call(xp: Any, input: Array, dim: int, half_to_float: bool = False) -> Array:
            if half_to_float or not floats(input) or not input.size or not -input.ndim <= dim < input.ndim:
                return shared(f"_{name}", xp, input, dim, half_to_float)
            x = self.cupy.ascontiguousarray(input)
            out = self.cupy.empty(x.shape, x.dtype)
            outer, size, inner = split(x.shape, dim % x.ndim)
            self.launch.rows(name, (x.dtype.name,), outer * inner, size, inner, x, out)
            return out

        return call

    def backward(self, name: str) -> Fn:
        def call(xp: Any, grad_output: Array, output: Array, dim: int, input_dtype: Any = None) -> Array:
            fits = floats(grad_output, output) and grad_output.shape == output.shape and output.size
            if not fits or input_dtype not in (None, output.dtype) or not -output.ndim <= dim < output.ndim:
                return shared(f"_{name}_backward_data", xp, grad_output, output, dim, input_dtype)
            g, y = self.cupy.ascontiguousarray(grad_output), self.cupy.ascontiguousarray(output)
            out = self.cupy.empty(y.shape, y.dtype)
            outer, size, inner = split(y.shape, dim % y.ndim)
            self.launch.rows(f"{name}_backward", (y.dtype.name,), outer * inner, size, inner, g, y, out)
            return out

        return call

    def table(self) -> dict[str, Fn]:
        names = ("softmax", "log_softmax")
        return {f"_{n}": self.forward(n) for n in names} | {f"_{n}_backward_data": self.backward(n) for n in names}


class Norms(Kernels):
    """Layer normalisation."""

    def fits(self, input: Array, shape: tuple[int, ...], weight: Array | None, bias: Array | None) -> bool:
        return (
            len(shape) > 0 and input.shape[input.ndim - len(shape) :] == shape and input.size > 0
            and floats(input, weight, bias) and all(x is None or x.shape == shape for x in (weight, bias))
        )  # fmt: skip

    def rows_of(self, input: Array, shape: tuple[int, ...]) -> tuple[int, int]:
        size = 1
        for n in shape:
            size *= n
        return input.size // size, size

    def native_layer_norm(
        self, xp: Any, input: Array, normalized_shape: Any, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array, Array]:
        shape = tuple(normalized_shape)
        if not self.fits(input, shape, weight, bias) or input.dtype.name in ("float16", "bfloat16"):
            return shared("native_layer_norm", xp, input, normalized_shape, weight, bias, eps)
        x = self.cupy.ascontiguousarray(input)
        rows, size = self.rows_of(x, shape)
        out, kept = self.cupy.empty(x.shape, x.dtype), (*x.shape[: x.ndim - len(shape)], *(1,) * len(shape))
        mean, rstd = self.cupy.empty(kept, x.dtype), self.cupy.empty(kept, x.dtype)
        scale, shift = (0 if p is None else self.cupy.ascontiguousarray(p) for p in (weight, bias))
        eps_ = arithmetic(x.dtype)(eps)
        self.launch.rows("layer_norm", (x.dtype.name,), rows, size, 1, x, scale, shift, out, mean, rstd, eps_)
        return out, mean, rstd

    def native_layer_norm_backward(
        self, xp: Any, grad_out: Array, input: Array, normalized_shape: Any, mean: Array, rstd: Array,
        weight: Array | None, bias: Array | None, output_mask: Any,
    ) -> Any:
        shape = tuple(normalized_shape)
        narrow = input.dtype.name in ("float16", "bfloat16")
        if not self.fits(input, shape, weight, bias) or narrow or not floats(input, grad_out, mean, rstd):
            return NotImplemented
        g, x = self.cupy.ascontiguousarray(grad_out), self.cupy.ascontiguousarray(input)
        mean, rstd = self.cupy.ascontiguousarray(mean), self.cupy.ascontiguousarray(rstd)
        rows, size = self.rows_of(x, shape)
        to_input = to_weight = to_bias = None
        if output_mask[0]:
            to_input = self.cupy.empty(x.shape, x.dtype)
            scale = 0 if weight is None else self.cupy.ascontiguousarray(weight)
            self.launch.rows("layer_norm_backward", (x.dtype.name,), rows, size, 1, g, x, scale, mean, rstd, to_input)
        outer = tuple(range(x.ndim - len(shape)))
        if output_mask[1]:
            to_weight = (g * ((x - mean) * rstd)).sum(axis=outer)
        if output_mask[2]:
            to_bias = g.sum(axis=outer)
        return to_input, to_weight, to_bias

    def table(self) -> dict[str, Fn]:
        return {
            "native_layer_norm": self.native_layer_norm, "native_layer_norm_backward": self.native_layer_norm_backward
        }


# --- losses


class Losses(Kernels):
    """The negative log likelihood."""

    def sizes(self, input: Array, target: Array, weight: Array | None, spatial: bool) -> tuple[int, int, int] | None:
        """Targets, classes and pixels per image; None where the shared kernel has to look at the arguments."""
        if debug_mode() or not floats(input, weight) or target.dtype.name not in ("int64", "uint8") or not input.size:
            return None
        if spatial:
            fits = input.ndim == 4 and target.ndim == 3 and input.shape[0] == target.shape[0]
            if not fits or input.shape[2:] != target.shape[1:]:
                return None
            found = target.size, input.shape[1], input.shape[2] * input.shape[3]
        elif input.ndim == 2 and target.shape == input.shape[:1]:
            found = target.size, input.shape[1], 1
        elif input.ndim == 1 and target.size == 1 and target.ndim <= 1:
            found = 1, input.shape[0], 1
        else:
            return None
        return found if weight is None or weight.shape == (found[1],) else None

    def prepared(self, input: Array, target: Array, weight: Array | None) -> tuple[Array, Array, Any]:
        labels = self.cupy.ascontiguousarray(target if target.dtype.name == "int64" else target.astype("int64"))
        return self.cupy.ascontiguousarray(input), labels, 0 if weight is None else self.cupy.ascontiguousarray(weight)

    def forward(self, key: str, spatial: bool) -> Fn:
        def call(
            xp: Any, input: Array, target: Array, weight: Array | None, reduction: int, ignore_index: int
        ) -> tuple[Array, Array]:
            found = self.sizes(input, target, weight, spatial)
            if found is None:
                return shared(key, xp, input, target, weight, reduction, ignore_index)
            x, labels, scale = self.prepared(input, target, weight)
            kind = SUM if reduction == NONE and input.ndim == 1 else reduction
            out = self.cupy.empty(target.shape if kind == NONE else (), x.dtype)
            total = self.cupy.empty((), x.dtype)
            numbers = *(np.int64(n) for n in (*found, ignore_index)), np.int32(kind)
            self.launch.blocks("nll_loss", (x.dtype.name,), 1, 1024, x, labels, scale, out, total, *numbers)
            return out, total

        return call

    def backward(self, key: str, spatial: bool) -> Fn:
        def call(
            xp: Any, grad_output: Array, input: Array, target: Array, weight: Array | None, reduction: int,
            ignore_index: int, total_weight: Array,
        ) -> Array:
            found = self.sizes(input, target, weight, spatial)
            kind = SUM if reduction == NONE and input.ndim == 1 else reduction
            one_each = found is not None and grad_output.size == (found[0] if kind == NONE else 1)
            if found is None or not one_each or not floats(input, grad_output, total_weight):
                return shared(
                    key, xp, grad_output, input, target, weight, reduction, ignore_index, total_weight
                )
            x, labels, scale = self.prepared(input, target, weight)
            out = self.cupy.empty(x.shape, x.dtype)
            numbers = *(np.int64(n) for n in (*found, ignore_index)), np.int32(kind)
            self.launch.over(
                "nll_loss_backward", (x.dtype.name,), x.size, self.cupy.ascontiguousarray(grad_output), labels, scale,
                self.cupy.ascontiguousarray(total_weight), out, *numbers,
            )  # fmt: skip
            return out

        return call

    def table(self) -> dict[str, Fn]:
        return {
            "nll_loss_forward": self.forward("nll_loss_forward", False),
            "nll_loss_backward": self.backward("nll_loss_backward", False),
            "nll_loss2d_forward": self.forward("nll_loss2d_forward", True),
            "nll_loss2d_backward": self.backward("nll_loss2d_backward", True),
        }
