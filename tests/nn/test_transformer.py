"""Transformers against PyTorch's, with the same parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd_fb as afb

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
rng = np.random.default_rng(0)


def both(kind: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """The module of both libraries, made from the same seed."""
    torch.manual_seed(1)
    afb.manual_seed(1)
    theirs, ours = getattr(torch.nn, kind)(*args, **options), getattr(afb.nn, kind)(*args, **options)
    for (n, p), (m, q) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
        assert n == m
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-6, atol=1e-7, err_msg=n)
    return theirs, ours


def agree(theirs: Any, ours: Any, give: Any) -> None:
    """Outputs and gradients of the parameters."""
    t, o = theirs(*give(torch)[0], **give(torch)[1]), ours(*give(afb)[0], **give(afb)[1])
    np.testing.assert_allclose(o.detach().numpy(), t.detach().numpy(), rtol=1e-4, atol=1e-5)
    (t * t.detach().cos()).sum().backward()
    (o * o.detach().cos()).sum().backward()
    for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=2e-3, atol=2e-4)


def array(*shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


OPTIONS: list[dict[str, Any]] = [
    {}, {"norm_first": True, "activation": "gelu"}, {"batch_first": True, "bias": False}, {"layer_norm_eps": 0.1},
]  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_encoder(options: dict[str, Any], masked: bool) -> None:
    x = array(5, 5, 8)
    padding = np.array([[False, False, False, True, True]] + [[False] * 5] * 4)

    def give(lib: Any) -> Any:
        if not masked:
            return (lib.tensor(x),), {}
        mask = lib.nn.Transformer.generate_square_subsequent_mask(5)
        hidden = lib.zeros(5, 5).masked_fill_(lib.tensor(padding), -1e9)
        return (lib.tensor(x),), {"mask": mask, "src_key_padding_mask": hidden}

    modules = []
    for lib in (torch, afb):
        lib.manual_seed(2)
        layer = lib.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, **options)
        modules.append(lib.nn.TransformerEncoder(layer, 2, lib.nn.LayerNorm(8), enable_nested_tensor=False))
    agree(*modules, give)


@pytest.mark.parametrize("options", OPTIONS)
def test_whole_model(options: dict[str, Any]) -> None:
    src, tgt = array(5, 3, 8), array(5, 3, 8) if options.get("batch_first") else array(4, 3, 8)

    def give(lib: Any) -> Any:
        mask = lib.nn.Transformer.generate_square_subsequent_mask(tgt.shape[1 if options.get("batch_first") else 0])
        return (lib.tensor(src), lib.tensor(tgt)), {"tgt_mask": mask}

    agree(*both("Transformer", 8, 2, 2, 2, 16, 0.0, **options), give)


def test_decoder_layer_without_a_batch() -> None:
    x, memory = array(4, 8), array(5, 8)
    agree(
        *both("TransformerDecoderLayer", 8, 2, 16, 0.0),
        lambda lib: ((lib.tensor(x), lib.tensor(memory)), {"memory_mask": lib.zeros(4, 5)}),
    )


def test_wrong_shapes_and_activations_are_refused() -> None:
    model = afb.nn.Transformer(8, 2, 1, 1, 16)
    with pytest.raises(RuntimeError, match="the batch number of src and tgt must be equal"):
        model(afb.ones(5, 3, 8), afb.ones(5, 2, 8))
    with pytest.raises(RuntimeError, match="the feature number of src and tgt must be equal to d_model"):
        model(afb.ones(5, 3, 4), afb.ones(5, 3, 4))
    with pytest.raises(RuntimeError, match="activation should be relu/gelu, not tanh"):
        afb.nn.TransformerEncoderLayer(8, 2, activation="tanh")


def test_dropout_in_training_only() -> None:
    layer = afb.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5)
    x = afb.tensor(array(4, 2, 8))
    assert not afb.equal(layer(x), layer(x))
    layer.eval()
    assert afb.equal(layer(x), layer(x))


def test_shapes_on_meta() -> None:
    with afb.device("meta"):
        assert afb.nn.Transformer(8, 2, 1, 1, 16)(afb.ones(5, 3, 8), afb.ones(4, 3, 8)).shape == (4, 3, 8)
