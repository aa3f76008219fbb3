"""Who runs the passes over a streamed study: sums of parts, in one order whoever runs them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
S = TypeVar("S")


@runtime_checkable
class Runner(Protocol):
    """Runs a function on each part of a study: here, in other processes, or on other machines.

    A function is handed over by pickling where it runs elsewhere, so it must not hold a study's arrays: ``StreamedStudy.rows`` is what
    it reads them by.
    """

    def map(self, function: Callable[[T], S], items: Sequence[T]) -> Iterator[S]:
        """Results in the order of the items, whatever the order in which they came."""

    def map_sum(
        self, function: Callable[[T], S], items: Sequence[T], add: Callable[[S, S], S] = operator.add
    ) -> S:
        """Sum of the results, added as ``tree_sum`` adds them."""

    def rest(self) -> None:
        """No pass is to be made for a while: memory that the next one takes anew is let go."""


class Serial:
    """Each part in turn, in this process.

    Examples
    --------
    >>> Serial().map_sum(lambda x: x**2, range(4))
    14
    """

    def map(self, function: Callable[[T], S], items: Sequence[T]) -> Iterator[S]:
        """Results in the order of the items."""
        return map(function, items)

    def map_sum(
        self, function: Callable[[T], S], items: Sequence[T], add: Callable[[S, S], S] = operator.add
    ) -> S:
        """Sum of the results, added as ``tree_sum`` adds them."""
        return tree_sum(self.map(function, items), add)

    def rest(self) -> None:
        """Nothing is held."""


def tree_sum(parts: Iterable[S], add: Callable[[S, S], S] = operator.add) -> S:
    """Sum of one part or more in a fixed binary tree over their order, so that the bits do not depend on who made which part.

    Parts are added as they come; of n parts no more than 1 + log2(n) are held at once.

    Examples
    --------
    >>> tree_sum(["a", "b", "c", "d", "e"], lambda left, right: f"({left}{right})")
    '(((ab)(cd))e)'
    """
    held: list[tuple[int, Any]] = []
    for part in parts:
        height, value = 0, part
        while held and held[-1][0] == height:
            height, value = height + 1, add(held.pop()[1], value)
        held.append((height, value))
    total = held.pop()[1]
    while held:
        total = add(held.pop()[1], total)
    return total
