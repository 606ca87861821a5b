"""Views whose base was written to after they were made: whoever takes one up next has to see the new history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

WEIGHT = 4.0


class Uses:
    """Ways to take up a view of one element; each gives a tensor whose sum has the slope of twice the element."""

    def __init__(self, torch: Any, lib: Any):
        self.torch = torch
        self.other = torch.full((1,), 2.0)
        lib.define("double(Tensor x) -> Tensor")
        lib.impl("double", lambda x: x * 2, "CPU")
        lib.define("times(Tensor x, Tensor y) -> Tensor")
        lib.impl("times", lambda x, y: x * y, "CPU")
        self.ops = torch.ops._test_stale_views

        class Double(torch.autograd.Function):  # type: ignore[misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 2

            @staticmethod
            def backward(ctx: Any, grad: Any) -> Any:
                return grad * 2

        self.function = Double.apply
        self.layer = torch.nn.Linear(1, 1, bias=False)
        self.layer.register_full_backward_hook(lambda module, before, after: None)
        with torch.no_grad():
            self.layer.weight.fill_(2.0)

    def into(self, write: Callable[[Any], Any]) -> Any:
        target = self.torch.ones(1)
        write(target)
        return target

    def row(self, v: Any) -> Any:
        return v * 2

    def composite(self, v: Any) -> Any:
        return self.torch.cat([v, v])

    def comparison(self, v: Any) -> Any:
        return self.torch.where(v > 0, v * 2, v)

    def custom_function(self, v: Any) -> Any:
        return self.function(v)

    def op_without_derivative(self, v: Any) -> Any:
        return self.ops.double(v)

    def op_of_two(self, v: Any) -> Any:
        return self.ops.times(self.other, v)

    def module_with_hooks(self, v: Any) -> Any:
        return self.layer(v)

    def conversion(self, v: Any) -> Any:
        return v.to(self.torch.float64) * 2

    def written_by_op(self, v: Any) -> Any:
        return self.into(lambda t: t.mul_(v).mul_(2))

    def written_by_copy(self, v: Any) -> Any:
        return self.into(lambda t: t.copy_(v)) * 2

    def written_by_index(self, v: Any) -> Any:
        return self.into(lambda t: t.__setitem__(slice(0, 1), v)) * 2

    def written_third(self, v: Any) -> Any:
        return self.into(lambda t: t.addcmul_(self.other, v))


@pytest.fixture
def uses(torch: Any) -> Iterator[Uses]:
    lib = torch.library.Library("_test_stale_views", "DEF")
    yield Uses(torch, lib)
    lib._destroy()


WAYS = [name for name, value in vars(Uses).items() if callable(value) and name not in ("__init__", "into")]


@pytest.mark.filterwarnings("ignore:.*an autograd kernel was not registered")
@pytest.mark.parametrize("before", [True, False], ids=["had-a-history", "had-none"])
@pytest.mark.parametrize("way", WAYS)
def test_a_write_to_the_base_is_seen_by_whoever_uses_the_view(torch: Any, uses: Uses, way: str, before: bool) -> None:
    """The base is the leaf times the weight: through the write if it had a history, else from the write alone."""
    x = torch.ones(2, requires_grad=True)
    base = x.clone() if before else torch.ones(2)
    view = base[:1]
    base.mul_(WEIGHT if before else x)
    getattr(uses, way)(view).sum().backward()
    assert x.grad.tolist() == [2 * WEIGHT if before else 2.0, 0.0]


@pytest.mark.parametrize("before", [True, False], ids=["had-a-history", "had-none"])
def test_a_write_to_the_base_is_seen_by_backward_and_grad(torch: Any, before: bool) -> None:
    slope = WEIGHT if before else 1.0

    def made() -> tuple[Any, Any]:
        x = torch.ones(2, requires_grad=True)
        base = x.clone() if before else torch.ones(2)
        view = base[0]
        base.mul_(WEIGHT if before else x)
        return x, view

    x, view = made()
    view.backward()
    assert x.grad.tolist() == [slope, 0.0]
    x, view = made()
    torch.autograd.backward([view, view], [torch.tensor(1.0), torch.tensor(2.0)], inputs=[x])
    assert x.grad.tolist() == [3 * slope, 0.0]
    x, view = made()
    assert torch.autograd.grad(view, x, torch.tensor(2.0))[0].tolist() == [2 * slope, 0.0]
    x, view = made()
    rows = torch.autograd.grad(view, x, torch.tensor([1.0, 2.0]), is_grads_batched=True)[0]
    assert rows.tolist() == [[slope, 0.0], [2 * slope, 0.0]]
    x, view = made()
    edge = torch.autograd.graph.get_gradient_edge(view)
    assert torch.autograd.grad(edge, x, torch.tensor(1.0))[0].tolist() == [slope, 0.0]
    x, view = made()
    assert [g.item() for g in torch.autograd.grad(view * 3, view)] == [3.0]
    x, view = made()
    assert (view.is_leaf, view.output_nr, view.requires_grad) == (False, 0, True)


def test_a_view_from_before_the_write_is_no_part_of_the_graph_from_before(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    base = x.clone()
    view = base[0]
    earlier = view * 2
    base.mul_(WEIGHT)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(earlier, view)


def test_one_write_through_a_stale_view_counts_one_version(torch: Any) -> None:
    x = torch.ones(1, requires_grad=True)
    base = torch.ones(1)
    view, target = base[:], torch.ones(1)
    base.mul_(x)
    version = target._version
    target.mul_(view)
    assert target._version == version + 1
    y = target.exp_()  # saves what it wrote
    y.sum().backward()
    assert x.grad.tolist() == pytest.approx([2.718281828])


@pytest.mark.parametrize("write", [
    lambda t, other: t.mul_(2), lambda t, other: t.mul_(other), lambda t, other: t.add_(other, alpha=2),
    lambda t, other: t.zero_(), lambda t, other: t.copy_(other), lambda t, other: t.clamp_(0, 1),
])  # fmt: skip
def test_writes_under_no_grad_end_the_history_of_parts(torch: Any, write: Callable[[Any, Any], Any]) -> None:
    base = torch.ones(4, requires_grad=True) * 1
    part, other = base.split(2)[0], torch.full((4,), 2.0)
    with torch.no_grad():
        write(base, other)
    with pytest.raises(RuntimeError, match="its base or another view of its base has been modified inplace"):
        part.sum()


def test_a_strided_view_saves_where_it_lies_and_no_tensor(torch: Any) -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    base = x.clone()
    column = base.as_strided((2,), (2,), 1)
    used = column * 3
    base.mul_(10)
    column.mul_(2)
    (used.sum() + column.sum()).backward()
    assert x.grad.tolist() == [[0.0, 23.0], [0.0, 23.0]]
