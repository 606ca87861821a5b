"""`draw`: the graph behind a tensor as text or as an SVG picture, with shapes and the lines that made the steps.

Note [Layers of a drawing]
    A step stands one layer below the lowest of its inputs, so that values flow downwards. An edge over several layers
    gets a point in each of them, as if a step stood there, so that lines pass between boxes. Within a layer everything
    is sorted by the mean place of its neighbours, down and up in turn, which takes most crossings away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from autograd_fb.autograd.rules import ShownNode
from autograd_fb.autograd.saved import ResultRef
from autograd_fb.autograd.views import gradient_edge
from autograd_fb.core.geometry import broadcast_shapes
from autograd_fb.graph.node import RELEASED, Node, forward_name, shown_edge
from autograd_fb.tensor.storage import AccumulateGrad
from autograd_fb.tensor.tensor import Tensor

Shape = tuple[int, ...]


class Picture:
    """The nodes behind some tensors, inputs before what is made of them, with the texts that describe them."""

    def __init__(self, roots: Sequence[Tensor], names: Mapping[str, Tensor]):
        self.roots = [_node(gradient_edge(t)) for t in roots]
        self.given = {id(t.node): name for name, t in names.items() if t.node is not None}
        self.nodes = list(_inputs_first(self.roots))
        self.number = {node: i for i, node in enumerate(self.nodes)}
        self.shapes = self._shapes(roots)

    def inputs(self, node: Node) -> list[Node]:
        return [_node(e) for e in node.edges if e is not None]

    def title(self, node: Node) -> str:
        name = self.given.get(id(node)) or ("leaf" if isinstance(node, AccumulateGrad) else forward_name(node))
        shape = self.shapes.get(node)
        return name if shape is None else f"{name} [{', '.join(map(str, shape))}]"

    def place(self, node: Node) -> str:
        """The file (without folders) and line of the call that made a step."""
        return os.path.basename(node.site())

    def _shapes(self, roots: Sequence[Tensor]) -> dict[Node, Shape]:
        """The shapes of results, as far as something remembers them or they follow from those of the inputs."""
        known = {n: tuple(t.shape) for n, t in zip(self.roots, roots, strict=True) if n.num_outputs == 1}
        for node in self.nodes:
            if isinstance(node, AccumulateGrad):
                known[node] = tuple(node.array.shape)
            elif isinstance(node, ShownNode) and node.saved is not RELEASED:
                for other, shape in _remembered(node):
                    known.setdefault(other, shape)
        for node in reversed(self.nodes):
            for other, shape in _of_inputs(node, known.get(node)):
                known.setdefault(other, shape)
        for node in self.nodes:
            inputs = self.inputs(node)
            if node not in known and isinstance(node, ShownNode) and node.writer.pointwise and inputs:
                if all(i in known for i in inputs):
                    known[node] = tuple(broadcast_shapes(*(known[i] for i in inputs)))
        return known


def _node(edge: Any) -> Node:
    return shown_edge(edge)[0]


def _inputs_first(roots: Sequence[Node]) -> Iterator[Node]:
    done: set[Node] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            stack += [(_node(e), False) for e in reversed(node.edges) if e is not None]


def _remembered(node: ShownNode) -> Iterator[tuple[Node, Shape]]:
    """The shapes of its result and of its inputs that a node kept for its backward."""
    rules = node.rules
    for name, value in zip(rules.saved, node.saved or (), strict=False):
        if isinstance(value, ResultRef) and node.num_outputs == 1:
            yield node, tuple(value.array.shape)
        base = name.removesuffix("_shape")
        if base not in rules.differentiable or rules.lists:
            continue
        edge = node.edges[rules.differentiable.index(base)]
        if isinstance(edge, Node) and edge.num_outputs == 1:
            if isinstance(value, Tensor):
                yield edge, tuple(value.array.shape)
            elif base != name and isinstance(value, tuple):
                yield edge, value


def _of_inputs(node: Node, shape: Shape | None) -> Iterator[tuple[Node, Shape]]:
    """The shapes of a pointwise step's inputs: its own, or as noted because something was broadcast."""
    if not isinstance(node, ShownNode) or not node.writer.pointwise:
        return
    for name, edge in zip(node.rules.differentiable, node.edges, strict=False):
        noted = (shape, None) if node.shapes is None else node.shapes[node.rules.tensors.index(name)]
        if isinstance(edge, Node) and edge.num_outputs == 1 and noted is not None and noted[0] is not None:
            yield edge, tuple(noted[0])


# --- text


def _text(picture: Picture) -> str:
    """A tree from the result upstream; what was shown before is referred to by its number."""
    lines: list[str] = []
    shown: set[Node] = set()
    used = [i for node in picture.nodes for i in picture.inputs(node)]
    several = {node for node in picture.nodes if used.count(node) > 1}

    def show(node: Node, lead: str, branch: str) -> list[tuple[Node, str, str]]:
        number = f"({picture.number[node]}) " if node in several else ""
        if node in shown and picture.inputs(node):
            lines.append(f"{lead}{branch}{number}{picture.title(node)}, see above")
            return []
        place = picture.place(node)
        lines.append(f"{lead}{branch}{number}{picture.title(node)}" + (f"  {place}" if place else ""))
        shown.add(node)
        below = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        inputs = picture.inputs(node)
        return [(n, below, "└─ " if k == len(inputs) - 1 else "├─ ") for k, n in enumerate(inputs)]

    stack = [(root, "", "") for root in reversed(picture.roots)]
    while stack:
        stack += reversed(show(*stack.pop()))
    return "\n".join(lines)


# --- SVG


class _Box:
    """A node's place in the picture; without a node a point that an edge runs through."""

    def __init__(self, node: Node | None, lines: list[str], layer: int):
        self.node, self.lines, self.layer = node, lines, layer
        self.width = max((7.2 * len(line) for line in lines), default=0) + (20 if lines else 0)
        self.x = 0.0
        self.above: list[_Box] = []
        self.below: list[_Box] = []


HEIGHT, GAP, SPACE = 40, 44, 22


def _layers(picture: Picture) -> list[list[_Box]]:
    """Boxes and points by layer: see Note [Layers of a drawing]."""
    boxes: dict[Node, _Box] = {}
    layers: list[list[_Box]] = []

    def put(box: _Box) -> _Box:
        while len(layers) <= box.layer:
            layers.append([])
        layers[box.layer].append(box)
        return box

    uses: dict[Node, list[Node]] = {node: [] for node in picture.nodes}
    depth: dict[Node, int] = {}
    for node in picture.nodes:
        inputs = list(dict.fromkeys(picture.inputs(node)))
        depth[node] = 1 + max((depth[i] for i in inputs), default=-1)
        for i in inputs:
            uses[i].append(node)
    for node in reversed(picture.nodes):  # inputs right above what uses them first
        if not picture.inputs(node) and uses[node]:
            depth[node] = min(depth[u] for u in uses[node]) - 1
    for node in picture.nodes:
        lines = [picture.title(node), *filter(None, [picture.place(node)])]
        boxes[node] = put(_Box(node, lines, depth[node]))
    for node in picture.nodes:
        for i in dict.fromkeys(picture.inputs(node)):
            upper = boxes[i]
            for layer in range(depth[i] + 1, depth[node]):
                point = put(_Box(None, [], layer))
                upper.below.append(point)
                point.above.append(upper)
                upper = point
            upper.below.append(boxes[node])
            boxes[node].above.append(upper)
    return layers


def _arrange(layers: list[list[_Box]]) -> float:
    """Sort each layer and give everything its x; the width of the whole."""
    for layer in layers:
        _spread(layer)
    for turn in range(8):
        downwards = turn % 2 == 0
        for layer in layers if downwards else reversed(layers):
            wish: dict[_Box, float] = {}
            for box in layer:
                near = box.above if downwards else box.below
                wish[box] = sum(n.x for n in near) / len(near) if near else box.x
            layer.sort(key=wish.__getitem__)
            _spread(layer, wish)
    left = min(b.x - b.width / 2 for layer in layers for b in layer)
    for layer in layers:
        for box in layer:
            box.x += SPACE - left
    return max(b.x + b.width / 2 for layer in layers for b in layer) + SPACE


def _spread(layer: list[_Box], wish: Mapping[_Box, float] | None = None) -> None:
    """Put the boxes side by side, as near to where they wish to be as their widths allow, on the whole."""
    x = 0.0
    for k, box in enumerate(layer):
        left = 0.0 if k == 0 else x + SPACE + box.width / 2
        box.x = left if wish is None else (wish[box] if k == 0 else max(left, wish[box]))
        x = box.x + box.width / 2
    if wish is not None and layer:
        shift = sum(wish[b] - b.x for b in layer) / len(layer)
        for box in layer:
            box.x += shift


def _svg(picture: Picture) -> str:
    layers = _layers(picture)
    width = _arrange(layers)
    height = SPACE * 2 + len(layers) * (HEIGHT + GAP) - GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="monospace" font-size="12">',
        f'<rect width="{width:.0f}" height="{height}" fill="white"/>',
    ]
    for layer in layers:
        for box in layer:
            parts += [_line(box, lower) for lower in box.below]
    roots = set(picture.roots)
    for layer in layers:
        parts += [_box(box, box.node in roots) for box in layer if box.node is not None]
    return "\n".join([*parts, "</svg>"])


def _top(box: _Box) -> float:
    return SPACE + box.layer * (HEIGHT + GAP)


def _line(upper: _Box, lower: _Box) -> str:
    """The edge from a box (or point) to one in the next layer; points are passed straight down."""
    start, end = _top(upper) + HEIGHT, _top(lower)
    middle = (start + end) / 2
    path = f"M {upper.x:.1f} {start} C {upper.x:.1f} {middle}, {lower.x:.1f} {middle}, {lower.x:.1f} {end}"
    if lower.node is None:
        path += f" L {lower.x:.1f} {end + HEIGHT}"
    return f'<path d="{path}" fill="none" stroke="#8a8f98" stroke-width="1.3"/>'


def _box(box: _Box, is_root: bool) -> str:
    fill = "#d9f2d9" if isinstance(box.node, AccumulateGrad) else "#fbe3c6" if is_root else "#e4ecf7"
    y = _top(box)
    parts = [
        f'<rect x="{box.x - box.width / 2:.1f}" y="{y}" width="{box.width:.1f}" height="{HEIGHT}" rx="5" '
        f'fill="{fill}" stroke="#5a6472"/>'
    ]
    for k, line in enumerate(box.lines):
        baseline = y + (24 if len(box.lines) == 1 else 17 + 15 * k)
        colour = "#1c2430" if k == 0 else "#69707c"
        parts.append(f'<text x="{box.x:.1f}" y="{baseline}" text-anchor="middle" fill="{colour}">{escape(line)}</text>')
    return "".join(parts)


def draw(
    tensors: Tensor | Sequence[Tensor], format: str = "text", *, names: Mapping[str, Tensor] | None = None
) -> str:
    """The graph behind tensors, as ``"text"`` or as an ``"svg"`` picture: steps, shapes, and the lines that made them.

    ``names`` says what leaves are called, as ``dict(model.named_parameters())`` does. Shapes that nothing remembers are
    left out. ValueError for other formats, RuntimeError for a tensor without a graph.

    >>> import autograd_fb as torch
    >>> w, x = torch.ones(3, requires_grad=True), torch.ones(2, 3)
    >>> y = (w.exp() * x).sum() + w.sum()
    >>> print(*(line.partition("  <")[0] for line in torch.autograd.draw(y, names={"w": w}).splitlines()), sep="\\n")
    Add []
    ├─ Sum []
    │  └─ Mul [2, 3]
    │     └─ Exp [3]
    │        └─ (0) w [3]
    └─ Sum []
       └─ (0) w [3]
    """
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for t in roots:
        if not t.requires_grad:
            raise RuntimeError("draw(): the tensor does not require grad, so there is no graph behind it")
    picture = Picture(roots, names or {})
    if format == "text":
        return _text(picture)
    if format == "svg":
        return _svg(picture)
    raise ValueError(f"draw(): format is 'text' or 'svg', not {format!r}")
