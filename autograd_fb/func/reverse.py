"""Reverse mode as functions of functions: `grad`, `grad_and_value`, `vjp` and `jacrev`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from autograd_fb.autograd.functional import _construct_standard_basis_for
from autograd_fb.core.pytree import TreeSpec, tree_flatten, tree_leaves, tree_map, tree_unflatten
from autograd_fb.func.arrays import lift, lower
from autograd_fb.func.levels import Transform, input_of, pull_back, recording, settled
from autograd_fb.func.vmap import vmap
from autograd_fb.kernels.namespace import tensor_namespace
from autograd_fb.tensor.tensor import Tensor

Argnums = int | tuple[int, ...]


def checked_argnums(argnums: Any, args: Sequence[Any]) -> tuple[int, ...]:
    """The places of the arguments to differentiate. RuntimeError for what is no place of a positional argument."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    wanted = argnums if isinstance(argnums, tuple) else (argnums,)
    if not wanted:
        raise RuntimeError("argnums must be non-empty")
    for n in wanted:
        if not isinstance(n, int):
            raise RuntimeError(f"argnum must be int, got: {type(n)}")
        if not -len(args) <= n < len(args):
            raise RuntimeError(f"Got argnum={n}, but only {len(args)} positional inputs")
    places = tuple(n % len(args) for n in wanted)
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return places


def replaced(args: Sequence[Any], places: Sequence[int], values: Sequence[Any]) -> list[Any]:
    out = list(args)
    for place, value in zip(places, values, strict=True):
        out[place] = value
    return out


def aliases(tree: Any, owner: Transform) -> tuple[Any, list[Tensor]]:
    """A tree with aliases to differentiate in the place of its tensors, and these aliases."""
    made: list[Tensor] = []

    def alias(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(leaf)}")
        made.append(input_of(leaf, owner))
        return made[-1]

    return tree_map(alias, tree), made


def _scalar(output: Any) -> Tensor:
    lead = "grad_and_value(f)(*args): Expected f(*args) to return a "
    if not isinstance(output, Tensor):
        raise RuntimeError(f"{lead}Tensor, got {type(output)}")
    if output.dim() != 0:
        raise RuntimeError(
            f"{lead}scalar Tensor, got tensor with {output.dim()} dims. Maybe you wanted to use the vjp or jacrev "
            f"APIs instead?"
        )
    return output


def _split_aux(output: Any, name: str) -> tuple[Any, Any]:
    if not (isinstance(output, tuple) and len(output) == 2):
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    aux = output[1]
    for leaf in tree_leaves(aux):
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(leaf)}")
    return output


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of ``func`` and its value: ``(grad, value)``, or ``(grad, (value, aux))``.

    >>> import autograd_fb as torch
    >>> torch.func.grad_and_value(lambda x: x * x)(torch.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return _differentiated(func, argnums, has_aux, True, args, kwargs)

    return wrapped


def _differentiated(
    func: Callable[..., Any], argnums: Argnums, has_aux: bool, with_value: bool, args: Any, kwargs: dict[str, Any]
) -> Any:
    """The gradient; with its value ``(gradient, value)``, with the auxiliary output too the two in value's place."""
    args, raw = lift(args)
    places = checked_argnums(argnums, args)
    with Transform() as owner:
        pairs = [aliases(args[place], owner) for place in places]
        output, aux = func(*replaced(args, places, [tree for tree, _ in pairs]), **kwargs), None
        if has_aux:
            output, aux = _split_aux(output, "grad_and_value(f)(*args)")
        output = _scalar(output)
        inputs = [x for _, made in pairs for x in made]
        grads = iter(pull_back([output], inputs, None, owner, owner.record))
    trees = [tree_map(lambda _: settled(next(grads), owner, owner.record), tree) for tree, _ in pairs]
    gradient = trees[0] if isinstance(argnums, int) else tuple(trees)
    if not with_value:
        return lower(gradient if not has_aux else (gradient, _all_settled(aux, owner)), raw)
    return lower((gradient, _all_settled((output, aux) if has_aux else output, owner)), raw)


def _all_settled(tree: Any, owner: Transform) -> Any:
    return tree_map(lambda leaf: settled(leaf, owner, owner.record), tree)


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of ``func``, which returns a 0-d tensor, with respect to one argument or
    several.

    With ``has_aux`` ``func`` returns ``(output, aux)`` and the result is ``(gradient, aux)``. Arguments may be nested
    containers
    of tensors, or raw arrays (then arrays come back). RuntimeError for outputs that are no scalars. Nests, and can be
    vmapped.

    >>> import autograd_fb as torch
    >>> torch.func.grad(torch.func.grad(torch.sin))(torch.tensor(0.5))
    tensor(-0.4794)
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return _differentiated(func, argnums, has_aux, False, args, kwargs)

    return wrapped


def only_tensors(leaves: Sequence[Any], name: str) -> None:
    """RuntimeError for outputs without a tensor, and for those that are something else."""
    if not leaves or (len(leaves) == 1 and leaves[0] is None):
        raise RuntimeError(
            f"{name}: Expected f to be a function that has non-empty output (got output = {list(leaves)})"
        )
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(
                f"{name}: expected f(*primals) to return only tensors, got unsupported type {type(leaf)}"
            )


def only_real(tree: Any, lead: str) -> None:
    """RuntimeError for complex tensors among the leaves: their Jacobian is no matrix of complex numbers."""
    for i, leaf in enumerate(tree_leaves(tree)):
        if isinstance(leaf, Tensor) and leaf.dtype.is_complex:
            raise RuntimeError(f"{lead} to be real but received complex tensor at flattened input idx: {i}")


class _Pulled:
    """What `vjp` found out: outputs in the graph, and the way back."""

    def __init__(self, func: Callable[..., Any], primals: Sequence[Any], has_aux: bool):
        with Transform() as self.owner:
            pairs = [aliases(p, self.owner) for p in primals]
            output, self.aux = func(*(tree for tree, _ in pairs)), None
            if has_aux:
                output, self.aux = _split_aux(output, "vjp(f, *primals)")
        self.outputs, self.spec = tree_flatten(output)
        only_tensors(self.outputs, "vjp(f, *primals)")
        for y in self.outputs:
            if not (y.dtype.is_floating_point or y.dtype.is_complex):
                raise RuntimeError(
                    "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor with dtype "
                    f"{y.dtype}"
                )
        self.trees = tuple(tree for tree, _ in pairs)
        self.inputs = [x for _, made in pairs for x in made]

    def settled(self, tree: Any) -> Any:
        return _all_settled(tree, self.owner)

    def back(self, cotangents: Sequence[Tensor], record: bool, keep: bool = True) -> tuple[Any, ...]:
        """The gradients of the primals, each in the primal's structure."""
        found = iter(pull_back(self.outputs, self.inputs, cotangents, self.owner, record, keep))
        return tuple(tree_map(lambda _: settled(next(found), self.owner, record), tree) for tree in self.trees)


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The output of ``func`` and a function that takes a cotangent of it and gives the gradients of the primals.

    Returns ``(output, vjp_fn)``, with ``has_aux`` ``(output, vjp_fn, aux)``. ``vjp_fn`` returns a tuple, one entry
    per primal. Its gradients are recorded where it is called with grad mode on (``create_graph`` says otherwise);
    with ``retain_graph=False`` it can be called once. RuntimeError for outputs that are no tensors, and for
    cotangents that are not like the outputs.

    >>> import autograd_fb as torch
    >>> y, back = torch.func.vjp(torch.sin, torch.tensor([0.0, 1.0]))
    >>> back(torch.ones(2))
    (tensor([1.0000, 0.5403]),)
    """
    primals, raw = lift(primals)
    pulled = _Pulled(func, primals, has_aux)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> tuple[Any, ...]:
        leaves, spec = tree_flatten(lift(cotangents)[0])
        if spec != pulled.spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                "function. "
                f"cotangents: {spec.pretty()}, primal output: {pulled.spec.pretty()}"
            )
        for i, (v, y) in enumerate(zip(leaves, pulled.outputs, strict=True)):
            if not isinstance(v, Tensor):
                raise TypeError(f"gradients can be either Tensors or None, but got {type(v).__name__}")
            if tuple(v.array.shape) != tuple(y.array.shape):
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{i}] has a shape of {v.shape} and output[{i}] has a shape of "
                    f"{y.shape}."
                )
        record = recording() if create_graph is None else create_graph
        result: tuple[Any, ...] = lower(pulled.back(leaves, record, retain_graph), raw)
        return result

    output = lower(pulled.settled(tree_unflatten(pulled.outputs, pulled.spec)), raw)
    return (output, vjp_fn, lower(pulled.settled(pulled.aux), raw)) if has_aux else (output, vjp_fn)


def basis(outputs: Sequence[Tensor]) -> tuple[list[Tensor], list[int]]:
    """For each tensor its part of the unit vectors of all of them together, as rows, and the numbers of elements."""
    counts = [t.numel() for t in outputs]
    parts = zip(_construct_standard_basis_for(outputs, counts), outputs, strict=True)
    return [tensor_namespace().reshape(rows, [sum(counts), *t.array.shape]) for rows, t in parts], counts


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that gives the Jacobian of ``func`` by reverse mode: shape of the output, then shape of the input.

    For outputs and inputs that are nested containers, the Jacobian is a container like the output of containers like
    the input. ``chunk_size`` bounds the number of rows computed at once; with 1 the rows are computed without `vmap`.
    RuntimeError for complex inputs and outputs.

    >>> import autograd_fb as torch
    >>> torch.func.jacrev(lambda x: x * x)(torch.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        args, raw = lift(args)
        places = checked_argnums(argnums, args)
        only_real(args, "jacrev: Expected all inputs")

        def of_chosen(*chosen: Any) -> Any:
            return func(*replaced(args, places, chosen), **kwargs)

        pulled = _Pulled(of_chosen, [args[p] for p in places], has_aux)
        only_real(pulled.outputs, "jacrev: Expected all outputs")
        jacobian = _jacobian(pulled, chunk_size)
        trees = [tree[0] if isinstance(argnums, int) else tree for tree in jacobian]
        result = lower(tree_unflatten(trees, pulled.spec), raw)
        return (result, lower(pulled.settled(pulled.aux), raw)) if has_aux else result

    return wrapped


def _by_row(pulled: _Pulled, parts: Sequence[Tensor]) -> Any:
    F, found = tensor_namespace(), []
    for i in range(int(parts[0].array.shape[0])):
        leaves, spec = tree_flatten(pulled.back([F.select(p, 0, i) for p in parts], recording()))
        found.append(leaves)
    return tree_unflatten([F.stack(list(column), 0) for column in zip(*found, strict=True)], spec)


def _jacobian(pulled: _Pulled, chunk_size: int | None) -> list[Any]:
    """Per output a tuple of the primals' structures."""
    F = tensor_namespace()
    parts, counts = basis(pulled.outputs)
    if sum(counts) and chunk_size == 1:  # without vmap: its rules for what may be called do not hold
        rows = _by_row(pulled, parts)
    elif sum(counts):
        rows = vmap(lambda *vs: pulled.back(vs, recording()), chunk_size=chunk_size)(*parts)
    else:
        rows = tree_map(lambda x: F.new_zeros(x.detach(), [0, *x.array.shape]), pulled.trees)
    out, start = [], 0
    for y, n in zip(pulled.outputs, counts, strict=True):
        shape, first = list(y.array.shape), start

        def cut(g: Tensor, shape: list[int] = shape, first: int = first, n: int = n) -> Tensor:
            piece: Tensor = F.reshape(F.narrow(g, 0, first, n), [*shape, *g.array.shape[1:]])
            return piece

        out.append(tree_map(cut, rows))
        start += n
    return out


__all__ = ["TreeSpec", "grad", "grad_and_value", "jacrev", "vjp"]
