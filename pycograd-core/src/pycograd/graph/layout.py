"""Where the boxes of a layered drawing stand, and how its lines run; boxes know no content here.

The steps are those of Sugiyama, Tagawa and Toda (1981): a rank for each box by its longest path, an
order within the ranks by barycentres, then places. A line that passes ranks has a point in each of
them, which is ordered and placed as a thin box, so it runs between the boxes; lines from one box
share these points as long as they can.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

GAP_ACROSS: Final = 22.0  # between boxes of one rank
GAP_DOWN: Final = 30.0  # between ranks
THIN: Final = 4.0  # the width of a line that passes a rank
_MOST_POINTS: Final = 20_000  # of lines that pass ranks; the longest lines go without
_COUNTED: Final = 4_000  # edges, up to which crossings are counted to find the best order
_SWEEPS: Final = 12
_PLACINGS: Final = 16
_PATIENTLY: Final = 3_000  # boxes and points; more of them are swept and placed a few times only
# How strongly an edge pulls its ends under one another: by how many of them are points of a long
# line, and on a longest path, which is to run straight.
_PULLS: Final = (1.0, 2.0, 16.0)
_MAIN_PULL: Final = 64.0

Size = tuple[float, float]
Point = tuple[float, float]


@dataclass
class Layout:
    """A drawing.

    Attributes:
        places: the middle of the top side of each box.
        lines: for each piece of a line its points; between them it curves, upright at each.
        ends: where a line meets the top of a box.
        width, height: of the whole.
    """

    places: list[Point]
    lines: list[tuple[Point, ...]]
    ends: list[Point]
    width: float
    height: float


def layered(sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> Layout:
    """The drawing of an acyclic graph from top to bottom.

    Arguments:
        sizes: width and height of each box.
        edges: pairs of boxes, each from a lower number to a higher.

    >>> drawing = layered([(40.0, 20.0)] * 3, [(0, 2), (1, 2)])
    >>> [place[1] for place in drawing.places]
    [0.0, 0.0, 50.0]
    """
    work = _Work(sizes, sorted(set(edges)))
    work.order()
    work.place()
    return work.drawing()


class _Work:
    """Boxes and the points of long lines together: nodes, the boxes first."""

    def __init__(self, sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> None:
        self.sizes, self.count = list(sizes), len(sizes)
        after: list[list[int]] = [[] for _ in sizes]
        before: list[list[int]] = [[] for _ in sizes]
        for a, b in edges:
            after[a].append(b)
            before[b].append(a)
        depth = _depths(before)
        self.main = {(a, b) for a, b in edges if depth[b] == depth[a] + 1}  # on longest paths
        self.rank = _sunk(depth, before, after)
        self.up: list[list[int]] = [[] for _ in sizes]  # neighbours one rank above
        self.down: list[list[int]] = [[] for _ in sizes]
        self.direct: list[tuple[int, int]] = []  # edges too long to be given points
        self.long: list[list[int]] = []  # the points of each long line
        self._link(after)
        self.ranks: list[list[int]] = [[] for _ in range(max(self.rank, default=-1) + 1)]
        for node, rank in enumerate(self.rank):
            self.ranks[rank].append(node)
        self.x = [0.0] * len(self.sizes)

    def _link(self, after: Sequence[Sequence[int]]) -> None:
        """Links neighbouring ranks, long edges by points."""
        room = _MOST_POINTS
        reach = [max((self.rank[b] for b in each), default=0) for each in after]
        for a in sorted(range(self.count), key=lambda a: reach[a] - self.rank[a]):
            points = [a]
            for rank in range(self.rank[a] + 1, reach[a]):
                if room <= 0:
                    break
                room -= 1
                points.append(self._point(rank))
                self._edge(points[-2], points[-1])
            if len(points) > 2:
                self.long.append(points[1:])
            for b in after[a]:
                above = self.rank[b] - self.rank[a] - 1
                if above < len(points):
                    self._edge(points[above], b)
                else:
                    self.direct.append((a, b))

    def _point(self, rank: int) -> int:
        self.sizes.append((THIN, 0.0))
        self.rank.append(rank)
        self.up.append([])
        self.down.append([])
        return len(self.sizes) - 1

    def _edge(self, a: int, b: int) -> None:
        self.down[a].append(b)
        self.up[b].append(a)

    # -- order -------------------------------------------------------------------------------------
    def order(self) -> None:
        """Orders each rank by where the neighbours stand, downwards and upwards in turn."""
        edges = sum(map(len, self.down))
        best, fewest = [list(rank) for rank in self.ranks], self._crossings(edges)
        for sweep in range(_SWEEPS if edges <= _COUNTED else 2):
            if not fewest:
                break
            upwards = sweep % 2 == 1
            near = self.down if upwards else self.up
            place = [0.0] * len(self.sizes)
            for rank in self.ranks[::-1] if upwards else self.ranks:
                for i, node in enumerate(rank):
                    place[node] = i / max(len(rank) - 1, 1)
                rank.sort(key=lambda n: _mean([place[m] for m in near[n]], place[n]))
                for i, node in enumerate(rank):
                    place[node] = i / max(len(rank) - 1, 1)
            now = self._crossings(edges)
            if now < fewest:
                best, fewest = [list(rank) for rank in self.ranks], now
        if edges <= _COUNTED:
            self.ranks = best

    def _crossings(self, edges: int) -> int:
        """How often lines cross; 1 where that is too many to count."""
        if edges > _COUNTED:
            return 1
        place = {node: i for rank in self.ranks for i, node in enumerate(rank)}
        total = 0
        for rank in self.ranks:
            seen: list[int] = []
            for node in rank:
                ends = sorted(place[m] for m in self.down[node])
                total += sum(len(seen) - bisect(seen, end) for end in ends)
                for end in ends:
                    seen.insert(bisect(seen, end), end)
        return total

    # -- places ------------------------------------------------------------------------------------
    def place(self) -> None:
        """Moves each rank towards its neighbours, as far as the widths of its boxes let it."""
        self._settle([(n, 0.0, 1.0) for n in rank] for rank in self.ranks)
        for _ in range(_PLACINGS if len(self.sizes) <= _PATIENTLY else 3):
            self._settle([self._wish(n, self.up[n]) for n in rank] for rank in self.ranks)
            self._settle([self._wish(n, self.down[n]) for n in rank] for rank in self.ranks[::-1])
        both = [[*up, *down] for up, down in zip(self.up, self.down)]
        self._settle([self._wish(n, both[n]) for n in rank] for rank in self.ranks)
        self._straighten()

    def _straighten(self) -> None:
        """Lets long lines run straight as far as the boxes beside them leave room."""
        beside: dict[int, tuple[int | None, int | None]] = {}
        for rank in self.ranks:
            around = [None, *rank, None]
            beside.update((n, (around[i], around[i + 2])) for i, n in enumerate(rank))
        for points in sorted(self.long, key=len, reverse=True):
            run: list[int] = []
            low, high = -math.inf, math.inf
            for node in [*points, None]:
                left, right = (None, None) if node is None else beside[node]
                least = -math.inf if left is None else self.x[left] + self._apart(left, node)
                most = math.inf if right is None else self.x[right] - self._apart(node, right)
                if run and (node is None or max(low, least) > min(high, most)):
                    middle = sorted(self.x[n] for n in run)[len(run) // 2]
                    for n in run:
                        self.x[n] = min(max(middle, low), high)
                    run, low, high = [], -math.inf, math.inf
                if node is not None:
                    run.append(node)
                    low, high = max(low, least), min(high, most)

    def _apart(self, a: Any, b: Any) -> float:
        """How far apart two neighbours of a rank must be."""
        gap = GAP_ACROSS / 2 if max(a, b) >= self.count else GAP_ACROSS
        apart: float = (self.sizes[a][0] + self.sizes[b][0]) / 2 + gap
        return apart

    def _wish(self, node: int, near: Sequence[int]) -> tuple[int, float, float]:
        """A node, where its neighbours would have it, and how much that weighs."""
        place = weight = 0.0
        for other in near:
            edge = min(node, other), max(node, other)
            points = (node >= self.count) + (other >= self.count)
            pull = _PULLS[points] if points or edge not in self.main else _MAIN_PULL
            place += pull * self.x[other]
            weight += pull
        return (node, place / weight, weight) if near else (node, self.x[node], 1.0)

    def _settle(self, wishes: Iterable[Sequence[tuple[int, float, float]]]) -> None:
        """The places nearest to those wished (least squares) that keep the order and the gaps.

        Less the widths before it, each place must be no less than the last: isotonic regression,
        solved by pooling adjacent violators. One rank after the other.
        """
        for rank in wishes:
            offset, offsets = 0.0, []
            pools: list[tuple[float, float, int]] = []  # mean, weight, how many
            last = -1
            for node, want, weight in rank:
                offset += self._apart(last, node) if last >= 0 else 0.0
                offsets.append(offset)
                mean, count, last = want - offset, 1, node
                while pools and pools[-1][0] > mean:
                    other, heavy, more = pools.pop()
                    mean = (mean * weight + other * heavy) / (weight + heavy)
                    weight, count = weight + heavy, count + more
                pools.append((mean, weight, count))
            means = [mean for mean, _, count in pools for _ in range(count)]
            for (node, _, _), mean, offset in zip(rank, means, offsets):
                self.x[node] = mean + offset

    # -- the drawing -------------------------------------------------------------------------------
    def drawing(self) -> Layout:
        """Tops of ranks, and lines from the bottom of one box to the top of another."""
        tops, y = [], 0.0
        for rank in self.ranks:
            tops.append(y)
            y += max(self.sizes[n][1] for n in rank) + GAP_DOWN
        left = min((x - s[0] / 2 for x, s in zip(self.x, self.sizes)), default=0.0)
        right = max((x + s[0] / 2 for x, s in zip(self.x, self.sizes)), default=0.0)
        self.x = [x - left for x in self.x]
        ports = dict(self._ports())
        lines: list[tuple[Point, ...]] = []
        ends: list[Point] = []
        near = [(a, b) for a, each in enumerate(self.down) for b in each]
        for a, b in [*near, *self.direct]:
            points = [(self.x[a], tops[self.rank[a]] + self.sizes[a][1])]
            floor = tops[self.rank[a] + 1] - GAP_DOWN
            if points[0][1] < floor:
                points.append((self.x[a], floor))
            points.append((ports[a, b], tops[self.rank[b]]))
            if b < self.count:
                ends.append(points[-1])
            lines.append(tuple(points))
        places = [(self.x[n], tops[self.rank[n]]) for n in range(self.count)]
        return Layout(places, lines, ends, right - left, max(y - GAP_DOWN, 0.0))

    def _ports(self) -> Iterator[tuple[tuple[int, int], float]]:
        """Where on the top of a box each of its lines ends: beside one another."""
        above = [list(each) for each in self.up]
        for a, b in self.direct:
            above[b].append(a)
        for b, each in enumerate(above):
            step = min(12.0, self.sizes[b][0] / (len(each) + 1))
            for i, a in enumerate(sorted(each, key=lambda a: self.x[a])):
                yield (a, b), self.x[b] + (i - (len(each) - 1) / 2) * step


def _depths(before: Sequence[Sequence[int]]) -> list[int]:
    """The length of the longest path to each box."""
    depth: list[int] = []
    for each in before:
        depth.append(max((depth[a] + 1 for a in each), default=0))
    return depth


def _sunk(
    depth: Sequence[int], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> list[int]:
    """The ranks: the depth, but what has no more lines in than out sinks to its first use."""
    rank = list(depth)
    for b in reversed(range(len(rank))):
        if after[b] and len(before[b]) <= len(after[b]):
            rank[b] = min(rank[c] for c in after[b]) - 1
    return rank


def _mean(xs: Sequence[float], otherwise: float) -> float:
    return sum(xs) / len(xs) if xs else otherwise
