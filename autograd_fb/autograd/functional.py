"""Products with Jacobians and Hessians, and these matrices themselves, of functions from tensors to tensors.

Gradients are taken by the engine; what PyTorch calls the double backward trick (the gradient of a gradient with
respect to the vector it started from) gives products from the other side. `jacobian` and `hessian` can also push
tangents forward, a column at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from autograd_fb.autograd.batched_backward import many_at_once
from autograd_fb.autograd.forward_ad import dual_level, make_dual, unpack_dual
from autograd_fb.dispatch.state import changed
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.backward import grad
from autograd_fb.tensor.levels import give, tangents_of
from autograd_fb.tensor.tensor import Tensor

Tensors = tuple[Tensor, ...]
Gradients = tuple[Tensor | None, ...]
INTERNAL_FRAMES = True  # see Note [Internal frames]
_OUTPUTS = "outputs of the user-provided function"


# --- what all of them do with inputs, outputs and gradients


def _as_tuple(value: Any, what: str, name: str) -> tuple[Tensors, bool]:
    """The tensors of an argument or result, and whether they came as a tuple. TypeError for anything else."""
    given = value if isinstance(value, tuple) else (value,)
    for i, t in enumerate(given):
        if isinstance(t, Tensor):
            continue
        if isinstance(value, tuple):
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the value at index {i} "
                f"has type {type(t)}."
            )
        raise TypeError(
            f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the given {what} has type "
            f"{type(t)}."
        )
    return given, isinstance(value, tuple)


def _unpacked(values: Any, as_tuple: bool) -> Any:
    return values if as_tuple else values[0]


def _prepared(inputs: Tensors, create_graph: bool) -> Tensors:
    """The inputs as tensors that gradients can be asked for: in their graph where that is to be kept, else leaves."""
    return tuple(t.view_as(t) if create_graph and t.requires_grad else _leaf(t) for t in inputs)


def _finished(values: Sequence[Tensor], create_graph: bool) -> Tensors:
    return tuple(values) if create_graph else tuple(_detached(t) for t in values)


def _detached(t: Tensor) -> Tensor:
    """The tensor outside its graph, with its tangents: a level of forward mode around the call goes on."""
    out = t.detach()
    for level, tangent in (tangents_of(t) or {}).items():
        give(out, level, tangent)
    return out


def _leaf(t: Tensor) -> Tensor:
    return _detached(t).requires_grad_()


def _vector(v: Any, like: Tensors, like_is_tuple: bool, name: str) -> Tensors:
    """The vector of a product, checked against the tensors whose shape it must have. RuntimeError if it does not
    fit."""
    vector, _ = _as_tuple(v, "v", name)
    if len(vector) != len(like):
        if like_is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vector)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (given, wanted) in enumerate(zip(vector, like, strict=True)):
        if given.shape != wanted.shape:
            entry = f"Entry {i} in " if like_is_tuple else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {wanted.shape} but got {given.shape}.")
    return _prepared(vector, True) if any(t.requires_grad for t in vector) else vector


def _one_number(tensors: Tensors, what: str) -> None:
    if len(tensors) != 1 or tensors[0].numel() != 1:
        raise RuntimeError(f"The vector v can only be None if the {what} a single Tensor with a single element.")


_NOT_DEPENDENT = {
    "outputs": "Output {i} of the user-provided function does not require gradients. The outputs must be computed in a "
    "differentiable manner from the input when running in strict mode.",
    "grad_inputs": "The gradient with respect to input {i} is independent of the inputs of the user-provided function. "
    "This is not allowed in strict mode.",
    "jacobian": "While computing the hessian, found that the jacobian of the user-provided function with respect to "
    "input {i} is independent of the input. This is not allowed in strict mode. You should ensure that your function "
    "is "
    "twice differentiable and that the jacobian depends on the inputs (this would be violated by a linear function for "
    "example).",
    "hessian": "The hessian of the user-provided function with respect to input {i} is independent of the input. This "
    "is not allowed in strict mode. You should ensure that your function is thrice differentiable and that the hessian "
    "depends on the inputs.",
}  # fmt: skip


def _check_dependent(values: Gradients, what: str, strict: bool) -> None:
    """In strict mode, RuntimeError for what does not depend on the inputs."""
    for i, t in enumerate(values if strict else ()):
        if t is None:
            raise RuntimeError(
                f"The output of the user-provided function is independent of input {i}. This is not allowed in strict "
                f"mode."
            )
        if not t.requires_grad:
            raise RuntimeError(_NOT_DEPENDENT[what].format(i=i))


_MISSING = {
    "back": "The output of the user-provided function is independent of input {i}. This is not allowed in strict mode.",
    "back_trick": "The gradient with respect to the input is independent of entry {i} in the grad_outputs when using "
    "the double backward trick to compute forward mode gradients. This is not allowed in strict mode.",
    "double_back": "The jacobian of the user-provided function is independent of input {i}. This is not allowed in "
    "strict mode.",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {i} in the grad_outputs. "
    "This "
    "is not allowed in strict mode as it prevents from using the double backward trick to replace forward mode AD.",
}  # fmt: skip


def _with_zeros(grads: Gradients, like: Tensors, strict: bool, create_graph: bool, stage: str) -> Tensors:
    """Gradients with zeros for undefined ones, or in strict mode RuntimeError for these and for constant ones."""
    found = []
    for i, (g, t) in enumerate(zip(grads, like, strict=True)):
        if g is None and strict:
            raise RuntimeError(_MISSING[stage].format(i=i))
        if g is not None and strict and create_graph and not g.requires_grad:
            what = "hessian" if stage.startswith("double") else "jacobian"
            raise RuntimeError(
                f"The {what} of the user-provided function is independent of input {i}. This is not allowed in strict "
                "mode when create_graph=True."
            )
        found.append(tensor_namespace().zeros_like(t.detach()) if g is None else g)
    return tuple(found)


def _grad(
    outputs: Gradients, inputs: Tensors, vector: Sequence[Tensor | None] | None, create_graph: bool, keep: bool
) -> Gradients:
    """`grad`, with None for inputs without one; outputs that do not require grad are left out."""
    pairs = list(zip(outputs, vector if vector is not None else (None,) * len(outputs), strict=True))
    used = [(o, v) for o, v in pairs if o is not None and o.requires_grad]
    if not used:
        return (None,) * len(inputs)
    starts = [v for _, v in used]
    roots = [o for o, _ in used]
    return grad(roots, inputs, starts, retain_graph=keep or create_graph, create_graph=create_graph, allow_unused=True)


def _starts(like: Tensors) -> Tensors:
    """Vectors of the shape of ``like`` to differentiate with respect to; what is linear in them does not care for
    their values."""
    return tuple(tensor_namespace().ones_like(t.detach()).requires_grad_() for t in like)


# --- products


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of ``func`` and the product of ``v`` with its Jacobian.

    ``v`` has the shape of the outputs (it may be left out for a single number); the product has that of ``inputs``.
    ``create_graph`` makes both differentiable; with ``strict`` an output that does not depend on an input is a
    RuntimeError.

    >>> import autograd_fb as torch
    >>> torch.autograd.functional.vjp(lambda x: x * x, torch.tensor([1.0, 2.0]), torch.ones(2))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    given, is_tuple = _as_tuple(inputs, "inputs", "vjp")
    with changed(grad_mode=True):
        given = _prepared(given, create_graph)
        outputs, out_is_tuple = _as_tuple(func(*given), _OUTPUTS, "vjp")
        _check_dependent(outputs, "outputs", strict)
        if v is None:
            _one_number(outputs, "user-provided function returns")
        vector = None if v is None else _vector(v, outputs, out_is_tuple, "vjp")
        found = _with_zeros(_grad(outputs, given, vector, create_graph, False), given, strict, create_graph, "back")
    return _unpacked(_finished(outputs, create_graph), out_is_tuple), _unpacked(
        _finished(found, create_graph), is_tuple
    )


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The outputs of ``func`` and the product of its Jacobian with ``v``, which has the shape of ``inputs``.

    Works for every function with a gradient, also where no tangent formula is known (see `forward_ad` for the direct
    way).

    >>> import autograd_fb as torch
    >>> torch.autograd.functional.jvp(lambda x: x.sum(), torch.tensor([1.0, 2.0]), torch.ones(2))
    (tensor(3.), tensor(2.))
    """
    given, is_tuple = _as_tuple(inputs, "inputs", "jvp")
    if v is None:
        _one_number(given, "input to the user-provided function is")
    with changed(grad_mode=True):
        ones = (tensor_namespace().ones_like(given[0].detach()),)
        vector = ones if v is None else _vector(v, given, is_tuple, "jvp")
        given = _prepared(given, create_graph)
        outputs, out_is_tuple = _as_tuple(func(*given), _OUTPUTS, "jvp")
        _check_dependent(outputs, "outputs", strict)
        starts = _starts(outputs)
        pulled = _grad(outputs, given, starts, True, True)
        _check_dependent(pulled, "grad_inputs", strict)
        pushed = _grad(pulled, starts, vector, create_graph, create_graph)
        found = _with_zeros(pushed, outputs, strict, create_graph, "back_trick")
    return _unpacked(_finished(outputs, create_graph), out_is_tuple), _unpacked(
        _finished(found, create_graph), out_is_tuple
    )


def _scalar(func: Callable[..., Any], name: str, strict: bool) -> Callable[..., Tensor]:
    """The function, checked to return one number, in strict mode one that depends on something."""

    def checked(*inputs: Tensor) -> Tensor:
        outputs, is_tuple = _as_tuple(func(*inputs), _OUTPUTS, name)
        _check_dependent(outputs, "outputs", strict)
        if is_tuple:
            raise RuntimeError(f"The function given to {name} should return a single Tensor")
        if outputs[0].numel() != 1:
            raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
        return outputs[0].reshape([]) if outputs[0].ndim else outputs[0]

    return checked


def _hessian_product(
    func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool, name: str
) -> tuple[Any, Any]:
    given, is_tuple = _as_tuple(inputs, "inputs", name)
    if v is None:
        _one_number(given, "input to the user-provided function is")
    with changed(grad_mode=True):
        ones = (tensor_namespace().ones_like(given[0].detach()),)
        vector = ones if v is None else _vector(v, given, is_tuple, name)
        given = _prepared(given, create_graph)
        output = _scalar(func, name, strict)(*given)
        first = _grad((output,), given, None, True, True)
        _check_dependent(first, "jacobian", strict)
        if name == "hvp" and (strict or any(t.is_complex() for t in given)):  # else the Hessian is symmetric
            starts = _starts(given)
            second = _grad(first, given, starts, True, True)
            _check_dependent(first, "hessian", strict)
            pushed = _grad(second, starts, vector, create_graph, create_graph)
            found = _with_zeros(pushed, given, strict, create_graph, "double_back_trick")
        else:
            pushed = _grad(first, given, vector, create_graph, create_graph)
            found = _with_zeros(pushed, given, strict, create_graph, "double_back")
    return _finished((output,), create_graph)[0], _unpacked(_finished(found, create_graph), is_tuple)


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The number that ``func`` returns and the product of ``v`` with its Hessian; both have the shape of ``inputs``.

    >>> import autograd_fb as torch
    >>> torch.autograd.functional.vhp(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]), torch.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """The number that ``func`` returns and the product of its Hessian with ``v``; both have the shape of ``inputs``.

    >>> import autograd_fb as torch
    >>> torch.autograd.functional.hvp(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]), torch.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")


# --- matrices


def _construct_standard_basis_for(tensors: Sequence[Tensor], tensor_numels: Sequence[int]) -> tuple[Tensor, ...]:
    """The unit vectors of all elements of the tensors together, as rows: for each tensor the block of its columns.

    Shapes ``[sum(tensor_numels), n]`` for a tensor of ``n`` elements, in its dtype and on its device.
    """
    F = tensor_namespace()
    total, start, blocks = sum(tensor_numels), 0, []
    for t, n in zip(tensors, tensor_numels, strict=True):
        rows = F.eye(total, dtype=t.dtype, device=t.device)
        blocks.append(rows if n == total else F.narrow(rows, 1, start, n))
        start += n
    return tuple(blocks)


def _units(like: Tensor) -> Tensor:
    """The unit vectors of a tensor's shape, along a leading dim."""
    n = like.numel()
    return _construct_standard_basis_for((like,), (n,))[0].reshape([n, *like.shape])


def _basis(like: Tensor) -> list[Tensor]:
    """The unit vectors of a tensor's shape."""
    return list(_units(like).unbind(0))


def _stacked(rows: Sequence[Tensor], shape: Sequence[int], like: Tensor) -> Tensor:
    """Rows of a matrix in the shape of a Jacobian; without rows, the empty one."""
    F = tensor_namespace()
    out: Tensor = (
        F.stack(list(rows)).reshape(list(shape)) if rows else F.zeros_like(like.detach()).new_zeros(list(shape))
    )
    return out


def _by_rows(output: Tensor, inputs: Tensors, i: int, strict: bool, create_graph: bool) -> Tensors:
    """The Jacobian of one output: a backward per element, in the graph of the whole output."""
    if output.dtype.is_complex:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype!r}")
    if not strict and output.requires_grad and many_at_once((output,), output.numel()):
        return _by_batch(output, inputs, create_graph)
    rows = (
        [_grad((output,), inputs, (unit,), create_graph, True) for unit in _basis(output)]
        if output.requires_grad
        else []
    )
    columns: list[list[Tensor]] = [[] for _ in inputs]
    for row in rows:
        for k, (g, t) in enumerate(zip(row, inputs, strict=True)):
            if strict and g is None:
                raise RuntimeError(
                    f"Output {i} of the user-provided function is independent of input {k}. This is not allowed in "
                    f"strict mode."
                )
            if strict and create_graph and g is not None and not g.requires_grad:
                raise RuntimeError(
                    f"The jacobian of the user-provided function is independent of input {i}. This is not allowed in "
                    "strict mode when create_graph=True."
                )
            columns[k].append(tensor_namespace().zeros_like(t.detach()) if g is None else g)
    return tuple(
        _stacked(c, [*output.shape, *t.shape], t) if c else t.detach().new_zeros([*output.shape, *t.shape])
        for c, t in zip(columns, inputs, strict=True)
    )


def _by_batch(output: Tensor, inputs: Tensors, create_graph: bool) -> Tensors:
    """The Jacobian of one output by one call of `grad` for all unit vectors."""
    found: Gradients = (None,) * len(inputs)
    if output.requires_grad and output.numel():
        found = grad(
            output,
            inputs,
            _units(output),
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=True,
        )
    shapes = [[*output.shape, *t.shape] for t in inputs]
    return tuple(
        t.detach().new_zeros(s) if g is None else g.reshape(s) for g, t, s in zip(found, inputs, shapes, strict=True)
    )


def _by_columns(func: Callable[..., Any], inputs: Tensors, create_graph: bool) -> tuple[list[Tensors], bool]:
    """The Jacobian by forward mode: a run of the function per element of the inputs. One tuple per output."""
    F, found, is_tuple = tensor_namespace(), [], False
    outputs: Tensors = ()
    for k, t in enumerate(inputs):
        columns: list[list[Tensor]] = []
        for unit in _basis(t):
            with dual_level() as level:
                moved = make_dual(t, unit, level=level)
                if not create_graph:
                    moved.requires_grad_()
                outputs, is_tuple = _as_tuple(func(*inputs[:k], moved, *inputs[k + 1 :]), _OUTPUTS, "jacobian")
                parts = [unpack_dual(o, level=level).tangent for o in outputs]
                columns.append(
                    [F.zeros_like(o.detach()) if p is None else p for o, p in zip(outputs, parts, strict=True)]
                )
        found.append(
            [F.stack([c[i] for c in columns], -1).reshape([*o.shape, *t.shape]) for i, o in enumerate(outputs)]
        )
    return [tuple(of_input[i] for of_input in found) for i in range(len(outputs))], is_tuple


def _refuse_strict(combination: str, instead: str) -> NoReturn:
    raise RuntimeError(
        f"torch.autograd.functional.jacobian: `strict=True` and {combination}. Please either set `strict=False` or "
        f"{instead}."
    )


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of ``func``: for one output and one input, of the output's shape followed by the input's.

    With several inputs or outputs, tuples of such tensors (outputs first). ``strategy="forward-mode"`` runs the
    function once per element of the inputs instead of a backward per element of the outputs: fewer where there are
    more outputs. ``vectorize`` asks `grad` for all rows at once. RuntimeError for
    ``strict`` together with either.

    >>> import autograd_fb as torch
    >>> torch.autograd.functional.jacobian(lambda x: x * x, torch.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs '
            'than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    forward = strategy == "forward-mode"
    if strict and forward:
        _refuse_strict('`strategy="forward-mode"` are not supported together (yet)', '`strategy="reverse-mode"`')
    given, is_tuple = _as_tuple(inputs, "inputs", "jacobian")
    with changed(grad_mode=True):
        given = _prepared(given, create_graph)
        if forward:
            rows, out_is_tuple = _by_columns(func, given, create_graph)
        else:
            outputs, out_is_tuple = _as_tuple(func(*given), _OUTPUTS, "jacobian")
            _check_dependent(outputs, "outputs", strict)
            if strict and vectorize:
                _refuse_strict("`vectorized=True` are not supported together", "`vectorize=False`")
            rows = [
                _by_batch(o, given, create_graph) if vectorize else _by_rows(o, given, i, strict, create_graph)
                for i, o in enumerate(outputs)
            ]
    return _unpacked(tuple(_unpacked(_finished(r, create_graph), is_tuple) for r in rows), out_is_tuple)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a function that returns one number: the Jacobian of its gradient, in the structure `jacobian`
    gives it.

    >>> import autograd_fb as torch
    >>> torch.autograd.functional.hessian(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    _, is_tuple = _as_tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    scalar = _scalar(func, "hessian", strict)

    def gradient(*given: Tensor) -> Any:
        found = jacobian(scalar, given, create_graph=True)
        _check_dependent(found, "jacobian", strict)
        return found if is_tuple else found[0]

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
