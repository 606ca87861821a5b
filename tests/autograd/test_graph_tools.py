"""Tools around the graph: anomaly mode, gradcheck, hooks over saved tensors, edges, Variable."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


def leaf(torch: Any, *values: float) -> Any:
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


# --- anomaly mode


def failing(torch: Any) -> Any:
    class Failing(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            raise ValueError("from backward")

    return Failing


def test_anomaly_mode_names_the_forward_of_a_failing_step(torch: Any) -> None:
    x = leaf(torch, 1.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly():
            y = failing(torch).apply(x)  # the line the report names
            with pytest.raises(ValueError, match="from backward"):
                y.sum().backward()
    messages = [str(w.message) for w in caught]
    assert any("Anomaly Detection has been enabled" in m for m in messages)
    (report,) = [m for m in messages if "Error detected in FailingBackward" in m]
    assert "Traceback of forward call that caused the error" in report
    assert "test_graph_tools.py" in report


def anomalies(run: Any, torch: Any, error: str) -> list[str]:
    """What anomaly mode tells while ``run`` fails with this message."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with torch.autograd.set_detect_anomaly(True), pytest.raises((RuntimeError, ValueError), match=error):
            run()
    return [str(w.message) for w in caught]


def test_anomaly_mode_knows_whether_it_was_on_in_the_forward(torch: Any, ours: bool) -> None:
    x = leaf(torch, 1.0)
    y = failing(torch).apply(x)
    (report,) = anomalies(lambda: y.sum().backward(), torch, "from backward")
    assert "No forward pass information available" in report
    if ours:
        assert "test_graph_tools.py" in report
    (report,) = anomalies(lambda: failing(torch).apply(x).sum().backward(), torch, "from backward")
    assert "failing(torch).apply(x).sum()" in report  # the text of the line


def test_anomaly_mode_tells_of_the_step_that_made_a_step(torch: Any) -> None:
    class Inner(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            raise ValueError("from the inner one")

    class Outer(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return Inner.apply(grad) * 3

    def run() -> None:
        x = leaf(torch, 1.0)
        start = leaf(torch, 1.0)
        (g,) = torch.autograd.grad(Outer.apply(x), x, start, create_graph=True)
        g.sum().backward()

    first, second = anomalies(run, torch, "from the inner one")
    assert "Error detected in InnerBackward" in first
    assert "Inner.apply(grad)" in first
    assert "Previous calculation was induced by OuterBackward" in second
    assert "Outer.apply(x)" in second


def test_where_warnings_are_errors_an_anomaly_is_printed(torch: Any, capsys: Any) -> None:
    x = leaf(torch, 1.0)
    with torch.autograd.set_detect_anomaly(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        y = failing(torch).apply(x)
        with pytest.raises(ValueError, match="from backward"):
            y.sum().backward()
    assert "Error detected in FailingBackward" in capsys.readouterr().err


def test_anomaly_mode_finds_nan(torch: Any) -> None:
    x = leaf(torch, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.set_detect_anomaly(True):
            y = (x * 0).sqrt() * 0
            with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output"):
                y.sum().backward()
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            ((x * 0).sqrt() * 0).sum().backward()
    ((x * 0).sqrt() * 0).sum().backward()
    assert x.grad.isnan().all()


def test_anomaly_mode_is_off_again(torch: Any) -> None:
    x = leaf(torch, 0.0)
    torch.autograd.set_detect_anomaly(True)
    torch.autograd.set_detect_anomaly(False)
    (x.sqrt() * 0).sum().backward()
    assert x.grad.isnan().all()


# --- gradcheck


def test_gradcheck_passes_and_fails(torch: Any) -> None:
    class Wrong(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grad * x

    x = leaf(torch, 1.0, 2.0, -0.5)
    assert torch.autograd.gradcheck(lambda t: t * t, (x,)) is True
    assert torch.autograd.gradcheck(torch.sin, x)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        torch.autograd.gradcheck(Wrong.apply, (x,))
    assert torch.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False) is False
    assert x.grad is None
    assert x.tolist() == [1.0, 2.0, -0.5]


def test_gradcheck_of_several_inputs_and_outputs(torch: Any) -> None:
    a, b = leaf(torch, 1.0, 2.0), leaf(torch, 3.0, -4.0)
    assert torch.autograd.gradcheck(lambda s, t, k: (s * t + k, (s @ t).exp()), (a, b * 0.1, 2.0))
    assert torch.autograd.gradgradcheck(lambda s, t: (s * t * t, s.sin()), (a, b))
    assert torch.autograd.gradcheck(lambda s: (s.detach().sign(), s * 2), (a,))


def test_gradcheck_of_complex_functions(torch: Any) -> None:
    z = torch.tensor([1.0 + 2.0j, -0.5 + 0.25j], dtype=torch.complex128, requires_grad=True)
    x = leaf(torch, 1.5, -2.0)
    for fn in (torch.abs, torch.exp, lambda t: t * t.conj(), lambda t: t.real * 2, lambda t: t * t):
        assert torch.autograd.gradcheck(fn, (z,))
    assert torch.autograd.gradcheck(lambda t, s: t * s, (z, x))
    assert torch.autograd.gradgradcheck(lambda t, s: (t * s).exp(), (z * 0.1, x))


def test_gradcheck_wants_double_precision_that_requires_grad(torch: Any) -> None:
    with pytest.raises(ValueError, match="expects at least one input tensor to require gradient"):
        torch.autograd.gradcheck(torch.sin, (torch.ones(2),))
    with pytest.warns(UserWarning, match="not a double precision floating point"):
        torch.autograd.gradcheck(torch.sin, (torch.ones(2, requires_grad=True),), raise_exception=False)


def test_gradcheck_of_parameters_that_are_closed_over(torch: Any) -> None:
    w, x = leaf(torch, 1.0, 2.0), torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda _: (w * x).sum() ** 2, (w,))


def test_gradcheck_notices_a_missing_gradient(torch: Any) -> None:
    x = leaf(torch, 1.0)
    y = leaf(torch, 2.0)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 1"):
        torch.autograd.gradcheck(lambda a, b: a * b.detach(), (x, y))


# --- hooks over saved tensors


def test_saved_tensors_go_through_pack_and_unpack(torch: Any) -> None:
    x, calls = leaf(torch, 3.0), []

    def pack(t: Any) -> Any:
        calls.append("pack")
        return ("packed", t.tolist())

    def unpack(value: Any) -> Any:
        calls.append("unpack")
        return torch.tensor(value[1], dtype=torch.float64)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x * x
    assert calls == ["pack", "pack"]
    z = y * 1
    z.sum().backward()
    assert calls == ["pack", "pack", "unpack", "unpack"]
    assert x.grad.tolist() == [6.0]


def test_hooks_over_saved_results_and_functions(torch: Any) -> None:
    class Cube(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * x * x * grad

    x = leaf(torch, 2.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t):
        y = x.exp()
        z = Cube.apply(x)
    torch.autograd.backward([y.sum(), z.sum()])
    assert x.grad.tolist() == pytest.approx([2 * 7.38905609893065 + 3 * 16.0])


def test_double_backward_through_packed_tensors(torch: Any) -> None:
    x = leaf(torch, 2.0)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        y = x.exp() * x * x
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    e = 7.38905609893065
    assert g.tolist() == pytest.approx([e * 8])
    assert h.tolist() == pytest.approx([e * 14])


def test_hooks_nest_and_end_with_their_block(torch: Any) -> None:
    x, seen = leaf(torch, 2.0), []
    outer = torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append("outer") or t, lambda t: t)
    inner = torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append("inner") or t, lambda t: t)
    with outer:
        x.exp()
        with inner:
            x.exp()
        x.exp()
    x.exp()
    assert seen == ["outer", "inner", "outer"]


def test_hooks_can_be_forbidden(torch: Any) -> None:
    graph = torch.autograd.graph
    hooks = graph.saved_tensors_hooks(lambda t: t, lambda t: t)
    with graph.disable_saved_tensors_hooks("not here"), pytest.raises(RuntimeError, match="not here"), hooks:
        pass
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        pass


def test_save_on_cpu(torch: Any) -> None:
    x = leaf(torch, 2.0)
    with torch.autograd.graph.save_on_cpu():
        y = x * x
    y.sum().backward()
    assert x.grad.tolist() == [4.0]


# --- nodes and edges


def test_nodes_are_nodes(torch: Any) -> None:
    node = (leaf(torch, 2.0) * 2).grad_fn
    assert isinstance(node, torch.autograd.graph.Node)
    assert repr(node).startswith("<MulBackward0 object at 0x")
    node.metadata["note"] = 1
    assert node.metadata == {"note": 1}


def test_gradient_edges_stand_for_their_tensor(torch: Any) -> None:
    x = leaf(torch, 2.0, 3.0)
    y = x * 3
    edge = torch.autograd.graph.get_gradient_edge(y)
    z = (y * y).sum()
    del y
    assert edge.node.name() == "MulBackward0"
    assert edge.output_nr == 0
    assert torch.autograd.grad(z, edge, retain_graph=True)[0].tolist() == [12.0, 18.0]
    (gx,) = torch.autograd.grad(edge, x, torch.ones(2).double())
    assert gx.tolist() == [3.0, 3.0]
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.graph.get_gradient_edge(torch.ones(1))


def test_increment_version(torch: Any) -> None:
    x = leaf(torch, 2.0)
    y = x * 1
    z = y * y
    torch.autograd.graph.increment_version(y)
    assert y._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_multi_grad_hooks(torch: Any) -> None:
    a, b, c = leaf(torch, 1.0), leaf(torch, 2.0), leaf(torch, 3.0)
    seen: list[Any] = []
    handle = torch.autograd.graph.register_multi_grad_hook(
        (a, b, c), lambda grads: seen.append([None if g is None else g.item() for g in grads])
    )
    (a * b * c).sum().backward()
    (a * b).sum().backward()
    handle.remove()
    (a * b * c).sum().backward()
    assert seen == [[6.0, 3.0, 2.0], [2.0, 1.0, None]]


def test_multi_grad_hooks_for_any(torch: Any) -> None:
    a, b = leaf(torch, 1.0), leaf(torch, 2.0)
    seen: list[Any] = []
    torch.autograd.graph.register_multi_grad_hook((a, b), lambda g: seen.append(g.item()), mode="any")
    (a * b).sum().backward()
    (a * 5).sum().backward()
    assert len(seen) == 2
    assert seen[1] == 5.0


def test_variable_is_another_name_of_tensor(torch: Any) -> None:
    x = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    assert isinstance(x, torch.Tensor)
    assert isinstance(x, torch.autograd.Variable)
    assert x.requires_grad
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert torch.autograd.variable.Variable is torch.autograd.Variable


def test_names_that_programs_import(torch: Any) -> None:
    assert torch.autograd.function.Function is torch.autograd.Function
    assert issubclass(torch.autograd.function.FunctionCtx, object)
    assert callable(torch.autograd.function.once_differentiable)
    assert torch.autograd.grad_mode.no_grad is torch.no_grad
    assert torch.autograd.set_grad_enabled is torch.set_grad_enabled


def test_callbacks_run_when_backward_has_run(torch: Any) -> None:
    x, seen = leaf(torch, 2.0), []
    engine = torch.autograd.Variable._execution_engine
    y = x * 2
    y.register_hook(lambda g: engine.queue_callback(lambda: seen.append(x.grad.item())))
    y.sum().backward()
    assert seen == [2.0]
    with pytest.raises(RuntimeError, match="Final callbacks can only be installed during backward pass"):
        engine.queue_callback(print)
