"""What autograd offers beyond PyTorch: strong zeros and finders of non-finite values, lost gradients and leaks."""

from __future__ import annotations

import math
import operator

import pytest

import autograd_fb as torch

# --- strong zeros


def safe_sqrt(x):
    return torch.where(x > 0, x.sqrt(), x)


def test_a_zero_gradient_beats_an_infinite_slope():
    x = torch.tensor([-1.0, 0.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(safe_sqrt(x).sum(), x)[0].isfinite().tolist() == [False, False, True]
    y = safe_sqrt(x).sum()
    with torch.autograd.strong_zero():
        assert torch.autograd.is_strong_zero_enabled()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        assert g.tolist() == [1.0, 1.0, 0.25]
        (h,) = torch.autograd.grad(g.sum(), x)
    assert h.tolist() == [0.0, 0.0, pytest.approx(-0.25 * 4.0**-1.5)]
    assert not torch.autograd.is_strong_zero_enabled()


UNSAFE = (
    lambda x: x.log(), lambda x: 1 / x, lambda x: x**-0.5, lambda x: x.log() * x, lambda x: (x.sqrt() + 1).acos(),
)  # fmt: skip


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_guarded_ops(unsafe):
    x = torch.tensor([0.0, -2.0], requires_grad=True)
    with torch.autograd.strong_zero():
        torch.where(x > 1, unsafe(x), 2 * x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_values_that_are_no_strong_zeros_stay():
    x = torch.tensor([0.0, 2.0], requires_grad=True)
    with torch.autograd.strong_zero():
        x.sqrt().sum().backward()
    assert x.grad.tolist() == [math.inf, pytest.approx(0.5 / math.sqrt(2))]
    # a gradient of zero that is variable keeps its own derivative
    v = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    with torch.autograd.strong_zero():
        (g,) = torch.autograd.grad(y.sin(), y, v, create_graph=True)
        (d,) = torch.autograd.grad(g, v)
    assert d.item() == pytest.approx(math.cos(3.0))


def test_strong_zeros_with_broadcasting_packed_tensors_and_anomaly_mode():
    x = torch.tensor([[-1.0], [4.0]], requires_grad=True)
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = torch.where(x > 0, x.sqrt() * w, x * w).sum()
    torch.autograd.set_strong_zero(True)
    try:
        with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly():
            y.backward()
    finally:
        torch.autograd.set_strong_zero(False)
    assert x.grad.tolist() == [[3.0], [0.75]]
    assert w.grad.tolist() == [1.0, 1.0]
    assert not torch.autograd.anomaly.is_anomaly_enabled()


def test_gradients_without_zeros_are_the_same():
    torch.manual_seed(0)
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    for fn in (torch.sin, torch.exp, lambda t: t * t / (t + 3), lambda t: operator.pow(2.0, t), torch.tanh):
        plain = torch.autograd.grad(fn(x).sum(), x)[0]
        with torch.autograd.strong_zero():
            assert torch.equal(torch.autograd.grad(fn(x).sum(), x)[0], plain)
            assert torch.autograd.gradgradcheck(fn, (x,))


# --- non-finite values


def line_of(name):
    """``file:line`` of the line below the marker comment in this file."""
    with open(__file__) as source:
        for number, text in enumerate(source, 1):
            if text.rstrip().endswith(f"# {name}"):
                return f"test_extras.py:{number}"
    raise AssertionError(name)


def test_the_call_that_makes_the_first_nan_is_named():
    x = torch.tensor([[1.0, 0.0]], requires_grad=True)
    with pytest.raises(torch.autograd.nonfinite.NonFiniteError) as error, torch.autograd.detect_nonfinite():
        y = x / x  # first nan
        y.log()
    found = error.value.found
    assert (found.where, found.op, found.kind, found.shapes) == ("forward", "aten.div.Tensor", "nan", ((1, 2), (1, 2)))
    assert line_of("first nan") in str(error.value)
    assert str(error.value).startswith("aten.div.Tensor of [1, 2], [1, 2] gave nan at ")


def test_nonfinite_in_backward_and_collected():
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    with torch.autograd.detect_nonfinite(error=False) as found:
        y = x.sqrt()  # slope
        z = (y * 3).sum()
        z.backward()
        x.detach().reciprocal().sqrt()
        torch.empty(3)
    assert [(f.where, f.op, f.kind, f.shapes) for f in found] == [
        ("backward", "SqrtBackward0", "inf", ((2,),)),
        ("forward", "aten.reciprocal.default", "inf", ((2,),)),
    ]
    assert line_of("slope") in found[0].site
    with torch.autograd.detect_nonfinite(error=False, infinities=False) as found:
        x.detach().reciprocal()
    assert found == []


def test_nonfinite_leaves_nothing_behind():
    from autograd_fb.dispatch.state import ALL, state
    from autograd_fb.graph.engine import watching

    with torch.autograd.detect_nonfinite(), torch.autograd.strong_zero():
        torch.ones(2, requires_grad=True).sum().backward()
    assert (state.mask, state.general, state.on_call, watching.watch) == (ALL, 0, None, None)


# --- leaks


def test_leaks_are_told_by_op_and_line():
    x, kept = torch.ones(3, requires_grad=True), []

    def step():
        loss = x.exp().sum()  # kept here
        kept.append(loss)

    with torch.autograd.graph.leak_check() as report:
        step()
        step()
        (x * 2).sum().backward()
    assert {name: n for (name, _), n in report.alive.items()} == {"ExpBackward0": 2, "SumBackward0": 2}
    assert all(line_of("kept here") in site for _, site in report.alive)
    assert not report.cycles
    assert str(report).startswith("4 graph nodes still alive, held by something:\n  2 x ExpBackward0 made at ")
    kept.clear()
    with torch.autograd.graph.leak_check(error=True) as report:
        x.exp().sum().backward()
    assert str(report) == "no graph nodes are left"


def test_cycles_are_told_apart():
    x = torch.ones(3, requires_grad=True)

    def cyclic():
        y = x.exp()
        y.register_hook(lambda g: (y, None)[1])  # the hook holds the tensor whose node holds the hook

    check = torch.autograd.graph.leak_check(error=True)
    with pytest.raises(torch.autograd.leaks.LeakError, match="freed only by the garbage collector"), check as report:
        cyclic()
    assert [name for name, _ in report.cycles] == ["ExpBackward0"]
    assert not report.alive


# --- departures


def explain(make):
    """Why a tensor made while departures are recorded has no gradient."""
    x = torch.tensor([1.5], requires_grad=True)
    with torch.autograd.record_departures():
        return torch.why_no_grad(make(x))


def test_departures_are_named_with_their_line():
    text = explain(lambda x: (x * 2).detach() + 1)  # detach line
    assert text.startswith("no gradient: detached (detach) at ")
    assert line_of("detach line") in text
    cases = {
        "detached (detach)": lambda x: x.detach().exp().sum(),
        "taken out of the graph (data)": lambda x: x.data * 2,
        "compared (aten.gt.Scalar)": lambda x: (x > 1).float(),
        "compared (aten.gt.Tensor)": lambda x: torch.gt(x, torch.ones(1)),
        "cast to torch.int64": lambda x: x.long().float() * 3,
        "computed under no_grad (aten.mul": lambda x: torch.no_grad()(lambda: x * 2)() + 1,
        "gave torch.int64 (aten.argmax.default)": lambda x: x.argmax(),
    }
    for expected, make in cases.items():
        assert explain(make).startswith(f"no gradient: {expected}"), explain(make)


def test_values_that_became_constants():
    text = explain(lambda x: torch.tensor(x.item() * 2))
    assert "a constant. Before it was made, values were taken out of the graph" in text
    assert "made a Python number (item) at " in text
    assert "made a Python float (__float__)" in explain(lambda x: torch.ones(2) * float(x))
    assert "made a list of Python numbers (tolist)" in explain(lambda x: torch.tensor(x.tolist()))


def test_what_a_tensor_tells_by_itself():
    x = torch.ones(2, requires_grad=True)
    assert torch.why_no_grad(x).startswith("it has a gradient: a leaf that requires grad")
    assert "retain_grad()" in torch.why_no_grad(x * 2)
    assert torch.why_no_grad(torch.arange(3)).startswith("no gradient: torch.int64 has none")
    with pytest.raises(TypeError, match="expected a Tensor, got float"):
        torch.why_no_grad(1.0)


def test_recording_leaves_nothing_behind():
    before = {name: getattr(torch.Tensor, name) for name in ("detach", "item", "numpy", "__array__", "data")}
    own = set(vars(torch.Tensor))
    x = torch.ones(2, requires_grad=True)
    with torch.autograd.record_departures() as departures:
        assert torch.Tensor.detach is not before["detach"]
        y = x.detach()
        with pytest.raises(RuntimeError, match="cannot be nested"), torch.autograd.record_departures():
            pass
    assert {name: getattr(torch.Tensor, name) for name in before} == before
    assert set(vars(torch.Tensor)) == own
    assert [d.what for d in departures.of(y)] == ["detach"]
    del y
    assert not departures._notes


# --- drawings


def small_graph():
    w, x = torch.ones(3, requires_grad=True), torch.ones(2, 3)
    return w, (w.exp() * x).sum() + w.sum()  # drawn


def test_drawing_as_text():
    w, y = small_graph()
    place = line_of("drawn")
    assert torch.autograd.draw(y, names={"w": w}).splitlines() == [
        f"Add []  {place}",
        f"├─ Sum []  {place}",
        f"│  └─ Mul [2, 3]  {place}",
        f"│     └─ Exp [3]  {place}",
        "│        └─ (0) w [3]",
        f"└─ Sum []  {place}",
        "   └─ (0) w [3]",
    ]
    with pytest.raises(ValueError, match="format is 'text' or 'svg', not 'png'"):
        torch.autograd.draw(y, "png")
    with pytest.raises(RuntimeError, match="there is no graph behind it"):
        torch.autograd.draw(torch.ones(2))


def test_drawing_as_svg():
    from xml.etree import ElementTree

    w, y = small_graph()
    root = ElementTree.fromstring(torch.autograd.draw([y], "svg", names={"<w>": w}))
    space = "{http://www.w3.org/2000/svg}"
    texts = [t.text for t in root.iter(f"{space}text")]
    titles = ["<w> [3]", "Add []", "Exp [3]", "Mul [2, 3]", "Sum []", "Sum []"]
    assert sorted(t for t in texts if "[" in t) == titles
    boxes = [r for r in root.iter(f"{space}rect") if r.get("rx")]
    spans = [(float(b.get("y")), float(b.get("x")), float(b.get("x")) + float(b.get("width"))) for b in boxes]
    for y0, left, right in spans:  # within a layer boxes do not overlap
        assert sum(y1 == y0 and a < right and left < b for y1, a, b in spans) == 1
    assert all(left >= 0 and right <= float(root.get("width")) for _, left, right in spans)
    assert len(list(root.iter(f"{space}path"))) == 8  # six edges, one of them through two points


def test_a_deep_graph_can_be_drawn():
    y = torch.ones(1, requires_grad=True)
    for _ in range(3000):
        y = y + 1
    assert torch.autograd.draw(y).count("\n") == 3000


def test_steps_of_composites_name_the_users_line():
    x = torch.randn(2, 3, requires_grad=True)
    y = torch.nn.functional.cross_entropy(x, torch.tensor([0, 1]))  # composite
    assert torch.autograd.draw(y).count(line_of("composite")) == 2
