"""Recurrent layers, cells and packed sequences, against PyTorch with the same parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as afb

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
rng = np.random.default_rng(0)

LAYERS = [
    ("RNN", {}), ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bias": False}), ("GRU", {}),
    ("GRU", {"bidirectional": True, "num_layers": 2}), ("LSTM", {}), ("LSTM", {"batch_first": True, "num_layers": 2}),
    ("LSTM", {"bidirectional": True, "num_layers": 2, "proj_size": 2}), ("LSTM", {"bias": False, "proj_size": 1}),
]  # fmt: skip


def both(kind: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """The layer of both libraries, made from the same seed."""
    torch.manual_seed(1)
    afb.manual_seed(1)
    theirs, ours = getattr(torch.nn, kind)(*args, **options), getattr(afb.nn, kind)(*args, **options)
    for (n, p), (m, q) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
        assert n == m
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy(), err_msg=n)
    return theirs, ours


def pair(*shape: int) -> tuple[Any, Any]:
    values = rng.standard_normal(shape).astype(np.float32)
    return torch.tensor(values, requires_grad=True), afb.tensor(values, requires_grad=True)


def flat(values: Any) -> list[Any]:
    if isinstance(values, (tuple, list)):
        return [x for v in values for x in flat(v)]
    return [values]


def agree(theirs: Any, ours: Any, theirs_leaves: Any, ours_leaves: Any) -> None:
    """Values, and gradients of a sum that weighs every element."""
    t, o = flat(theirs), flat(ours)
    assert [tuple(x.shape) for x in t] == [tuple(x.shape) for x in o]
    for x, y in zip(t, o, strict=True):
        np.testing.assert_allclose(y.detach().numpy(), x.detach().numpy(), rtol=1e-5, atol=1e-6)
    sum((x * torch.linspace(1, 2, x.numel()).view(x.shape)).sum() for x in t).backward()
    sum((x * afb.linspace(1, 2, x.numel()).view(x.shape)).sum() for x in o).backward()
    for x, y in zip(theirs_leaves, ours_leaves, strict=True):
        assert (x.grad is None) == (y.grad is None)
        if x.grad is not None:
            np.testing.assert_allclose(y.grad.numpy(), x.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_layers(kind: str, options: dict[str, Any], batched: bool, with_state: bool) -> None:
    theirs, ours = both(kind, 3, 4, **options)
    x, y = pair(*((5, 2, 3) if batched else (5, 3)))
    states: list[Any] = [(), ()]
    if with_state:
        n = theirs.num_layers * (2 if theirs.bidirectional else 1)
        batch = (5 if options.get("batch_first") else 2,) if batched else ()
        h = pair(n, *batch, options.get("proj_size") or 4)
        c = pair(n, *batch, 4)
        states = [((h[i], c[i]),) if kind == "LSTM" else (h[i],) for i in range(2)]
    leaves = [[*flat(states[0]), x, *theirs.parameters()], [*flat(states[1]), y, *ours.parameters()]]
    agree(theirs(x, *states[0]), ours(y, *states[1]), *leaves)
    assert repr(theirs) == repr(ours)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_packed_sequences(kind: str, options: dict[str, Any], enforce_sorted: bool) -> None:
    theirs, ours = both(kind, 3, 4, **options)
    lengths = [5, 3, 3, 1] if enforce_sorted else [3, 1, 5, 3]
    x, y = pair(5, 4, 3)
    results = []
    for lib, layer, value in ((torch, theirs, x), (afb, ours, y)):
        packed = lib.nn.utils.rnn.pack_padded_sequence(value, lengths, enforce_sorted=enforce_sorted)
        out, state = layer(packed)
        padded, back = lib.nn.utils.rnn.pad_packed_sequence(out, padding_value=-1.0, total_length=6)
        assert back.tolist() == lengths
        results.append((padded, state))
    agree(*results, [x, *theirs.parameters()], [y, *ours.parameters()])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(kind: str, batched: bool, with_state: bool, bias: bool) -> None:
    theirs, ours = both(kind, 3, 4, bias)
    x, y = pair(*((2, 3) if batched else (3,)))
    states: list[Any] = [(), ()]
    if with_state:
        h, c = pair(*((2, 4) if batched else (4,))), pair(*((2, 4) if batched else (4,)))
        states = [((h[i], c[i]),) if kind == "LSTMCell" else (h[i],) for i in range(2)]
    leaves = [[*flat(states[0]), x, *theirs.parameters()], [*flat(states[1]), y, *ours.parameters()]]
    agree(theirs(x, *states[0]), ours(y, *states[1]), *leaves)
    assert repr(theirs) == repr(ours)


def test_dropout_lies_between_layers_in_training() -> None:
    lstm = afb.nn.LSTM(3, 64, num_layers=2, dropout=0.5)
    x = afb.ones(4, 1, 3)
    assert not afb.equal(lstm(x)[0], lstm(x)[0])
    lstm.eval()
    assert afb.equal(lstm(x)[0], lstm(x)[0])
    with pytest.warns(UserWarning, match="expects num_layers greater than 1"):
        afb.nn.GRU(3, 4, dropout=0.2)


WRONG: list[Any] = [
    lambda lib: lib.nn.GRU(3, 4)(lib.ones(2, 2, 2, 3)),
    lambda lib: lib.nn.GRU(3, 4)(lib.ones(2, 3, 2)),
    lambda lib: lib.nn.GRU(3, 4)(lib.ones(2, 1, 3), lib.ones(1, 2, 4)),
    lambda lib: lib.nn.GRU(3, 4)(lib.ones(2, 1, 3), lib.ones(2, 4)),
    lambda lib: lib.nn.GRU(3, 4)(lib.ones(2, 3), lib.ones(2, 1, 4)),
    lambda lib: lib.nn.LSTM(3, 4)(lib.ones(2, 1, 3), (lib.ones(1, 2, 4), lib.ones(1, 1, 4))),
    lambda lib: lib.nn.LSTM(3, 4)(lib.ones(2, 1, 3), (lib.ones(1, 1, 4), lib.ones(1, 1, 3))),
    lambda lib: lib.nn.LSTM(3, 4)(lib.ones(2, 1, 3), (lib.ones(1, 4), lib.ones(1, 4))),
    lambda lib: lib.nn.LSTM(3, 4)(lib.ones(2, 1, 3, dtype=lib.float64)),
    lambda lib: lib.nn.RNN(3, 4, nonlinearity="x"),
    lambda lib: lib.nn.GRU(3, 4, dropout=2),
    lambda lib: lib.nn.GRU(3, 0),
    lambda lib: lib.nn.GRU(3, 4, num_layers=0),
    lambda lib: lib.nn.GRU(3, 4, proj_size=1),
    lambda lib: lib.nn.LSTM(3, 4, proj_size=4),
    lambda lib: lib.nn.GRUCell(3, 4)(lib.ones(2, 2, 3)),
    lambda lib: lib.nn.GRUCell(3, 4)(lib.ones(2, 2)),
    lambda lib: lib.nn.GRUCell(3, 4)(lib.ones(2, 3), lib.ones(3, 4)),
    lambda lib: lib.nn.GRUCell(3, 4)(lib.ones(2, 3), lib.ones(2, 5)),
    lambda lib: lib.nn.RNNCell(3, 4, nonlinearity="x")(lib.ones(3)),
    lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.ones(3, 2, 1), [1, 3]),
    lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.ones(3, 2, 1), [3, 0]),
    lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.ones(3, 2, 1), [3]),
    lambda lib: lib.nn.utils.rnn.pad_sequence([]),
    lambda lib: lib.nn.utils.rnn.pad_sequence([lib.ones(2)], padding_side="up"),
    lambda lib: lib.nn.utils.rnn.pad_packed_sequence(lib.nn.utils.rnn.pack_sequence([lib.ones(2)]), total_length=1),
]


@pytest.mark.parametrize("call", WRONG)
def test_what_is_wrong_is_said_as_pytorch_says_it(call: Any) -> None:
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(type(theirs.value)) as ours:
        call(afb)
    assert str(ours.value).split(".")[0] == str(theirs.value).split(".")[0]


def test_padding_and_packing() -> None:
    for lib in (torch, afb):
        rnn = lib.nn.utils.rnn
        a, b, c = lib.tensor([1, 2, 3]), lib.tensor([4]), lib.tensor([5, 6])
        assert rnn.pad_sequence([a, b, c], True, -1).tolist() == [[1, 2, 3], [4, -1, -1], [5, 6, -1]]
        assert rnn.pad_sequence([a, b], padding_side="left").tolist() == [[1, 0], [2, 0], [3, 4]]
        packed = rnn.pack_sequence([a, b, c], enforce_sorted=False)
        assert packed.data.tolist() == [1, 5, 4, 2, 6, 3] and packed.batch_sizes.tolist() == [3, 2, 1]
        assert packed.sorted_indices.tolist() == [0, 2, 1] and packed.unsorted_indices.tolist() == [0, 2, 1]
        assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[1, 2, 3], [4], [5, 6]]
        moved = packed.to(lib.float64)
        assert moved.data.dtype is lib.float64 and moved.batch_sizes is packed.batch_sizes
        assert packed.to(packed.data.dtype) is packed and not packed.is_cuda
        padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True)
        assert padded.shape == (3, 3) and lengths.tolist() == [3, 1, 2]
        assert [s.tolist() for s in rnn.unpad_sequence(padded, lengths, True)] == [[1, 2, 3], [4], [5, 6]]


def test_a_state_dict_of_pytorchs_is_loaded() -> None:
    theirs, ours = torch.nn.LSTM(3, 4, 2, bidirectional=True), afb.nn.LSTM(3, 4, 2, bidirectional=True)
    ours.load_state_dict({k: afb.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = rng.standard_normal((5, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(
        ours(afb.tensor(x))[0].detach().numpy(), theirs(torch.tensor(x))[0].detach().numpy(), rtol=1e-5, atol=1e-6
    )


def test_shapes_on_meta() -> None:
    with afb.device("meta"):
        out, (h, c) = afb.nn.LSTM(3, 4, 2, bidirectional=True)(afb.ones(5, 2, 3))
    assert out.is_meta and out.shape == (5, 2, 8) and h.shape == c.shape == (4, 2, 4)
