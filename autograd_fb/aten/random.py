"""Random rows: factories, in-place fills, draws by probability, and dropout.

Numbers are drawn on the host from a generator's stream and handed to the library, so that all backends get the same; on
meta nothing is drawn (see core/generator.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from autograd_fb.aten.creation import default_dtype
from autograd_fb.aten.row import op
from autograd_fb.aten.shape import back_from, device_of, memory_order
from autograd_fb.core.dtype import as_dtype, bool_, described
from autograd_fb.core.generator import Generator, generator_of, to_host

Array = Any

_OPTIONS = "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None"
_PARTS = {"complex64": "float32", "complex128": "float64"}
_SCALAR_TYPES = {"int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool"}
_EXACT = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def stream_of(xp: Any, generator: Generator | None) -> Any:
    """The host's stream to draw from: that of the library's devices where they have one of their own."""
    return (generator_of(xp) if generator is None else generator).stream


def dtype_name(xp: Any, dtype: Any) -> str:
    """PyTorch's name of a library's dtype."""
    return described(dtype).name


def _put(xp: Any, host: Any, dtype: Any, device: Any) -> Array:
    """Host numbers as an array of the library; the cast is the host's, so that all libraries round alike."""
    name = dtype_name(xp, dtype)
    if name not in (described(host.dtype).name, "bfloat16"):
        host = host.astype(name)
    return xp.asarray(host, dtype=dtype, device=device)


def _draw(
    xp: Any, size: Sequence[int], dtype: Any, device: Any, kernel: str, draw: Callable[[tuple[int, ...], str], Any]
) -> Array:
    """Floating numbers of a dtype; complex ones are drawn as pairs. RuntimeError for other dtypes."""
    shape = _checked(size)
    name = dtype_name(xp, dtype)
    if name not in _EXACT and name not in _PARTS:
        raise NotImplementedError(f'"{kernel}" not implemented for \'{_SCALAR_TYPES.get(name, name)}\'')
    if name in _PARTS:
        pairs = draw((*shape, 2), _PARTS[name]).astype(_PARTS[name])
        return xp.asarray(pairs.view(name).reshape(shape), dtype=dtype, device=device)
    return _put(xp, draw(shape, name), dtype, device)


def _checked(size: Sequence[int]) -> tuple[int, ...]:
    for n in size:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(size)}")
    return tuple(size)


# --- numbers from nothing


def _empty(
    xp: Any, size: Sequence[int], *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    return xp.empty(_checked(size), dtype=default_dtype(xp, dtype), device=device)


def _empty_range(
    xp: Any, low: int, high: int, size: Sequence[int], *, generator: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool | None = None,
) -> Array:
    _check_range(low, high)
    return xp.empty(_checked(size), dtype=xp.int64 if dtype is None else dtype, device=device)


def _empty_below(xp: Any, high: int, size: Sequence[int], **options: Any) -> Array:
    return _empty_range(xp, 0, high, size, **options)


def _rand(
    xp: Any, size: Sequence[int], *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    stream = stream_of(xp, generator)
    return _draw(xp, size, default_dtype(xp, dtype), device, "check_uniform_bounds", stream.uniform)


def _randn(
    xp: Any, size: Sequence[int], *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    return _normal_of(xp, size, 0.0, 1.0, generator, default_dtype(xp, dtype), device)


def _normal_of(
    xp: Any, size: Sequence[int], mean: float, std: float, generator: Any, dtype: Any, device: Any
) -> Array:
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    stream = stream_of(xp, generator)
    if dtype_name(xp, dtype) in _PARTS:
        std *= 0.5**0.5  # so that the complex number has the variance asked for
    return _draw(xp, size, dtype, device, "normal_kernel_cpu", lambda s, name: stream.normal(s, name, mean, std))


def _check_range(low: int, high: int) -> None:
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")


def _randint(
    xp: Any, low: int, high: int, size: Sequence[int], *, generator: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool | None = None,
) -> Array:
    _check_range(low, high)
    kind = xp.int64 if dtype is None else dtype
    _check_bounds(dtype_name(xp, kind), low, high)
    return _put(xp, stream_of(xp, generator).integers(_checked(size), low, high), kind, device)


def _check_bounds(name: str, low: int, high: int) -> None:
    """RuntimeError when a dtype does not hold the range."""
    bounds = {"bool": (0, 1), "uint8": (0, 255), "int8": (-128, 127), "int16": (-(1 << 15), (1 << 15) - 1),
              "int32": (-(1 << 31), (1 << 31) - 1)}  # fmt: skip
    if name in bounds:
        for label, value in (("from", low), ("to - 1", high - 1)):
            if not bounds[name][0] <= value <= bounds[name][1]:
                raise RuntimeError(f"{label} is out of bounds for {_CPP.get(name, name)}")


_CPP = {"bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int"}


def _randint_below(xp: Any, high: int, size: Sequence[int], **options: Any) -> Array:
    return _randint(xp, 0, high, size, **options)


def _randperm(
    xp: Any, n: int, *, generator: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool | None = None,
) -> Array:
    _check_count(n)
    return _put(xp, stream_of(xp, generator).permutation(n), xp.int64 if dtype is None else dtype, device)


def _empty_permutation(xp: Any, n: int, *, dtype: Any = None, device: Any = None, **_: Any) -> Array:
    _check_count(n)
    return xp.empty((n,), dtype=xp.int64 if dtype is None else dtype, device=device)


def _check_count(n: int) -> None:
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")


def _normal_float_float(
    xp: Any, mean: float, std: float, size: Sequence[int], *, generator: Any = None, dtype: Any = None,
    layout: Any = None, device: Any = None, pin_memory: bool | None = None,
) -> Array:
    return _normal_of(xp, size, mean, std, generator, default_dtype(xp, dtype), device)


for _name, _kernel, _text in (
    ("rand", _rand, "Numbers uniform in [0, 1)."), ("randn", _randn, "Numbers of mean 0 and variance 1."),
):  # fmt: skip
    op(f"{_name}(SymInt[] size, *, {_OPTIONS}) -> Tensor", family="random", kernel=_kernel, meta=_empty, method=False,
       doc=_text)
    op(f"{_name}.generator(SymInt[] size, *, Generator? generator, {_OPTIONS}) -> Tensor", family="random",
       kernel=_kernel, meta=_empty, method=False)
for _gen, _overload in (("", ""), ("Generator? generator, ", "generator")):
    _dot = f".{_overload}" if _overload else ""
    _low = f".low_{_overload}" if _overload else ".low"
    _INT = _OPTIONS.replace("dtype=None", "dtype=long", 1)
    op(f"randint{_dot}(SymInt high, SymInt[] size, *, {_gen}{_INT}) -> Tensor", family="random", kernel=_randint_below,
       meta=_empty_below, method=False, doc="Integers uniform in [low, high).")
    op(f"randint{_low}(SymInt low, SymInt high, SymInt[] size, *, {_gen}{_INT}) -> Tensor", family="random",
       kernel=_randint, meta=_empty_range, method=False)
    op(f"randperm{_dot}(SymInt n, *, {_gen}{_INT}) -> Tensor", family="random", kernel=_randperm,
       meta=_empty_permutation, method=False, doc="The numbers 0 to n - 1 in random order.")
op(f"normal.float_float(float mean, float std, SymInt[] size, *, Generator? generator=None, {_OPTIONS}) -> Tensor",
   family="random", kernel=_normal_float_float, method=False,
   meta=lambda xp, mean, std, size, **options: _empty(xp, size, **options))


# --- beside a tensor


def _like(make: Callable[..., Array], numbers: int) -> Callable[..., Array]:
    """The kernel of a ``_like`` op whose maker takes so many numbers before the size."""

    def kernel(xp: Any, self: Array, *values: Any, generator: Any = None, dtype: Any = None, layout: Any = None,
               device: Any = None, pin_memory: bool | None = None, memory_format: Any = None) -> Array:  # fmt: skip
        place = device_of(self) if device is None else device
        kind = self.dtype if dtype is None else dtype
        order = memory_order(self, memory_format)
        shape = tuple(self.shape) if order is None else tuple(self.shape[d] for d in order)
        drawn = make(xp, *values[:numbers], shape, generator=generator, dtype=kind, device=place)
        return drawn if order is None else back_from(xp, drawn, order)

    return kernel


_LIKE = f"{_OPTIONS}, MemoryFormat? memory_format=None"
for _name, _kernel in (("rand", _rand), ("randn", _randn)):
    for _gen, _dot in (("", ""), ("Generator? generator, ", ".generator")):
        op(f"{_name}_like{_dot}(Tensor self, *, {_gen}{_LIKE}) -> Tensor", family="random", kernel=_like(_kernel, 0),
           meta=_like(_empty, 0), method=False, differentiable=False)
for _gen, _dot, _low in (("", "", "low_dtype"), ("Generator? generator, ", ".generator", "low_generator_dtype")):
    op(f"randint_like{_dot}(Tensor self, SymInt high, *, {_gen}{_LIKE}) -> Tensor", family="random", method=False,
       kernel=_like(_randint_below, 1), meta=_like(_empty_below, 1), differentiable=False)
    op(f"randint_like.{_low}(Tensor self, SymInt low, SymInt high, *, {_gen}{_LIKE}) -> Tensor", family="random",
       kernel=_like(_randint, 2), meta=_like(_empty_range, 2), method=False, differentiable=False)


# --- fills: functional forms whose in-place overloads are what people call


def _beside(xp: Any, self: Array, *_: Any, **__: Any) -> Array:
    return xp.empty_like(self)


def _fill(
    xp: Any, self: Array, kernel: str, draw: Callable[[tuple[int, ...], str], Any]
) -> Array:
    order = memory_order(self)  # the order in which numbers are handed out
    if order is None:
        return _draw(xp, self.shape, self.dtype, device_of(self), kernel, draw)
    shape = tuple(self.shape[d] for d in order)
    return back_from(xp, _draw(xp, shape, self.dtype, device_of(self), kernel, draw), order)


def _uniform(xp: Any, self: Array, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Array:
    if from_ > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={from_:g} > to={to:g}")
    stream = stream_of(xp, generator)
    return _fill(xp, self, "check_uniform_bounds", lambda shape, name: stream.uniform(shape, name, from_, to))


def _normal(xp: Any, self: Array, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Array:
    return _normal_of(xp, self.shape, mean, std, generator, self.dtype, device_of(self))


def _exponential(xp: Any, self: Array, lambd: float = 1.0, *, generator: Any = None) -> Array:
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd:g}")
    return _fill(xp, self, "exponential", lambda shape, _: stream_of(xp, generator).exponential(shape, lambd))


def _cauchy(xp: Any, self: Array, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Array:
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    return _fill(xp, self, "cauchy", lambda shape, _: stream_of(xp, generator).cauchy(shape, median, sigma))


def _log_normal(xp: Any, self: Array, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Array:
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    return _fill(xp, self, "log_normal", lambda shape, _: stream_of(xp, generator).log_normal(shape, mean, std))


def _geometric(xp: Any, self: Array, p: float, *, generator: Any = None) -> Array:
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p:g}")
    return _put(xp, stream_of(xp, generator).geometric(self.shape, p), self.dtype, device_of(self))


def _random(xp: Any, self: Array, *, generator: Any = None) -> Array:
    host = stream_of(xp, generator).bits(self.shape, dtype_name(xp, self.dtype))
    return _put(xp, host, self.dtype, device_of(self))


def _random_to(xp: Any, self: Array, to: int, *, generator: Any = None) -> Array:
    return _random_from(xp, self, 0, to, generator=generator)


def _random_from(xp: Any, self: Array, from_: int, to: int | None, *, generator: Any = None) -> Array:
    name = dtype_name(xp, self.dtype)
    if to is None:
        bits = {"int64": 63, "int32": 31, "int16": 15, "int8": 7, "uint8": 8, "bool": 1, **_EXACT}[name]
        to = (1 << bits) + (1 if name in _EXACT else 0)
    return _randint(xp, from_, to, self.shape, generator=generator, dtype=self.dtype, device=device_of(self))


_GEN = "*, Generator? generator=None"
_ZERO: dict[str | tuple[str, ...], Any] = {"self": lambda F, grad: F.zeros_like(grad)}
for _schema, _filler in (
    ("uniform(Tensor self, float from=0, float to=1, {g})", _uniform),
    ("normal_functional(Tensor self, float mean=0, float std=1, {g})", _normal),
    ("exponential(Tensor self, float lambd=1, {g})", _exponential),
    ("cauchy(Tensor self, float median=0, float sigma=1, {g})", _cauchy),
    ("log_normal(Tensor self, float mean=1, float std=2, {g})", _log_normal),
    ("geometric(Tensor self, float p, {g})", _geometric),
    ("random(Tensor self, {g})", _random),
    ("random.to(Tensor self, int to, {g})", _random_to),
    ("random.from(Tensor self, int from, int? to, {g})", _random_from),
):
    op(_schema.format(g=_GEN) + " -> Tensor", family="random", kernel=_filler, meta=_beside, backward=_ZERO,
       method=False, function=False, inplace=not _schema.startswith("normal"))
# In place under its own name: as the in-place form of `normal` it would have to share that op's other arguments.
op(f"normal_(Tensor(a!) self, float mean=0, float std=1, {_GEN}) -> Tensor(a!)", family="random", function=False,
   composite=lambda F, self, mean=0.0, std=1.0, *, generator=None: F.copy_(
       self, F.normal_functional(self, mean, std, generator=generator)),
   doc="Fill with numbers of this mean and standard deviation.")


# --- normal numbers by tensors of means and deviations


def _constant(F: Any, t: Any) -> Any:
    """The values of a tensor, with its history but a gradient of zero: noise does not depend on its distribution."""
    value = t.detach()
    return F.where(F.ones_like(value, dtype=bool_), value, t) if t.requires_grad else value


def _normal_tensor_float(F: Any, mean: Any, std: float = 1.0, *, generator: Any = None) -> Any:
    return F.normal_functional(mean.detach(), 0.0, std, generator=generator) + _constant(F, mean)


def _normal_float_tensor(F: Any, mean: float, std: Any, *, generator: Any = None) -> Any:
    _check_std(std)
    return F.normal_functional(std.detach(), 0.0, 1.0, generator=generator) * _constant(F, std) + mean


def _normal_tensor_tensor(F: Any, mean: Any, std: Any, *, generator: Any = None) -> Any:
    _check_std(std)
    size = (mean.detach() + std.detach()).shape
    noise = F.normal_functional(F.new_empty(mean.detach(), list(size)), 0.0, 1.0, generator=generator)
    return noise * _constant(F, std) + _constant(F, mean)


def _check_std(std: Any) -> None:
    if std.is_complex():
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if not std.is_meta and std.numel() and bool((std < 0).any()):
        raise RuntimeError("normal expects all elements of std >= 0.0")


op(f"normal.Tensor_Tensor(Tensor mean, Tensor std, {_GEN}) -> Tensor", family="random",
   composite=_normal_tensor_tensor, method=False)
op(f"normal.Tensor_float(Tensor mean, float std=1, {_GEN}) -> Tensor", family="random", composite=_normal_tensor_float,
   method=False)
op(f"normal.float_Tensor(float mean, Tensor std, {_GEN}) -> Tensor", family="random", composite=_normal_float_tensor,
   method=False)


# --- draws by probability


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p:g}")


def _bernoulli_p(xp: Any, self: Array, p: float, *, generator: Any = None) -> Array:
    _check_p(p)
    return _put(xp, stream_of(xp, generator).bernoulli(self.shape, p), self.dtype, device_of(self))


def _bernoulli(xp: Any, self: Array, *, generator: Any = None) -> Array:
    if dtype_name(xp, self.dtype) not in _EXACT:
        name = dtype_name(xp, self.dtype)
        raise NotImplementedError(f'"bernoulli_tensor_cpu_p_" not implemented for \'{_SCALAR_TYPES.get(name, name)}\'')
    return _each(xp, self, self, generator)


def _bernoulli_tensor(xp: Any, self: Array, p: Array, *, generator: Any = None) -> Array:
    return _each(xp, self, p, generator)


def _each(xp: Any, self: Array, p: Array, generator: Any) -> Array:
    stream = stream_of(xp, generator)
    chances = stream.host_broadcast(to_host(p), tuple(self.shape))
    if chances.size and not bool(((chances >= 0) & (chances <= 1)).all()):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be "
                           "improved?  If so, please report an enhancement request to PyTorch.)")
    return _put(xp, stream.bernoulli_each(chances), self.dtype, device_of(self))


op(f"bernoulli(Tensor self, {_GEN}) -> Tensor", family="random", kernel=_bernoulli, meta=_beside, backward=_ZERO,
   doc="1 with the probability each element gives, else 0.")
op(f"bernoulli.Tensor(Tensor self, Tensor p, {_GEN}) -> Tensor", family="random", kernel=_bernoulli_tensor,
   meta=_beside, backward=_ZERO, method=False)
op(f"bernoulli.p(Tensor self, float p, {_GEN}) -> Tensor", family="random", kernel=_bernoulli_p, meta=_beside,
   backward=_ZERO)
op(f"bernoulli_.Tensor(Tensor(a!) self, Tensor p, {_GEN}) -> Tensor(a!)", family="random", function=False,
   composite=lambda F, self, p, *, generator=None: F.copy_(self, F.bernoulli(self, p, generator=generator)))
op(f"bernoulli_.float(Tensor(a!) self, float p=0.5, {_GEN}) -> Tensor(a!)", family="random", function=False,
   composite=lambda F, self, p=0.5, *, generator=None: F.copy_(self, F.bernoulli(self, p, generator=generator)),
   doc="1 with probability p, else 0.")


def _rows(self: Array, num_samples: int, replacement: bool, dtype: str) -> None:
    """RuntimeError for what cannot be drawn from."""
    if dtype not in _EXACT:
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {_SCALAR_TYPES.get(dtype, dtype)}")
    if not 0 < self.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > self.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")


def _multinomial(
    xp: Any, self: Array, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Array:
    _rows(self, num_samples, replacement, dtype_name(xp, self.dtype))
    weights = to_host(self)
    if bool((weights < 0).any()) or not bool((abs(weights) < float("inf")).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if bool((weights.sum(-1) <= 0).any()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    places = stream_of(xp, generator).multinomial(weights.reshape(-1, self.shape[-1]), num_samples, replacement)
    return xp.asarray(places.reshape(*self.shape[:-1], num_samples), dtype=xp.int64, device=device_of(self))


def _multinomial_meta(
    xp: Any, self: Array, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Array:
    _rows(self, num_samples, replacement, dtype_name(xp, self.dtype))
    return xp.empty((*self.shape[:-1], num_samples), dtype=xp.int64, device=device_of(self))


def _poisson(xp: Any, self: Array, generator: Any = None) -> Array:
    return _put(xp, stream_of(xp, generator).poisson(to_host(self)), self.dtype, device_of(self))


def _binomial(xp: Any, count: Array, prob: Array, generator: Any = None) -> Array:
    return _put(xp, stream_of(xp, generator).binomial(to_host(count), to_host(prob)), count.dtype, device_of(count))


op(f"multinomial(Tensor self, SymInt num_samples, bool replacement=False, {_GEN}) -> Tensor", family="random",
   kernel=_multinomial, meta=_multinomial_meta, differentiable=False,
   doc="Places drawn from each row with probabilities in proportion to its values.")
op("poisson(Tensor self, Generator? generator=None) -> Tensor", family="random", kernel=_poisson, meta=_beside,
   backward=_ZERO, method=False, doc="Counts of a Poisson process of these rates.")
op("binomial(Tensor count, Tensor prob, Generator? generator=None) -> Tensor", family="random", kernel=_binomial,
   meta=_beside, differentiable=False, method=False, doc="Successes among ``count`` trials of probability ``prob``.")


# --- dropout

_SELU = 1.7580993408473766  # minus the limit of selu for large negative numbers


def _check_dropout(p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")


def _dropped(feature: bool, alpha: bool) -> Callable[..., Any]:
    """Dropout of elements or of whole channels; the alpha form keeps mean and variance of selu's results."""

    def dropout(F: Any, input: Any, p: float, train: bool) -> Any:
        _check_dropout(p)
        if p == 0 or not train or input.numel() == 0:
            return input
        if p == 1:
            return input * F.zeros_like(input)
        if feature and input.ndim < 2:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
        if not (feature or alpha) and F.is_own("native_dropout", input):  # drawn where the input is, in one pass
            return F.native_dropout(input, p, train)[0]
        size = list(input.shape[:2]) + [1] * (input.ndim - 2) if feature else list(input.shape)
        noise = F.bernoulli(F.new_empty(input, size), 1 - p)
        if not alpha:
            return input * (noise / (1 - p))
        a = 1 / math.sqrt((_SELU * _SELU * p + 1) * (1 - p))
        return input * (noise * a) + ((noise - 1) * (_SELU * a) + _SELU * a * p)

    return dropout


def _native_dropout(xp: Any, input: Array, p: float, train: bool | None) -> Any:
    _check_dropout(p)
    if prod(input.shape) == 0 or train is False:
        return xp.asarray(input, copy=True), xp.ones_like(input, dtype=xp.bool)
    mask = _put(xp, stream_of(xp, None).bernoulli(input.shape, 1 - p), xp.bool, device_of(input))
    return _native_dropout_backward(xp, input, mask, 1 / (1 - p) if p < 1 else 0.0), mask


def _native_dropout_backward(xp: Any, grad_output: Array, mask: Array, scale: float) -> Array:
    if as_dtype(grad_output.dtype).kind not in "fc":
        grad_output = xp.astype(grad_output, default_dtype(xp, None))
    return grad_output * xp.astype(mask, grad_output.dtype) * scale


def _kept_share(p: float, train: bool | None) -> float:
    """What dropout multiplies the kept elements by."""
    return 1.0 if train is False else 1 / (1 - p) if p < 1 else 0.0


op("native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor)", family="random", kernel=_native_dropout,
   method=False, doc="The result of dropout, and the mask of what it kept.", constant_results=(1,),
   backward={"input": lambda F, grads, p, train, result1: F.native_dropout_backward(
       grads[0], result1, _kept_share(p, train))},
   forward=lambda F, input_t, p, train, result1: (
       F.native_dropout_backward(input_t, result1, _kept_share(p, train)), None),
   meta=lambda xp, input, p, train: (xp.empty_like(input), xp.empty_like(input, dtype=xp.bool)))
op("native_dropout_backward(Tensor grad_output, Tensor mask, float scale) -> Tensor", family="random",
   kernel=_native_dropout_backward, method=False, function=False, linear=("grad_output",), out=False,
   backward={"grad_output": lambda F, grad, mask, scale: F.native_dropout_backward(grad, mask, scale)},
   doc="The gradient of native_dropout.")
for _name, _feature, _alpha in (
    ("dropout", False, False), ("feature_dropout", True, False), ("alpha_dropout", False, True),
    ("feature_alpha_dropout", True, True),
):  # fmt: skip
    _make = _dropped(_feature, _alpha)
    op(f"{_name}(Tensor input, float p, bool train) -> Tensor", family="random", composite=_make, method=False)
    op(f"{_name}_(Tensor(a!) self, float p, bool train) -> Tensor(a!)", family="random", method=False,
       composite=lambda F, self, p, train, *, make=_make: F.copy_(self, make(F, self, p, train)))
