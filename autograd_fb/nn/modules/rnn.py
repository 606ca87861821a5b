"""Recurrent networks: RNN, LSTM and GRU over sequences, and their cells for one step.

The formulas are those of PyTorch's documentation: with the sums ``x = w_ih input + b_ih`` and ``y = w_hh hidden +
b_hh`` split into the gates, LSTM (Hochreiter and Schmidhuber 1997, with Gers's forget gate) takes ``i, f, g, o``, and
GRU (Cho et al. 2014, with the reset applied after the product) takes ``r, z, n``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from autograd_fb.nn import functional as F
from autograd_fb.nn import init
from autograd_fb.nn.modules.module import Module
from autograd_fb.nn.parameter import Parameter
from autograd_fb.nn.utils.rnn import PackedSequence
from autograd_fb.tensor.functions import cat, empty, relu, sigmoid, stack, tanh

INTERNAL_FRAMES = True  # a layer's ops are blamed on the line that called the layer

State = tuple[Any, ...]  # the hidden state, of LSTM with the cell's


def _step_tanh(x: Any, y: Any, state: State) -> State:
    return (tanh(x + y),)


def _step_relu(x: Any, y: Any, state: State) -> State:
    return (relu(x + y),)


def _step_lstm(x: Any, y: Any, state: State) -> State:
    i, f, g, o = (x + y).chunk(4, -1)
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _step_gru(x: Any, y: Any, state: State) -> State:
    (xr, xz, xn), (yr, yz, yn) = x.chunk(3, -1), y.chunk(3, -1)
    z = sigmoid(xz + yz)
    n = tanh(xn + sigmoid(xr + yr) * yn)
    return ((1 - z) * n + z * state[0],)


_STEPS: dict[str, tuple[int, Callable[[Any, Any, State], State]]] = {
    "RNN_TANH": (1, _step_tanh), "RNN_RELU": (1, _step_relu), "LSTM": (4, _step_lstm), "GRU": (3, _step_gru),
}  # fmt: skip


def _run(
    mode: str, rows: list[Any], weights: list[Any], state: State, backwards: bool
) -> tuple[list[Any], State]:
    """One layer in one direction over the rows of all steps, ``(n, features)`` each with n falling; ``state`` is of the
    first, largest n. The outputs of the steps and the state in which each sequence ends.
    """
    w_ih, w_hh, *rest = weights
    biased = len(rest) >= 2
    b_ih, b_hh = rest[:2] if biased else (None, None)
    project = rest[-1] if len(rest) % 2 else None
    step = _STEPS[mode][1]
    inputs = F.linear(cat(rows), w_ih, b_ih).split([row.shape[0] for row in rows])
    outputs: list[Any] = [None] * len(rows)
    first, ended = state, []  # those that end before the others, the last one first
    count = rows[-1 if backwards else 0].shape[0]
    current = tuple(s[:count] for s in first)
    for t in reversed(range(len(rows))) if backwards else range(len(rows)):
        n = rows[t].shape[0]
        if n > count:  # backwards: sequences whose last step this is come in
            current = tuple(cat([s, f[count:n]]) for s, f in zip(current, first, strict=True))
        elif n < count:  # forwards: sequences whose last step was the one before are done
            ended.append(tuple(s[n:] for s in current))
            current = tuple(s[:n] for s in current)
        count = n
        current = step(inputs[t], F.linear(current[0], w_hh, b_hh), current)
        if project is not None:
            current = (F.linear(current[0], project), *current[1:])
        outputs[t] = current[0]
    if ended:
        current = tuple(cat(parts) for parts in zip(current, *reversed(ended), strict=True))
    return outputs, current


class RNNBase(Module):
    """What RNN, LSTM and GRU have in common: parameters by layer and direction, and the run through them."""

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: 1 + bidirectional]:
                shapes = self._shapes(layer)
                for name, shape in shapes.items():
                    parameter = Parameter(empty(list(shape), device=device, dtype=dtype))
                    setattr(self, f"{name}_l{layer}{suffix}", parameter)
                self._all_weights.append([f"{name}_l{layer}{suffix}" for name in shapes])
        self.reset_parameters()

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The shapes of one layer's parameters in one direction, by their names."""
        out = self.proj_size or self.hidden_size
        width = self.input_size if layer == 0 else out * (1 + self.bidirectional)
        gates = _STEPS[self.mode][0] * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, width), "weight_hh": (gates, out)}
        if self.bias:
            shapes.update(bias_ih=(gates,), bias_hh=(gates,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: there is no library here that wants all parameters in one piece of memory."""

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Any]:
        return [weight for weights in self.all_weights for weight in weights]

    # --- what comes in

    def check_input(self, input: Any, batch_sizes: Any) -> None:
        dtype = self._flat_weights[0].dtype
        if input.dtype is not dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype!r}) does not match weight dtype ({dtype!r}). Convert input: "
                f"input.to({dtype!r}), or convert model: model.to({input.dtype!r})"
            )
        wanted = 2 if batch_sizes is not None else 3
        if input.dim() != wanted:
            raise RuntimeError(f"input must have {wanted} dimensions, got {input.dim()}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )

    def _state_sizes(self) -> list[int]:
        """The widths of the state's parts."""
        return [self.hidden_size]

    def _zeros(self, like: Any, batch: int) -> State:
        layers = self.num_layers * (1 + self.bidirectional)
        return tuple(like.new_zeros((layers, batch, width)) for width in self._state_sizes())

    def _check_state(self, state: State, batch: int) -> None:
        layers = self.num_layers * (1 + self.bidirectional)
        for k, (s, width) in enumerate(zip(state, self._state_sizes(), strict=True)):
            if tuple(s.shape) != (layers, batch, width):
                which = "hidden" if len(state) == 1 else f"hidden[{k}]"
                raise RuntimeError(f"Expected {which} size {(layers, batch, width)}, got {list(s.shape)}")

    def _given_state(self, hx: Any, batched: bool) -> State:
        """The state as given, with a batch of one where there is none."""
        dims = 3 if batched else 2
        if hx.dim() != dims:
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(f"For {kind} input, hx should also be {dims}-D but got {hx.dim()}-D tensor")
        return (hx if batched else hx.unsqueeze(1),)

    def _state_given_back(self, state: State) -> Any:
        return state[0]

    # --- the run

    def _layers(self, rows: list[Any], state: State) -> tuple[list[Any], State]:
        weights, directions = self.all_weights, 1 + self.bidirectional
        finals: list[State] = []
        for layer in range(self.num_layers):
            found = []
            for direction in range(directions):
                k = layer * directions + direction
                outputs, final = _run(self.mode, rows, weights[k], tuple(s[k] for s in state), bool(direction))
                found.append(outputs)
                finals.append(final)
            rows = found[0] if directions == 1 else [cat(pair, -1) for pair in zip(*found, strict=True)]
            if self.dropout and self.training and layer < self.num_layers - 1:
                dropped = F.dropout(cat(rows), self.dropout, True)
                rows = list(dropped.split([row.shape[0] for row in rows]))
        return rows, tuple(stack(parts) for parts in zip(*finals, strict=True))

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        name = self.mode if self.mode in ("LSTM", "GRU") else "RNN"
        if input.dim() not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        time_dim = 1 if self.batch_first and batched else 0
        state = None if hx is None else self._given_state(hx, batched)
        if not batched:
            input = input.unsqueeze(1)
        self.check_input(input, None)
        steps = list(input.unbind(time_dim))
        if not steps:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        batch = steps[0].shape[0]
        state = self._zeros(input, batch) if state is None else state
        self._check_state(state, batch)
        rows, state = self._layers(steps, state)
        output = stack(rows, time_dim)
        if not batched:
            output, state = output.squeeze(1), tuple(s.squeeze(1) for s in state)
        return output, self._state_given_back(state)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple[Any, Any]:
        data, batch_sizes, order, back = packed
        self.check_input(data, batch_sizes)
        sizes = batch_sizes.tolist()
        state = self._zeros(data, sizes[0]) if hx is None else self._given_state(hx, True)
        if hx is not None and order is not None:
            state = tuple(s.index_select(1, order) for s in state)
        self._check_state(state, sizes[0])
        rows, state = self._layers(list(data.split(sizes)), state)
        if back is not None:
            state = tuple(s.index_select(1, back) for s in state)
        return PackedSequence(cat(rows), batch_sizes, order, back), self._state_given_back(state)

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False,
        }
        shown += [f"{n}={getattr(self, n)}" for n, default in defaults.items() if getattr(self, n) != default]
        return ", ".join(shown)


class RNN(RNNBase):
    """``h = tanh(w_ih x + b_ih + w_hh h + b_hh)`` over sequences, in layers; ``nonlinearity="relu"`` for relu.

    Takes ``(L, N, input_size)``, ``(N, L, input_size)`` with ``batch_first``, ``(L, input_size)`` or a
    `nn.utils.rnn.PackedSequence`, and perhaps the state to begin with, ``(layers * directions, N, hidden_size)``.
    Returns the outputs of the last layer at all steps, ``(L, N, directions * hidden_size)``, and the last states.

    >>> import autograd_fb as torch
    >>> output, h = RNN(3, 5, num_layers=2)(torch.ones(7, 1, 3))
    >>> output.shape, h.shape
    (torch.Size([7, 1, 5]), torch.Size([2, 1, 5]))
    """

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **kwargs: Any):
        if kwargs.get("proj_size"):
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:  # nonlinearity has a place between num_layers and bias
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)


class GRU(RNNBase):
    """A gated recurrent unit over sequences, in layers; shapes as those of `RNN`.

    >>> import autograd_fb as torch
    >>> output, h = GRU(3, 5, bidirectional=True)(torch.ones(7, 1, 3))
    >>> output.shape, h.shape
    (torch.Size([7, 1, 10]), torch.Size([2, 1, 5]))
    """

    def __init__(self, *args: Any, **kwargs: Any):
        if kwargs.get("proj_size"):
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    """Long short-term memory over sequences, in layers; shapes as those of `RNN`, the state is a pair (h, c).

    With ``proj_size`` the hidden state is projected to that size after each step (Sak et al. 2014).

    >>> import autograd_fb as torch
    >>> output, (h, c) = LSTM(3, 5, batch_first=True)(torch.ones(2, 7, 3))
    >>> output.shape, h.shape, c.shape
    (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]), torch.Size([1, 2, 5]))
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)

    def _state_sizes(self) -> list[int]:
        return [self.proj_size or self.hidden_size, self.hidden_size]

    def _given_state(self, hx: Any, batched: bool) -> State:
        dims = 3 if batched else 2
        h, c = hx
        if h.dim() != dims or c.dim() != dims:
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {dims}-D but got ({h.dim()}-D, {c.dim()}-D) tensors"
            )
        return (h, c) if batched else (h.unsqueeze(1), c.unsqueeze(1))

    def _state_given_back(self, state: State) -> Any:
        return state


# --- one step


class RNNCellBase(Module):
    """What the cells have in common: the parameters of ``num_chunks`` gates, and the checks of what comes in."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = num_chunks * hidden_size
        shapes = {
            "weight_ih": (gates, input_size), "weight_hh": (gates, hidden_size), "bias_ih": (gates,),
            "bias_hh": (gates,),
        }  # fmt: skip
        for name, shape in shapes.items():
            made = Parameter(empty(list(shape), device=device, dtype=dtype)) if bias or len(shape) == 2 else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")
        plain = getattr(self, "nonlinearity", "tanh") == "tanh"
        return text if plain else f"{text}, nonlinearity={self.__dict__['nonlinearity']}"

    def _step(self, mode: str, input: Any, state: State | None, parts: int) -> State:
        """One step for ``(N, input_size)`` or ``(input_size)``."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for k, s in enumerate(state or ()):
            if s.dim() not in (1, 2):
                which = "hidden" if parts == 1 else f"hx[{k}]"
                raise ValueError(f"{name}: Expected {which} to be 1D or 2D, got {s.dim()}D instead")
        single = input.dim() == 1
        if single:
            input = input.unsqueeze(0)
            state = None if state is None else tuple(s.unsqueeze(0) if s.dim() == 1 else s for s in state)
        if input.shape[1] != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {self.input_size}")
        if state is None:
            state = (input.new_zeros((input.shape[0], self.hidden_size)),) * parts
        for k, s in enumerate(state):
            if s.shape[0] != input.shape[0]:
                raise RuntimeError(
                    f"Input batch size {input.shape[0]} doesn't match hidden{k} batch size {s.shape[0]}"
                )
            if s.shape[1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{k} has inconsistent hidden_size: got {s.shape[1]}, expected {self.hidden_size}"
                )
        x = F.linear(input, self.weight_ih, self.bias_ih)
        found = _STEPS[mode][1](x, F.linear(state[0], self.weight_hh, self.bias_hh), state)
        return tuple(s.squeeze(0) for s in found) if single else found


class RNNCell(RNNCellBase):
    """One step of `RNN`: ``(N, input_size)`` and ``(N, hidden_size)`` to ``(N, hidden_size)``.

    >>> import autograd_fb as torch
    >>> RNNCell(3, 5)(torch.ones(2, 3)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None,
    ):  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(f"RNN_{self.nonlinearity.upper()}", input, None if hx is None else (hx,), 1)[0]


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: the input and the pair (h, c) to the next pair.

    >>> import autograd_fb as torch
    >>> h, c = LSTMCell(3, 5)(torch.ones(2, 3))
    >>> h.shape, c.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        h, c = self._step("LSTM", input, None if hx is None else tuple(hx), 2)
        return h, c


class GRUCell(RNNCellBase):
    """One step of `GRU`: ``(N, input_size)`` and ``(N, hidden_size)`` to ``(N, hidden_size)``.

    >>> import autograd_fb as torch
    >>> GRUCell(3, 5)(torch.ones(2, 3)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        return self._step("GRU", input, None if hx is None else (hx,), 1)[0]
