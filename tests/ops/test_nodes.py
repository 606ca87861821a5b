"""What a recorded op leaves behind: the node's name, what it keeps alive, which results have it; named results."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import autograd_fb as torch
from autograd_fb.testing.op_suite import quietly, reference

NAMES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "AddBackward0": lambda M, x, v: x + x,
    "MulBackward0": lambda M, x, v: x * 2,
    "RsubBackward1": lambda M, x, v: 1 - x,
    "DivBackward0": lambda M, x, v: x / x,
    "NegBackward0": lambda M, x, v: -x,
    "PowBackward0": lambda M, x, v: x**2,
    "PowBackward2": lambda M, x, v: 2**x,
    "RemainderBackward0": lambda M, x, v: x % 2,
    "RemainderBackward1": lambda M, x, v: x % x.detach(),
    "ExpBackward0": lambda M, x, v: x.exp(),
    "Log1PBackward0": lambda M, x, v: M.log1p(x),
    "ClampBackward1": lambda M, x, v: x.clamp(0, 1),
    "NotImplemented": lambda M, x, v: M.floor_divide(x, 2),
    "ConjBackward0": lambda M, x, v: M.complex(x, x).conj(),
    "ConjPhysicalBackward0": lambda M, x, v: M.complex(x, x).conj_physical(),
    "WhereBackward0": lambda M, x, v: M.where(x > 0, x, 0.0),
    "SumBackward0": lambda M, x, v: x.sum(),
    "SumBackward1": lambda M, x, v: x.sum(0),
    "MeanBackward0": lambda M, x, v: x.mean(),
    "MeanBackward1": lambda M, x, v: x.mean(0),
    "MaxBackward0": lambda M, x, v: x.max(0).values,
    "MaxBackward1": lambda M, x, v: x.max(),
    "MmBackward0": lambda M, x, v: x @ x,
    "MvBackward0": lambda M, x, v: x @ v,
    "DotBackward0": lambda M, x, v: v @ v,
    "UnsafeViewBackward0": lambda M, x, v: x.reshape(1, 2, 2) @ x,
    "BmmBackward0": lambda M, x, v: M.bmm(x[None], x[None]),
    "AddmmBackward0": lambda M, x, v: M.nn.functional.linear(x, x, v),
    "ViewBackward0": lambda M, x, v: x.view(4),
    "TBackward0": lambda M, x, v: x.t(),
    "PermuteBackward0": lambda M, x, v: x.T,
    "TransposeBackward0": lambda M, x, v: x.transpose(0, 1),
    "CloneBackward0": lambda M, x, v: x.t().contiguous(),
    "SelectBackward0": lambda M, x, v: x[0],
    "SliceBackward0": lambda M, x, v: x[1:],
    "IndexBackward0": lambda M, x, v: x[M.tensor([0])],
    "CatBackward0": lambda M, x, v: M.cat([x, x]),
    "StackBackward0": lambda M, x, v: M.stack([x, x]),
    "SplitBackward0": lambda M, x, v: x.split(1)[0],
    "UnbindBackward0": lambda M, x, v: x.unbind(0)[1],
    "ExpandBackward0": lambda M, x, v: v.expand(3, 2),
    "ToCopyBackward0": lambda M, x, v: x.to(M.float64),
    "ReluBackward0": lambda M, x, v: M.relu(x),
    "SoftmaxBackward0": lambda M, x, v: M.softmax(x, 1),
    "LogSoftmaxBackward0": lambda M, x, v: M.log_softmax(x, 1),
    "NllLossBackward0": lambda M, x, v: M.nn.functional.cross_entropy(x, M.tensor([0, 1])),
    "MseLossBackward0": lambda M, x, v: M.nn.functional.mse_loss(x, x * 2),
    "ReciprocalBackward0": lambda M, x, v: (1 / x).grad_fn.next_functions[0][0],
    "CopySlices": lambda M, x, v: written(x),
}


def written(x: Any) -> Any:
    y = x.clone()
    y[0] *= 2
    return y


@pytest.mark.parametrize("name", NAMES)
def test_nodes_are_called_as_in_pytorch(name: str) -> None:
    found = []
    for module in (torch, reference):
        if module is None:
            continue
        x = module.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        v = module.tensor([1.0, 2.0], requires_grad=True)
        made = quietly(NAMES[name], module, x, v)
        node = getattr(made, "grad_fn", made)
        found.append(type(node).__name__)
        assert node.name().rpartition("::")[2] == name
    assert set(found) == {name}


WRITTEN: dict[str, Callable[[Any, Any, Any], Any]] = {
    "MulBackward0": lambda M, b, y: b.multiply_(y),
    "SubBackward0": lambda M, b, y: b.subtract_(y, alpha=2),
    "DivBackward2": lambda M, b, y: b.divide_(y, rounding_mode="floor"),
    "AcosBackward0": lambda M, b, y: b.arccos_(),
    "AtanhBackward1": lambda M, b, y: b.arctanh_(),
    "ClampBackward1": lambda M, b, y: b.clip_(0.1, 0.4),
    "EluBackward1": lambda M, b, y: M.nn.functional.elu(b, inplace=True),
    "LeakyReluBackward1": lambda M, b, y: M.nn.functional.leaky_relu(b, inplace=True),
    "ThresholdBackward1": lambda M, b, y: M.nn.functional.threshold(b, 0.1, 0.0, inplace=True),
    "HardtanhBackward0": lambda M, b, y: M.nn.functional.relu6(b, inplace=True),
    "FillBackward2": lambda M, b, y: b.fill_(1.0),
    "FillBackward3": lambda M, b, y: b.fill_(y[0, 0]),
    "SqueezeBackward3": lambda M, b, y: b.squeeze_(),
    "TransposeBackward1": lambda M, b, y: b.transpose_(0, 1),
    "TBackward1": lambda M, b, y: b.t_(),
    "UnsqueezeBackward1": lambda M, b, y: b.unsqueeze_(0),
    "EqBackward1": lambda M, b, y: b.eq_(y),
    "GtBackward0": lambda M, b, y: b.gt_(0.3),
    "torch::autograd::CopyBackwards": lambda M, b, y: b.copy_(y),
    "torch::autograd::NotImplemented": lambda M, b, y: b.floor_divide_(2.0),
    "torch::autograd::CopySlices": lambda M, b, y: b[:1].mul_(y[:1]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_histories_of_in_place_ops_are_called_as_in_pytorch(name: str) -> None:
    seen = []
    for module in (torch, reference):
        if module is None:
            continue
        x, y = (module.tensor([[0.3, 0.5], [0.7, 0.2]], requires_grad=True) for _ in range(2))
        b = x.clone()
        WRITTEN[name](module, b, y)
        nodes = [None if n is None else n.name() for n, _ in b.grad_fn.next_functions]
        seen.append((b.grad_fn.name(), type(b.grad_fn).__name__, nodes))
    assert all(s == seen[0] for s in seen) and seen[0][0] == name


def test_comparisons_in_place_have_zero_gradients() -> None:
    for module in (torch, reference):
        if module is None:
            continue
        x, y = (module.tensor([0.3, 0.5], requires_grad=True) for _ in range(2))
        b = x.clone()
        b.lt_(y)
        b.sum().backward()
        assert x.grad.tolist() == [0.0, 0.0] and y.grad.tolist() == [0.0, 0.0]
        with pytest.raises(RuntimeError, match="derivative for aten::floor_divide_ is not implemented"):
            x.clone().floor_divide_(2.0).sum().backward()


def test_a_number_divided_by_a_tensor_is_its_reciprocal_times_the_number() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    assert (1 / x).grad_fn.name() == "MulBackward0"


def kept(make: Callable[[Any, Any], Any], which: int) -> bool:
    """Whether the graph of a product keeps an operand's array alive when only the other one requires grad."""
    operands = [torch.ones(4), torch.ones(4)]
    operands[1 - which].requires_grad_()
    out = make(*operands)
    alive = weakref.ref(operands[which].array)
    del operands
    gc.collect()
    return out is not None and alive() is not None


def test_only_what_the_gradient_needs_is_kept() -> None:
    assert kept(torch.mul, 0) and kept(torch.mul, 1)
    assert not kept(torch.add, 0) and not kept(torch.sub, 1)
    x, w = torch.ones(4, requires_grad=True), torch.ones(4)
    y = torch.ones(4) * 3
    alive = weakref.ref(y.array)
    z = y * w + x
    del y
    assert alive() is None and z.requires_grad
    product = x * w
    assert product.grad_fn._saved_self is None and product.grad_fn._saved_other is w


def test_results_that_are_no_functions_of_the_arguments_do_not_require_grad() -> None:
    x = torch.tensor([[3.0, 1.0], [2.0, 5.0]], requires_grad=True)
    values, indices = x.sort()
    assert values.requires_grad and not indices.requires_grad and indices.grad_fn is None
    assert not x.argmax().requires_grad and not (x > 0).requires_grad
    out, mean, rstd = torch.native_layer_norm(x, [2], None, None, 1e-5)
    assert (out.requires_grad, mean.requires_grad, rstd.requires_grad) == (True, False, False)


def test_named_results() -> None:
    pair = torch.max(torch.tensor([[1.0, 3.0], [4.0, 2.0]]), 1)
    assert isinstance(pair, tuple) and len(pair) == 2
    assert pair.values.tolist() == [3.0, 4.0] and pair[1] is pair.indices
    assert repr(pair) == "torch.return_types.max(\nvalues=tensor([3., 4.]),\nindices=tensor([1, 0]))"
    values, indices = pair
    assert indices.tolist() == [1, 0] and values is pair[0]
    again = pickle.loads(pickle.dumps(pair))
    assert type(again) is type(pair) and again.values.tolist() == [3.0, 4.0]
    assert type(copy.copy(pair)) is type(pair)
    assert type(torch.aminmax(torch.ones(2)))._fields == ("min", "max")
    assert type(torch.ones(2).unbind()) is tuple
    with pytest.raises(TypeError, match="takes a 2-sequence"):
        type(pair)((1,))


INDICES = [
    slice(None), slice(0, 3), slice(0, 2), (slice(None), slice(0, 4)), (1, slice(None)), (1, slice(0, 2)), Ellipsis,
    None, (None, Ellipsis), (slice(None), None), (slice(0, 2), None), (slice(0, 2), Ellipsis), (1, Ellipsis),
    (Ellipsis, 0), (), (slice(-5, 100),), (slice(0, 2), slice(0, 9), 0), -1, (None, slice(0, 2)), (1, 2, 0),
    (Ellipsis, slice(0, 1)),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_histories_of_indices_are_called_as_in_pytorch(index: Any) -> None:
    if reference is None:
        pytest.skip("PyTorch is not installed")
    names = [type(m.ones(3, 4, 1, requires_grad=True)[index].grad_fn).__name__ for m in (torch, reference)]
    assert names[0] == names[1]


def test_a_real_tensor_is_its_own_conjugate() -> None:
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    assert x.conj() is torch.conj(x) is x.conj_physical() is x
    h = x.H
    assert type(h.grad_fn).__name__ == type(x.mH.grad_fn).__name__ == "TransposeBackward0"
    with torch.no_grad():
        h[2, 1] = 50.0
        x.mH[0, 0] = -1.0
    assert x.tolist() == [[-1.0, 1.0, 2.0], [3.0, 4.0, 50.0]]
    z = torch.complex(x.detach(), x.detach())
    assert z.conj() is not z
    assert torch.equal(z.H, z.t().conj())
    assert z.adjoint()[0, 0] == -1 + 1j
