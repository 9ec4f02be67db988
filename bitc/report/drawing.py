"""Pictures of a report, as SVG: bars of a number between 0 and 1/2 for each layer, and a tree of channels by depth."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bitc.report.trees import TreeFacts

_BAR, _GAP, _LABEL, _FULL = 14, 4, 300, 400
_MOST = 0.5
_LEVEL, _MARGIN, _WIDEST = 26, 12, 1100


def bars(values: Sequence[tuple[str, float]]) -> str:
    """A bar a (label, value); the scale ends at one half, where two channels have nothing in common."""
    height = len(values) * (_BAR + _GAP) + 22
    lines = [_svg(_LABEL + _FULL + 60, height)]
    for number, (label, value) in enumerate(values):
        y = number * (_BAR + _GAP)
        length = _FULL * min(value, _MOST) / _MOST
        lines.append(f'<text x="{_LABEL - 6}" y="{y + 11}" text-anchor="end">{escape(_shortened(label))}</text>')
        lines.append(f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="#4a7ab5"/>')
        lines.append(f'<text x="{_LABEL + length + 5:.1f}" y="{y + 11}">{value:.3f}</text>')
    axis = height - 6
    for tick in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        lines.append(f'<text x="{_LABEL + _FULL * tick / _MOST:.1f}" y="{axis}" text-anchor="middle">{tick:.1f}</text>')
    return "\n".join([*lines, "</svg>"])


def _shortened(label: str) -> str:
    return label if len(label) <= 46 else label[:45] + "…"


def tree(facts: TreeFacts) -> str:
    """The first group's tree, root on top: a dot a channel, an edge a step from parent to child."""
    parent = {edge.child: edge.parent for edge in facts.edges if edge.group == 0}
    root = next(iter(set(range(facts.channels // facts.groups)) - parent.keys()))
    places = _places(root, parent)
    columns = max(x for x, _ in places.values()) + 1
    step = min(16.0, (_WIDEST - 2 * _MARGIN) / max(columns, 1))
    depth = max(level for _, level in places.values())

    def at(channel: int) -> tuple[float, float]:
        x, level = places[channel]
        return _MARGIN + step * (x + 0.5), _MARGIN + _LEVEL * level

    lines = [_svg(2 * _MARGIN + step * columns, 2 * _MARGIN + _LEVEL * depth)]
    for edge in facts.edges:
        if edge.group:
            continue
        (x1, y1), (x2, y2) = at(edge.parent), at(edge.child)
        share = edge.bits / facts.n
        grey = round(40 + 190 * min(share, _MOST) / _MOST)
        dash = ' stroke-dasharray="3 2"' if edge.negated else ""
        title = f"{edge.parent} to {edge.child}: {edge.bits} of {facts.n}" + (", complement" if edge.negated else "")
        place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        lines.append(f'<line {place} stroke="rgb({grey},{grey},{grey})"{dash}><title>{title}</title></line>')
    for channel in places:
        x, y = at(channel)
        lines.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#4a7ab5"><title>channel {channel}</title></circle>'
        )
    return "\n".join([*lines, "</svg>"])


def _places(root: int, parent: dict[int, int]) -> dict[int, tuple[float, int]]:
    """Column and depth of each channel: leaves side by side, a parent over the middle of its children.

    >>> _places(0, {1: 0, 2: 0, 3: 2})
    {1: (0.0, 1), 3: (1.0, 2), 2: (1.0, 1), 0: (0.5, 0)}
    """
    children: dict[int, list[int]] = {}
    for child, up in parent.items():
        children.setdefault(up, []).append(child)
    found: dict[int, tuple[float, int]] = {}
    leaves = 0
    stack = [(root, 0, False)]
    while stack:
        channel, level, is_done = stack.pop()
        below = children.get(channel, [])
        if below and not is_done:
            stack.append((channel, level, True))
            stack += [(child, level + 1, False) for child in reversed(below)]
        elif below:
            columns = [found[child][0] for child in below]
            found[channel] = ((min(columns) + max(columns)) / 2, level)
        else:
            found[channel] = (float(leaves), level)
            leaves += 1
    return found


def _svg(width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">'
    )
