"""Complex memory viewed as real numbers and real memory as complex ones: writes through either, and derivatives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

LAYOUT = {"stride 1": lambda t: t(3, 4)[:, ::2], "divisible by 2 for all but": lambda t: t(3, 3)[:, :2],
          "storage_offset divisible": lambda t: t(9)[1:].view(4, 2)}


@pytest.fixture(params=["cpu", "cuda", "xla"])
def device(request: pytest.FixtureRequest, torch: Any, ours: bool) -> Iterator[str]:
    """The CPU for both libraries; for this one also a simulated device, and a library whose slices are copies."""
    if request.param != "cpu" and not ours:
        pytest.skip("PyTorch is compared on the CPU")
    if request.param == "xla":
        pytest.importorskip("jax")
    with torch.simulate("cuda") if request.param == "cuda" else contextlib.nullcontext():
        yield request.param


def pairs(torch: Any, device: str) -> Any:
    """A leaf of three pairs of numbers."""
    return torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64, device=device, requires_grad=True)


def test_both_are_views(torch: Any, device: str) -> None:
    x = pairs(torch, device).detach()
    z = torch.view_as_complex(x)
    assert z._base is x and z.dtype is torch.complex128 and z.tolist() == [1 + 2j, 3 + 4j, 5 + 6j]
    again = torch.view_as_real(z)
    assert again._base is x and again.stride() == (2, 1) and again.tolist() == x.tolist()
    z.imag.zero_()
    again[0] += 7  # two writes: into the part, and of the part into its place
    assert x.tolist() == [[8.0, 7.0], [3.0, 0.0], [5.0, 0.0]]
    assert x._version == z._version == again._version == 3
    part = torch.view_as_real(z[1:])
    assert (part.shape, part.stride(), part.storage_offset()) == ((2, 2), (2, 1), 2)


def test_what_is_no_pair_of_numbers(torch: Any) -> None:
    for words, made in (
        ("view_as_real is only supported for complex", lambda: torch.view_as_real(torch.ones(2))),
        ("view_as_complex is only supported for", lambda: torch.view_as_complex(torch.ones(2, dtype=torch.int64))),
        ("must have one or more dimensions", lambda: torch.view_as_complex(torch.tensor(1.0))),
        ("last dimension of size 2", lambda: torch.view_as_complex(torch.ones(3))),
    ):
        with pytest.raises(RuntimeError, match=words):
            made()
    for words, of in LAYOUT.items():
        with pytest.raises(RuntimeError, match=words):
            torch.view_as_complex(of(torch.ones))


@pytest.mark.parametrize("create_graph", [False, True])
def test_writes_through_complex_views_have_derivatives(torch: Any, device: str, create_graph: bool) -> None:
    """Multiplying by i turns (a, b) into (-b, a): gradients are turned back."""
    x = pairs(torch, device)
    y = x.clone()
    z = torch.view_as_complex(y)
    z[1:].mul_(1j)
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64, device=device)
    (g,) = torch.autograd.grad((y * weights).sum(), x, create_graph=create_graph, retain_graph=True)
    assert g.tolist() == [[1.0, 2.0], [4.0, -3.0], [6.0, -5.0]]
    y.mul_(10)  # the view continues from its base
    (g,) = torch.autograd.grad(torch.view_as_real(z)[1].sum(), x)
    assert g.tolist() == [[0.0, 0.0], [10.0, -10.0], [0.0, 0.0]]


@pytest.mark.parametrize("create_graph", [False, True])
def test_writes_through_real_views_have_derivatives(torch: Any, device: str, create_graph: bool) -> None:
    x = torch.tensor([1 + 2j, 3 + 4j], dtype=torch.complex128, device=device, requires_grad=True)
    y = x.clone()
    y.real.mul_(y.imag.clone())
    y.imag[1:].zero_()
    torch.view_as_real(y)[0].mul_(2)
    assert y.tolist() == [4 + 4j, 12 + 0j]
    (g,) = torch.autograd.grad((y * (3 - 5j)).real.sum(), x, create_graph=create_graph)
    # of 3 re + 5 im, where y is (2 re im, 2 im) and (re im, 0)
    assert g.tolist() == [12 + 16j, 12 + 9j]


def test_second_derivatives_and_tangents(torch: Any, device: str) -> None:
    def func(x: Any) -> Any:
        y = x[1:].clone() if device == "xla" else x.clone()
        z = torch.view_as_complex(y)
        z[:2].mul_(z[1:] * (0.5 + 1j))
        z.imag.sin_()
        return torch.view_as_real(z * z).sin()

    x = pairs(torch, device)
    assert torch.autograd.gradcheck(func, (x,), check_forward_ad=True, fast_mode=device == "xla")
    if device != "xla":  # compiles each of its steps anew
        assert torch.autograd.gradgradcheck(func, (x,))
    c = torch.tensor([0.1 + 0.2j, 0.3 - 0.4j], dtype=torch.complex128, device=device, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: torch.view_as_real(t.clone().mul_(t)), (c,), check_forward_ad=True)


def test_the_same_bytes_as_another_dtype_are_no_view_for_derivatives(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x * 1
    bits = y.view(torch.int32)
    assert not (bits.requires_grad or bits._is_view()) and bits._version == y._version
    y.mul_(2)
    assert bits.grad_fn is None and bits.tolist() == [2**30, 2**30]
    bits.add_(1 << 23)  # doubles
    assert y.tolist() == [4.0, 4.0] and y._version == bits._version == 2


def test_nodes_have_their_names(torch: Any) -> None:
    assert torch.view_as_real(torch.ones(1, dtype=torch.complex64, requires_grad=True)).grad_fn.name() == (
        "ViewAsRealBackward0"
    )
    assert torch.view_as_complex(torch.ones(2, requires_grad=True)).grad_fn.name() == "ViewAsComplexBackward0"
