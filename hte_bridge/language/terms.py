"""A right-hand side as terms, each a product of factors, by the rules of Wilkinson and Rogers (1973), Applied Statistics 22(3).

What stands in a factor is not read here, only where it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hte_bridge.language.grammar import Token, tokens_of
from hte_bridge.language.values import Unfit

MOST_TERMS = 1_000
HIGHEST = 10  # power of a sum
OPEN, CLOSE = {"(": ")", "[": "]", "{": "}"}, {")", "]", "}"}


@dataclass(frozen=True)
class Factor:
    """The tokens of a column, of a call, or of what stands in braces; equal where they read alike."""

    pieces: tuple[Token, ...]

    @property
    def call(self) -> str:
        """The function that is called, or an empty string."""
        called = len(self.pieces) > 1 and self.pieces[0].kind == "name" and self.pieces[1].said == "("
        return self.pieces[0].said if called and _closing(self.pieces, 1) == len(self.pieces) - 1 else ""

    @property
    def arguments(self) -> list[tuple[Token, ...]]:
        """The tokens of each argument of a call."""
        return split(self.pieces[2:-1])


Term = tuple[Factor, ...]  # the empty one is the intercept
Terms = dict[frozenset[Factor], Term]


def split(pieces: Sequence[Token]) -> list[tuple[Token, ...]]:
    """Tokens between commas that stand in no parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for piece in pieces:
        depth += (piece.said in OPEN) - (piece.said in CLOSE) if piece.kind in ("sign", "other") else 0
        if piece.said == "," and piece.kind == "sign" and not depth:
            parts.append([])
        else:
            parts[-1].append(piece)
    return [tuple(each) for each in parts] if pieces else []


def _closing(pieces: Sequence[Token], start: int) -> int:
    """Place of the parenthesis that closes the one at ``start``."""
    wanted: list[str] = []
    for place in range(start, len(pieces)):
        piece = pieces[place]
        if piece.kind not in ("sign", "other"):
            continue
        if piece.said in OPEN:
            wanted.append(OPEN[piece.said])
        elif piece.said in CLOSE:
            if piece.said != wanted.pop():
                break
            if not wanted:
                return place
    raise Unfit("cannot be read; check its parentheses")


def terms_of(text: str) -> list[Term]:
    """The terms of a right-hand side, each once, as they first occur; the intercept is understood.

    Parameters
    ----------
    text : str
        ``+`` joins, ``-`` removes, ``:`` multiplies, ``a * b`` is a + b + a:b, ``a / b`` and ``b %in% a`` are a + a:b, ``(a + b)^2`` has
        all products of two. A leading ``~`` may stand.

    Raises
    ------
    Unfit
        For what cannot be read, a left side, an intercept taken out, or too many terms.

    Examples
    --------
    >>> [":".join(factor.pieces[0].said for factor in term) for term in terms_of("~ (x + z)^2 + log(w)")]
    ['x', 'z', 'x:z', 'log']
    """
    pieces = tokens_of(text)
    if pieces and pieces[0].said == "~":
        pieces = pieces[1:]
    if any(piece.said == "~" and piece.kind == "sign" for piece in pieces):
        raise Unfit("has a left side; write what stands on the right of `~` alone")
    reader = _Reader(pieces)
    found = reader.sum()
    if reader.place < len(pieces):
        raise Unfit(f"cannot be read from `{reader.here}` on; what is computed stands in I(...)")
    found.pop(frozenset(), None)
    return list(found.values())


def _joined(terms: Iterable[Term]) -> Terms:
    out: Terms = {}
    for term in terms:
        out.setdefault(frozenset(term), term)
        if len(out) > MOST_TERMS:
            raise Unfit(f"has more than {MOST_TERMS:,} terms")
    return out


def _products(left: Terms, right: Terms) -> Terms:
    return _joined(tuple(dict.fromkeys(one + other)) for one in left.values() for other in right.values())


class _Reader:
    """Reads tokens by precedence: powers, then ``:``, then ``* / %in%``, then ``+ -``."""

    def __init__(self, pieces: Sequence[Token]) -> None:
        self.pieces, self.place, self.depth = pieces, 0, 0

    @property
    def here(self) -> str:
        """The sign or word at this place, or an empty string at the end."""
        piece = self.pieces[self.place] if self.place < len(self.pieces) else None
        return "" if piece is None or piece.kind in ("text", "quoted") else piece.said

    def take(self, *signs: str) -> str:
        """The sign at this place if it is one of these, and on to the next."""
        found = self.here if self.here in signs else ""
        self.place += found != ""
        return found

    def sum(self) -> Terms:
        """Terms of a sum."""
        found: Terms = {}
        sign = self.take("+", "-") or "+"
        while sign:
            more = self.product()
            if sign == "-":
                if frozenset() in more:
                    raise Unfit(
                        "takes the intercept out, which every model here has; leave `- 1` and `0` away"
                    )
                found = {key: term for key, term in found.items() if key not in more}
            else:
                found = _joined([*found.values(), *more.values()])
            sign = self.take("+", "-")
        return found

    def product(self) -> Terms:
        """Terms of crossed and nested factors."""
        found = self.interaction()
        while sign := self.take("*", "/", "%"):
            if sign == "%" and not (self.take("in") and self.take("%")):
                raise Unfit("holds `%`; what is computed stands in I(...)")
            more = self.interaction()
            if sign == "*":
                found = _joined([*found.values(), *more.values(), *_products(found, more).values()])
                continue
            outer, inner = (found, more) if sign == "/" else (more, found)
            whole = _joined([tuple(dict.fromkeys(factor for term in outer.values() for factor in term))])
            found = _joined([*outer.values(), *_products(whole, inner).values()])
        return found

    def interaction(self) -> Terms:
        """Terms of products."""
        found = self.power()
        while self.take(":"):
            found = _products(found, self.power())
        return found

    def power(self) -> Terms:
        """Terms of a sum raised to a whole power."""
        base = found = self.atom()
        while self.take("**", "^"):
            exponent = self.here
            if not exponent.isdigit() or not 1 <= int(exponent[:4]) <= HIGHEST:
                raise Unfit(
                    f"has a power that is no whole number from 1 to {HIGHEST}; what is computed stands in I(...)"
                )
            self.place += 1
            for _ in range(int(exponent) - 1):
                found = _joined([*found.values(), *_products(found, base).values()])
            base = found
        return found

    def atom(self) -> Terms:
        """A factor, the intercept, or a sum in parentheses."""
        if self.take("("):
            self.depth += 1
            if self.depth > 50:
                raise Unfit("is nested more than 50 deep")
            found = self.sum()
            self.depth -= 1
            if not self.take(")"):
                raise Unfit("cannot be read; check its parentheses")
            return found
        if self.place >= len(self.pieces):
            raise Unfit("ends too early")
        piece = self.pieces[self.place]
        if piece.kind == "number":
            return self._intercept(piece)
        start = self.place
        if piece.said == "{" and piece.kind == "other":
            self.place = _closing(self.pieces, start) + 1
            return _joined([(Factor(tuple(self.pieces[start + 1 : self.place - 1])),)])
        if piece.kind not in ("name", "quoted"):
            raise Unfit(f"holds `{piece.written}` where a column should stand")
        self.place += 1
        if piece.kind == "name" and self.here == "(":
            self.place = _closing(self.pieces, self.place) + 1
        return _joined([(Factor(tuple(self.pieces[start : self.place])),)])

    def _intercept(self, piece: Token) -> Terms:
        self.place += 1
        if piece.said == "0":
            raise Unfit("takes the intercept out, which every model here has; leave `- 1` and `0` away")
        if piece.said != "1":
            raise Unfit(f"holds the number {piece.said}; what is computed stands in I(...)")
        return {frozenset(): ()}
