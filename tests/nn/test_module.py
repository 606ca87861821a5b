"""Module: attributes, registration, traversal, state dicts, hooks, copies, and the containers."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest

import autograd_fb
from autograd_fb import nn

torch = pytest.importorskip("torch")


def net(lib: Any) -> Any:
    class Net(lib.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = lib.nn.Parameter(lib.ones(2))
            self.l = lib.nn.Linear(2, 3)
            self.register_buffer("b", lib.ones(2))
            self.register_buffer("hidden", lib.ones(1), persistent=False)
            self.p = 5

        def forward(self, x: Any) -> Any:
            return self.l(x * self.x + self.b)

    return Net()


class Double(nn.Module):
    """At module level, so that it can be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return 2 * self.l(x)


def module_before_init(lib: Any, value: Any) -> Any:
    class Early(lib.nn.Module):
        def __init__(self) -> None:
            self.x = value

    return Early()


ACTIONS: list[Any] = [
    lambda m, t: m.register_parameter("a.b", None),
    lambda m, t: m.register_parameter("", None),
    lambda m, t: m.register_parameter("forward", None),
    lambda m, t: m.register_parameter("q", 3),
    lambda m, t: m.register_parameter("l", t.nn.Parameter(t.ones(2))),
    lambda m, t: m.register_parameter(3, None),
    lambda m, t: m.register_parameter("g", t.ones(2, requires_grad=True) * 2),
    lambda m, t: m.register_buffer("q", 3),
    lambda m, t: m.register_buffer("", None),
    lambda m, t: m.register_buffer("a.b", None),
    lambda m, t: m.register_buffer("x", t.ones(2)),
    lambda m, t: m.add_module("q", 3),
    lambda m, t: m.add_module("", t.nn.ReLU()),
    lambda m, t: m.add_module("a.b", t.nn.ReLU()),
    lambda m, t: m.nothing,
    lambda m, t: t.nn.Module()(3),
    lambda m, t: setattr(m, "x", 3),
    lambda m, t: setattr(m, "l", 3),
    lambda m, t: setattr(m, "b", 3),
    lambda m, t: setattr(m, "x", t.ones(2)),
    lambda m, t: m.train(3),
    lambda m, t: m.get_parameter("l.q"),
    lambda m, t: m.get_submodule("q.z"),
    lambda m, t: m.get_parameter("l"),
    lambda m, t: m.get_buffer("x"),
    lambda m, t: m.to(t.int32),
    lambda m, t: m.load_state_dict(3),
    lambda m, t: m.load_state_dict({"x": t.ones(3), "y": t.ones(2)}),
    lambda m, t: m.load_state_dict({"x": 5, "b": t.ones(2)}, strict=False),
    lambda m, t: t.nn.Module(1),
    lambda m, t: t.nn.Module(a=1),
    lambda m, t: module_before_init(t, t.nn.ReLU()),
    lambda m, t: module_before_init(t, t.nn.Parameter(t.ones(1))),
    lambda m, t: t.nn.ModuleList([3]),
    lambda m, t: t.nn.ModuleList([])[0],
    lambda m, t: t.nn.ParameterList([])(),
    lambda m, t: t.nn.Parameter(3) if t is torch else t.nn.Linear(2, 2)(t.ones(3)),
]


@pytest.mark.parametrize("action", ACTIONS[:-1])
def test_errors_are_pytorchs(action: Any) -> None:
    def error(lib: Any) -> Exception:
        with pytest.raises(Exception) as caught:
            action(net(lib), lib)
        return caught.value

    ours, theirs = error(autograd_fb), error(torch)
    assert type(ours) is type(theirs)
    assert str(ours).replace("autograd_fb.", "torch.")[:300] == str(theirs)[:300]


def test_registration_state_and_text_are_pytorchs() -> None:
    ours, theirs = net(autograd_fb), net(torch)
    assert repr(ours) == repr(theirs)
    for names in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, names)()] == [n for n, _ in getattr(theirs, names)()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert list(ours.state_dict(prefix="a.")) == list(theirs.state_dict(prefix="a."))
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata
    assert ours.state_dict(keep_vars=True)["x"] is ours.x
    assert not ours.state_dict()["x"].requires_grad
    assert [n for n, _ in ours.named_parameters(recurse=False)] == ["x"]
    assert ours.get_parameter("l.weight") is ours.l.weight
    del ours.b
    assert [n for n, _ in ours.named_buffers()] == ["hidden"]
    ours.x = None
    assert ours.x is None and "x" not in dict(ours.named_parameters())
    ours.l = nn.Parameter(autograd_fb.ones(1))
    assert isinstance(ours.l, nn.Parameter) and not list(ours.children())


def test_buffers_that_say_so_are_registered() -> None:
    m = nn.Module()
    m.b = nn.Buffer(autograd_fb.ones(2), persistent=False)
    m.c = nn.Buffer(autograd_fb.zeros(1))
    assert isinstance(m.b, nn.Buffer) and not isinstance(autograd_fb.ones(1), nn.Buffer)
    assert [n for n, _ in m.named_buffers()] == ["b", "c"]
    assert list(m.state_dict()) == ["c"]


def test_a_state_dict_goes_round() -> None:
    source, target = net(autograd_fb), net(autograd_fb)
    result = target.load_state_dict(source.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    x = autograd_fb.ones(1, 2)
    assert target(x).tolist() == source(x).tolist()
    assert target.l.weight is not source.l.weight
    with autograd_fb.no_grad():
        source.x.zero_()
    assert source.state_dict()["x"].tolist() == [0.0, 0.0]  # the very memory
    missing = target.load_state_dict({"x": autograd_fb.zeros(2), "z": autograd_fb.ones(1)}, strict=False)
    assert missing.missing_keys == ["b", "l.weight", "l.bias"] and missing.unexpected_keys == ["z"]
    given = {k: v.clone() for k, v in source.state_dict().items()}
    target.load_state_dict(given, assign=True)
    assert target.b is given["b"] and isinstance(target.x, nn.Parameter)


def test_extra_state_and_hooks_of_state_dicts() -> None:
    class Counting(nn.Linear):
        count = 0

        def get_extra_state(self) -> int:
            return self.count

        def set_extra_state(self, state: int) -> None:
            self.count = state

    m = nn.Sequential(Counting(1, 1))
    m[0].count = 7
    assert list(m.state_dict()) == ["0.weight", "0.bias", "0._extra_state"]
    other, seen = nn.Sequential(Counting(1, 1)), []
    other.register_load_state_dict_post_hook(lambda module, keys: seen.append(keys))
    m.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.update(more=1))
    state = m.state_dict()
    assert state["more"] == 1
    with pytest.raises(RuntimeError, match='Unexpected key\\(s\\) in state_dict: "more"'):
        other.load_state_dict(state)
    assert other[0].count == 7 and len(seen) == 1


def test_modes_dtypes_and_gradients() -> None:
    m = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2))
    assert m.eval() is m and not any(x.training for x in m.modules())
    m.train()
    weight = m[0].weight
    m.double()
    assert m[0].weight is weight and weight.dtype is autograd_fb.float64 and weight.is_leaf
    assert m[2].num_batches_tracked.dtype is autograd_fb.int64
    m(autograd_fb.ones(3, 2, dtype=autograd_fb.float64)).sum().backward()
    m.to(autograd_fb.float32)
    assert weight.grad.dtype is autograd_fb.float32
    m.zero_grad(set_to_none=False)
    assert weight.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    m.zero_grad()
    assert weight.grad is None
    m.requires_grad_(False)
    assert not any(p.requires_grad for p in m.parameters())
    order: list[str] = []
    m.apply(lambda x: order.append(type(x).__name__))
    assert order == ["Linear", "Dropout", "BatchNorm1d", "Sequential"]
    m.to("meta")
    assert {p.device.type for p in m.parameters()} == {"meta"}
    with pytest.raises(NotImplementedError, match=r"Please use torch.nn.Module.to_empty\(\)"):
        m.to("cpu")
    m.to_empty(device="cpu")
    assert m[0].weight.shape == (2, 2) and m[0].weight.device.type == "cpu"


def test_shared_parameters_count_once() -> None:
    m = nn.Module()
    m.a, m.b = nn.Linear(2, 2), nn.Linear(2, 2)
    m.b.weight = m.a.weight
    assert [n for n, _ in m.named_parameters()] == ["a.weight", "a.bias", "b.bias"]
    assert len(list(m.named_parameters(remove_duplicate=False))) == 4
    again = copy.deepcopy(m)
    assert again.a.weight is again.b.weight and again.a.weight is not m.a.weight


def test_copies_and_pickles() -> None:
    m, x = Double(), autograd_fb.ones(1, 2)
    m(x).sum().backward()
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert other(x).tolist() == m(x).tolist()
        assert isinstance(other.l.weight, nn.Parameter) and other.l.weight.requires_grad and other.l.weight.is_leaf
        with autograd_fb.no_grad():
            other.l.weight.zero_()
        assert m.l.weight.abs().sum() > 0


def test_forward_hooks() -> None:
    m, x, seen = nn.Linear(2, 2), autograd_fb.ones(1, 2), []
    plain = m(x).tolist()
    first = m.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    assert m(x).tolist() == [m.bias.tolist()]
    first.remove()
    second = m.register_forward_hook(lambda module, args, output: output + 1)
    m.register_forward_hook(lambda module, args, output: seen.append(output.tolist()))
    m.register_forward_hook(lambda module, args, kwargs, output: seen.append(kwargs), with_kwargs=True, prepend=True)
    moved = [v + 1 for v in plain[0]]
    assert m(input=x).tolist()[0] == pytest.approx(moved)
    assert seen[0] == {"input": x} and seen[1][0] == pytest.approx(moved)
    second.remove()
    m.register_forward_hook(lambda *a: seen.append("always"), always_call=True)
    with pytest.raises(RuntimeError):
        m(autograd_fb.ones(5))
    assert seen[-1] == "always"
    m.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"):
        m(x)


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_backward_hooks_are_pytorchs(requires_grad: bool) -> None:
    def run(lib: Any) -> list[Any]:
        m = lib.nn.Linear(2, 1)
        m.load_state_dict({"weight": lib.tensor([[1.0, 2.0]]), "bias": lib.tensor([0.5])})
        seen: list[Any] = []
        m.register_full_backward_hook(lambda module, before, after: seen.append([before, after]))
        if requires_grad:
            m.register_full_backward_hook(lambda module, before, after: (before[0] * 3,))
        m.register_full_backward_pre_hook(lambda module, grads: (grads[0] * 2,))
        x = lib.tensor([[3.0, 4.0]], requires_grad=requires_grad)
        m(x * 1).sum().backward()
        grads = [None if g is None else g.tolist() for pair in seen[0] for g in pair]
        return [*grads, m.weight.grad.tolist(), None if x.grad is None else x.grad.tolist()]

    assert run(autograd_fb) == run(torch)


def test_parameters_share_memory_and_versions_with_their_data() -> None:
    t = autograd_fb.zeros(2)
    p = nn.Parameter(t)
    t.add_(1)
    assert p.tolist() == [1.0, 1.0] and p._version == 1
    assert p.is_leaf and p.requires_grad and isinstance(p, autograd_fb.Tensor)
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert type(p * 2) is autograd_fb.Tensor and type(p.data) is autograd_fb.Tensor
    assert nn.Parameter().shape == (0,)
    assert not nn.Parameter(autograd_fb.ones(1, dtype=autograd_fb.int64), requires_grad=False).requires_grad


def test_graph_nodes_are_blamed_on_the_users_line() -> None:
    out = nn.Sequential(nn.Linear(2, 2), nn.ReLU())(autograd_fb.ones(1, 2))  # this line
    filename, _, line = out.grad_fn.site().rpartition(":")
    assert filename == __file__
    with open(__file__, encoding="utf-8") as source:
        assert "# this line" in source.read().splitlines()[int(line) - 1]


# --- containers


def containers(lib: Any) -> list[Any]:
    n = lib.nn
    linear = [n.Linear(2, 2) for _ in range(3)]
    return [
        n.Sequential(*linear), n.Sequential(OrderedDict(a=n.ReLU(), b=n.Sequential(n.Tanh()))), n.Sequential()[:0],
        n.Sequential(*linear)[1:], n.Sequential(*linear).append(n.ReLU()),
        n.Sequential(n.ReLU()) + n.Sequential(n.Tanh()), n.Sequential(n.ReLU()) * 2,
        n.Sequential(*linear).insert(1, n.ReLU()), n.Sequential(n.ReLU()).extend([n.Tanh()]),
        n.ModuleList([*linear, n.ReLU()]), n.ModuleList(linear)[::2], n.ModuleList([n.ReLU()]) + [n.Tanh()],
        n.ModuleList(), n.ModuleList([n.Sequential(n.ReLU())] * 2), n.ModuleDict({"a": n.ReLU(), "b": n.Linear(1, 1)}),
        n.ModuleDict([("x", n.ReLU())]), n.ParameterList([lib.ones(2), n.Parameter(lib.ones(3, 1))]),
        n.ParameterList([lib.ones(2)] * 3)[1:],
    ]  # fmt: skip


def test_containers_look_and_save_as_pytorchs() -> None:
    for ours, theirs in zip(containers(autograd_fb), containers(torch), strict=True):
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert len(ours) == len(theirs)


def test_containers_change() -> None:
    s = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    s[0] = nn.Identity()
    del s[1]
    assert [type(m).__name__ for m in s] == ["Identity", "Sigmoid"] and isinstance(s[-1], nn.Sigmoid)
    assert isinstance(s.pop(-1), nn.Sigmoid) and len(s) == 1
    l = nn.ModuleList([nn.ReLU()])
    l += [nn.Tanh()]
    l.insert(0, nn.Identity())
    assert [type(m).__name__ for m in l] == ["Identity", "ReLU", "Tanh"]
    d = nn.ModuleDict()
    d["a"] = nn.Linear(1, 1)
    d.update({"b": nn.ReLU()})
    assert "a" in d and list(d) == ["a", "b"] and d.pop("b").__class__ is nn.ReLU and list(d.keys()) == ["a"]
    p = nn.ParameterList([autograd_fb.ones(1)])
    p[0] = autograd_fb.zeros(2)
    assert isinstance(p[0], nn.Parameter) and [tuple(x.shape) for x in p.parameters()] == [(2,)]
    q = nn.ParameterDict({"a": autograd_fb.ones(1)})
    q["b"] = autograd_fb.zeros(1)
    assert (
        list(q.keys()) == ["a", "b"]
        and isinstance(q["b"], nn.Parameter)
        and q.pop("a").tolist() == [1.0]
        and len(q) == 1
    )


def test_a_sequence_calls_what_its_modules_make_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(nn.Identity):
        def __call__(self, input: Any) -> Any:
            return super().__call__(super().__call__(input) * 2)

    m, seen = nn.Sequential(Twice(), nn.Identity()), []
    assert m(autograd_fb.ones(1)).item() == 2
    handle = m[1].register_forward_hook(lambda module, args, out: out + 1)
    assert m(autograd_fb.ones(1)).item() == 3
    handle.remove()
    call = nn.Module.__call__
    monkeypatch.setattr(nn.Module, "__call__", lambda self, *a, **k: seen.append(type(self)) or call(self, *a, **k))
    assert m(autograd_fb.ones(1)).item() == 2
    assert seen == [nn.Sequential, Twice, Twice, nn.Identity]
