"""Subclasses that answer for operators below autograd: who is asked, with what, and what becomes of the results."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autograd_fb as torch
from autograd_fb import Tensor
from autograd_fb.autograd import forward_ad
from autograd_fb.utils import _python_dispatch
from autograd_fb.utils._mode_utils import all_same_mode, no_dispatch
from autograd_fb.utils._python_dispatch import TorchDispatchMode
from autograd_fb.utils._pytree import tree_map

asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []


@pytest.fixture(autouse=True)
def nothing_asked() -> Iterator[None]:
    asked.clear()
    yield


class Boxed(Tensor):
    """No memory of its own: its values are those of another tensor."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, requires_grad: bool = False) -> Any:
        return Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=held.device,
            requires_grad=requires_grad,
        )  # fmt: skip

    def __init__(self, held: Tensor, requires_grad: bool = False):
        self.held = held

    def __repr__(self) -> str:  # type: ignore[override]
        return super().__repr__(tensor_contents=f"{self.held}")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked.append((str(func), args, kwargs))
        args, kwargs = tree_map(opened, (args, kwargs or {}))
        return tree_map(lambda v: cls(v) if isinstance(v, Tensor) else v, func(*args, **kwargs))


def opened(value: Any) -> Any:
    return value.held if isinstance(value, Boxed) else value


class Seen(Tensor):
    """Over memory; answers by the operator itself."""

    @staticmethod
    def __new__(cls, data: Tensor) -> Any:
        return Tensor._make_subclass(cls, data, data.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked.append((str(func), args, kwargs))
        return super().__torch_dispatch__(func, types, args, kwargs)


def names() -> list[str]:
    return [name for name, _, _ in asked]


def test_what_a_class_is_given() -> None:
    x, y = Boxed(torch.ones(2)), Boxed(torch.ones(2, 2))
    result = torch.addmv(x, y, x, beta=1, alpha=2)
    assert type(result) is Boxed and result.held.tolist() == [5.0, 5.0]
    ((name, args, kwargs),) = asked  # defaults are left out, though one was given
    assert name == "aten.addmv.default" and args[0] is x and len(args) == 3 and kwargs == {"alpha": 2}
    asked.clear()
    assert (x**2).held.tolist() == [1.0, 1.0] and (x + 1).held.tolist() == [2.0, 2.0]
    assert x[0].held.item() == 1.0 and x[1:].shape == (1,)
    assert isinstance(torch.split(x, 1), tuple) and type(x.max(0).values) is Boxed
    called = ["pow.Tensor_Scalar", "add.Tensor", "select.int", "slice.Tensor", "split.Tensor", "max.dim"]
    assert names() == [f"aten.{name}" for name in called]


def test_plain_tensors_and_the_class_itself_in_a_call() -> None:
    x = Seen(torch.tensor([1.0, 2.0]))
    assert type(x + torch.ones(2)) is Tensor and names() == ["aten.add.Tensor"]
    assert type(x) is Seen and type(x.detach()) is Tensor and names()[1:] == ["aten.detach.default"]
    with no_dispatch():
        assert (x * 2).tolist() == [2.0, 4.0] and x[0].item() == 1.0
    assert len(asked) == 2


def test_shape_strides_and_device_without_memory() -> None:
    like = torch.ones(4, 6).t()[1:]
    x = Boxed(like)
    assert (x.shape, x.stride(), x.storage_offset()) == (like.shape, like.stride(), like.storage_offset())
    assert (x.device, x.dtype, x.layout) == (like.device, like.dtype, like.layout)
    assert Tensor._make_wrapper_subclass(Boxed, (10**12,), dtype=torch.float64).numel() == 10**12
    assert str(Boxed(torch.ones(1))) == f"{Boxed(torch.ones(1))}" == "Boxed(tensor([1.]))"
    for read in ("numpy", "tolist"):
        with pytest.raises(RuntimeError, match=rf"\.{read}\(\) is not supported for tensor subclasses"):
            getattr(x, read)()
    assert not asked


def test_what_is_refused() -> None:
    class Silent(Tensor):
        pass

    with pytest.raises(TypeError, match="Silent must define __torch_dispatch__"):
        Tensor._make_wrapper_subclass(Silent, (2,))
    with pytest.raises(RuntimeError, match=r"subclass Silent but .* associated to a python object of type Boxed"):
        Boxed(torch.ones(1)).as_subclass(Silent)
    with pytest.raises(NotImplementedError, match="answer for sizes, strides"):
        Tensor._make_wrapper_subclass(Boxed, (2,), dispatch_sizes_strides_policy="sizes")


def reply(answer: Callable[..., Any], base: type = Tensor) -> type:
    """A class over memory with that handler."""

    def make(cls: Any, data: Tensor) -> Any:
        return Tensor._make_subclass(cls, data)

    members = {"__new__": staticmethod(make), "__torch_dispatch__": classmethod(answer)}
    return type("Replying", (base,), members)


def test_results_that_do_not_fit_and_nobody_answering() -> None:
    wrong, nobody = reply(lambda cls, *call: "text"), reply(lambda cls, *call: NotImplemented)
    with pytest.raises(RuntimeError, match="Unable to cast"):
        wrong(torch.ones(1)).neg()
    with pytest.raises(TypeError, match=r"(?s)Multiple dispatch failed for '.*aten.add.Tensor'.*subclass .*Replying"):
        torch.add(nobody(torch.ones(1)), 1)
    assert reply(lambda cls, *call: None)(torch.ones(1)).neg() is None


def test_subclasses_are_asked_before_their_bases() -> None:
    base = reply(lambda cls, func, types, args, kwargs: ("base", types))
    derived = reply(lambda cls, func, types, args, kwargs: NotImplemented, base)
    seen: list[Any] = []
    counting = reply(lambda cls, func, types, args, kwargs: seen.append(types), base)
    a, b = base(torch.ones(1)), counting(torch.ones(1))
    torch.add(a, b)
    torch.add(b, a)
    assert seen == [(counting, base)] * 2
    with pytest.raises(RuntimeError, match="Unable to cast"):  # the base's answer, after the derived class gave it up
        torch.add(a, derived(torch.ones(1)))


def test_modes_are_asked_first_and_may_leave_it_to_classes() -> None:
    class Polite(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            asked.append(("mode", types, {}))
            return NotImplemented if types else func(*args, **(kwargs or {}))

    x = Boxed(torch.ones(1))
    with Polite() as mode:
        assert x.abs().held.item() == 1.0
    assert names() == ["mode", "aten.abs.default", "mode"] and asked[0][1] == (Boxed,) and asked[2][1] == ()
    assert all_same_mode([mode, mode]) and not all_same_mode([mode, Polite()])

    class Wrong(TorchDispatchMode):
        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args)

    with pytest.raises(RuntimeError, match="classmethod is not supported"), Wrong():
        pass


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "product": lambda x, y: x * y + y / x,
    "saved result": lambda x, y: (x * y).exp().sigmoid().tanh(),
    "broadcast": lambda x, y: x[0] * y + y[:, :1],
    "matmul": lambda x, y: (x @ y).relu() @ x.t(),
    "softmax": lambda x, y: (x * y).softmax(0) * y,
    "several results": lambda x, y: x.max(0).values * y.unbind(0)[1],
    "list": lambda x, y: torch.cat([x, y, x * y]),
    "in-place": lambda x, y: (x * 1).mul_(y).exp_() * x,
    "linear": lambda x, y: torch.nn.functional.linear(x, y, x[0]),
    "layer_norm": lambda x, y: torch.nn.functional.layer_norm(x, (3,), y[0], y[1]),
    "norm": lambda x, y: (x - y).norm(),
    "reshape": lambda x, y: x.reshape(9) * y.transpose(0, 1).reshape(9),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_of_the_class_and_those_of_plain_tensors(name: str) -> None:
    f, values = FUNCTIONS[name], [np.linspace(0.3, 2.0, 9).reshape(3, 3), np.cos(np.arange(9.0)).reshape(3, 3)]
    plain = [torch.tensor(v, requires_grad=True) for v in values]
    f(*plain).sum().backward()
    boxed = [Boxed(torch.tensor(v), requires_grad=True) for v in values]
    result = f(*boxed)
    assert type(result) is Boxed and result.requires_grad and result.grad_fn is not None
    result.sum().backward()
    for p, b in zip(plain, boxed, strict=True):
        assert type(b.grad) is Boxed
        np.testing.assert_allclose(b.grad.held.numpy(), p.grad.numpy(), rtol=1e-12)


def test_second_derivatives() -> None:
    x = Boxed(torch.tensor([1.0, 2.0]), requires_grad=True)
    (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    assert g.held.tolist() == [3.0, 12.0] and h.held.tolist() == [6.0, 12.0]


def test_what_a_class_runs_is_not_recorded_again() -> None:
    x = Seen(torch.ones(2, requires_grad=True))
    y = x.exp()
    assert y.requires_grad and y.is_leaf is False and asked[0][1][0].requires_grad
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == pytest.approx([np.e, np.e])


def test_a_plain_loss_over_a_class_that_was_saved() -> None:
    class Opening(Boxed):
        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*tree_map(opened, args), **tree_map(opened, kwargs or {}))

    w = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * Opening(torch.tensor([3.0, 4.0]))).sum()
    assert type(loss) is Tensor
    loss.backward()
    assert w.grad is not None and type(w.grad) is Tensor and w.grad.tolist() == [3.0, 4.0]


def test_tangents_and_transforms() -> None:
    def numbers(t: Any) -> Any:
        assert type(t) is Boxed
        return t.held.tolist()

    x = Boxed(torch.tensor([1.0, 2.0]))
    with forward_ad.dual_level():
        p = Boxed(torch.tensor([1.0, 2.0])).requires_grad_()
        primal, tangent = forward_ad.unpack_dual((forward_ad.make_dual(p, x) ** 3).sum())
        assert [numbers(primal), numbers(tangent)] == [9.0, 27.0]
        assert numbers(torch.autograd.grad(tangent, p)[0]) == [6.0, 24.0]
        written = forward_ad.make_dual(x, torch.ones(2)).clone()  # a plain tangent stays one
        assert forward_ad.unpack_dual(written.mul_(x).add_(1)).tangent.tolist() == [1.0, 2.0]
    cubes = torch.func.grad(lambda v: (v**3).sum())
    assert numbers(cubes(x)) == [3.0, 12.0]
    assert [numbers(v) for v in torch.func.jvp(cubes, (x,), (x,))] == [[3.0, 12.0], [6.0, 24.0]]
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        assert numbers(jacobian(lambda v: v * v)(x)) == [[2.0, 0.0], [0.0, 4.0]]


def test_a_function_with_a_plain_result_gives_the_leaf_its_class() -> None:
    class Open(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.held.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return Boxed(grad * 2)

    x = Boxed(torch.ones(2), requires_grad=True)
    Open.apply(x).sum().backward()
    assert type(x.grad) is Boxed and x.grad.held.tolist() == [2.0, 2.0]


def test_functions_hooks_and_modules() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            (x,) = ctx.saved_tensors
            kinds.extend((type(grad), type(x)))
            return grad * 2 * x

    kinds: list[type] = []
    x = Boxed(torch.tensor([3.0]), requires_grad=True)
    x.register_hook(lambda g: kinds.append(type(g)))
    Square.apply(x).sum().backward()
    assert kinds == [Boxed] * 3 and x.grad.held.tolist() == [6.0]  # type: ignore[union-attr]
    layer, data = torch.nn.Linear(3, 2), torch.ones(4, 3)
    out = layer(Boxed(data))
    assert type(out) is Boxed and torch.equal(out.held, layer(data))
    out.sum().backward()
    assert type(layer.weight.grad) is Boxed and layer.weight.grad.held.tolist() == [[4.0] * 3] * 2


def test_deep_copies_are_what_the_class_has_for_clone() -> None:
    x = Boxed(torch.ones(2), requires_grad=True)
    y = copy.deepcopy(x)
    assert type(y) is Boxed and y.held is not x.held and y.held.tolist() == [1.0, 1.0] and y.requires_grad

    class Loses(Boxed):
        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*tree_map(opened, args))

    with pytest.raises(RuntimeError, match="cloning returns another instance of the same subclass"):
        copy.deepcopy(Loses(torch.ones(2)))


def test_data() -> None:
    x = Boxed(torch.ones(2))
    assert type(x.data) is Boxed and names() == ["aten.detach.default"]
    s = Seen(torch.ones(2))
    s.data = torch.zeros(2)
    assert type(s) is Seen and type(s.data) is Tensor and names()[1:] == ["aten.detach.default"]


def test_handlers_registered_from_outside() -> None:
    @torch.library.custom_op("_test_dispatching::double", mutates_args=())
    def double(x: Tensor) -> Tensor:
        return x * 2

    class Quiet(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    @torch.library.register_torch_dispatch("_test_dispatching::double", Quiet)
    def first(mode: Any, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return args[0] * 5

    x = torch.ones(1)
    with Quiet():
        assert double(x).item() == 5.0 and x.mul(2).item() == 2.0
        double.register_torch_dispatch(Quiet, lambda mode, func, types, args, kwargs: args[0] * 7)  # replaces
        assert double(x).item() == 7.0
    assert double(x).item() == 2.0
    with torch.library._scoped_library("_test_dispatching", "FRAGMENT") as lib:
        lib._register_torch_dispatch_rule("double", Boxed, lambda cls, func, types, args, kwargs: args[0].held * 9)
        assert double(Boxed(x)).item() == 9.0
        with pytest.raises(RuntimeError, match="already has a __torch_dispatch__ rule registered for _test"):
            lib._register_torch_dispatch_rule("double", Boxed, lambda *call: None)
    assert type(double(Boxed(x))) is Boxed


def test_a_class_that_turns_it_off_is_not_asked() -> None:
    class Off(Boxed):
        __torch_dispatch__ = torch._C._disabled_torch_dispatch_impl

    assert type(torch.ones(2).as_subclass(Off) + 1) is Tensor and not asked
    with pytest.raises(TypeError, match="Off must define __torch_dispatch__"):
        Tensor._make_wrapper_subclass(Off, (2,))


METHODS: list[Callable[[Any], Any]] = [
    lambda x: x.to(torch.float32), lambda x: x.half(), lambda x: x[x > 1], lambda x: x[[1, 0]], lambda x: x[..., None],
    lambda x: x.T, lambda x: x.new_zeros(2), lambda x: torch.zeros_like(x), lambda x: 2 - x, lambda x: 2 / x,
    lambda x: torch.where(x > 1, x, -x), lambda x: x.masked_fill(x > 1, 0), lambda x: x.unique(), lambda x: x.nonzero(),
    lambda x: torch.einsum("ij,kj->ik", x, x), lambda x: torch.cat((x, torch.zeros(1, 3))), lambda x: x.sort()[0],
    lambda x: torch.nn.functional.dropout(x, 0.5, False), lambda x: torch.nn.functional.pad(x, (1, 1)),
    lambda x: x.std(), lambda x: x.contiguous(), lambda x: x.softmax(0),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(METHODS)))
def test_methods_and_functions_reach_the_class(number: int) -> None:
    plain = torch.tensor([[0.5, 1.5, 2.5], [3.0, 0.0, 1.0]], dtype=torch.float64)
    expected, result = METHODS[number](plain), METHODS[number](Boxed(plain))
    assert type(result) is Boxed and torch.equal(result.held, expected)
    assert (result.shape, result.dtype, result.device) == (expected.shape, expected.dtype, expected.device)


def test_writes_reach_the_class() -> None:
    x = Boxed(torch.zeros(3))
    x[0], x[1:] = 5.0, torch.ones(2)
    x.add_(1)
    assert x.held.tolist() == [6.0, 2.0, 2.0] and x._version >= 1


def test_the_number_in_an_instance() -> None:
    x = Boxed(torch.tensor(2.5))
    assert x.item() == float(x) == 2.5 and int(x) == 2 and bool(x)
    assert names() == ["aten._local_scalar_dense.default"] * 4
    assert torch.ops.aten._local_scalar_dense(torch.tensor(3)) == 3


def test_saved_tensor_hooks_see_instances() -> None:
    x, kinds = Boxed(torch.tensor([1.0]), requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kinds.append(type(t)), t)[1], lambda t: t):
        y = x.exp() * x
    y.sum().backward()
    assert set(kinds) == {Boxed} and x.grad.held.item() == pytest.approx(2 * np.e)  # type: ignore[union-attr]
    x.grad = None
    torch.utils.checkpoint.checkpoint(lambda v: v.exp() * v, x, use_reentrant=False).sum().backward()
    assert x.grad.held.item() == pytest.approx(2 * np.e)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad])
def test_optimizers_update_instances(kind: Any) -> None:
    ends = []
    for make in (lambda v: v, Boxed):
        p = torch.nn.Parameter(make(torch.tensor([1.0, -2.0], dtype=torch.float64)))
        assert isinstance(p, torch.nn.Parameter) and p.is_leaf
        optimizer = kind([p], lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        ends.append(opened(p).detach())
    np.testing.assert_allclose(ends[1].numpy(), ends[0].numpy(), rtol=1e-12)


def test_helpers_for_wrappers() -> None:
    class Flat(Boxed):
        def __tensor_flatten__(self) -> Any:
            return ["held"], None

        @staticmethod
        def __tensor_unflatten__(inner: Any, context: Any, size: Any, stride: Any) -> Any:
            assert tuple(size) == (2,) and tuple(stride) == (1,)
            return Flat(inner["held"])

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = super().__torch_dispatch__(func, types, args, kwargs)
            return _python_dispatch.return_and_correct_aliasing(func, args, kwargs, out)

    x = Flat(torch.ones(2))
    assert _python_dispatch.is_traceable_wrapper_subclass(x)
    assert not any(map(_python_dispatch.is_traceable_wrapper_subclass, (torch.ones(1), Boxed(torch.ones(1)), 3)))
    assert _python_dispatch.transform_subclass(x, lambda name, t: t * 3).held.tolist() == [3.0, 3.0]
    assert torch.ops.aten.add_.Tensor(x, x) is x and x.held.tolist() == [2.0, 2.0]
    out = Flat(torch.zeros(2))
    assert torch.ops.aten.mul.out(x, x, out=out) is out and out.held.tolist() == [4.0, 4.0]
    assert (x + 1) is not x and not _python_dispatch.is_in_torch_dispatch_mode()
