"""From what a user wrote to a tree of operators, names and literals; nothing of it is ever run as code.

A text is cut into tokens; names, text and numbers are replaced by letters that no one else can have written; what is left, operators and
parentheses, is read by Python's own parser. ``expression`` walks the tree.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hte_bridge.language.values import Unfit

LONGEST = 100_000  # characters
MOST_TOKENS = 1_000  # outside of lists
DEEPEST = 100  # levels of a tree
TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |`(?P<quoted>[^`]*)`
    |(?:(?:np|numpy)\s*\.\s*(?=\w+\s*\())?(?P<name>[^\W\d]\w*)
    |(?P<sign>==|!=|<=|>=|\*\*|//|[-+*/%<>()\[\],&|~])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
WORDS = {"and", "or", "not", "in", "is", "True", "False", "None"}
IN_LISTS = {"[", "]", ",", "-", "True", "False", "None"}
REFUSED = {
    ".": "asks for an attribute (`.`)",
    "@": "names a variable of Python (`@`)",
    "=": "holds an assignment (`=`); equality is written `==`",
    "{": "holds braces",
    "^": "holds `^`; a power is written `**`",
    ";": "holds several statements",
}


@dataclass(frozen=True)
class Token:
    """A piece of a text: its kind (a group of ``TOKEN``), what it says, and as it was written."""

    kind: str
    said: str
    written: str


def tokens_of(text: str) -> list[Token]:
    """The pieces of a text, spaces left out.

    Raises
    ------
    Unfit
        For a text that is too long.
    """
    if len(text) > LONGEST:
        raise Unfit(f"has {len(text):,} characters, and at most {LONGEST:,} are read; use a column or a mask")
    found = []
    for match in TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match[kind], "".join(match[0].split()) if kind == "name" else match[0]))
    return found


def text_of(token: Token) -> str:
    r"""What stands between quotes; a backslash may only stand before a quote or another.

    Examples
    --------
    >>> text_of(Token("text", r"'it\'s'", r"'it\'s'"))
    "it's"
    """
    inner = token.said[1:-1]
    if re.search(r"\\[^'\"\\]", inner):
        raise Unfit("holds a backslash in text")
    return re.sub(r"\\(.)", r"\1", inner)


@dataclass(frozen=True)
class Read:
    """A text as a tree whose names are ``v0``, ``v1``, ...: a column's name, or text in quotes, of each."""

    tree: ast.expr
    meant: Mapping[str, Token]

    def shown(self, node: ast.expr | None = None) -> str:
        """The text again, spaces as Python puts them."""
        plain = ast.unparse(self.tree if node is None else node)
        return re.sub(r"\bv[0-9]+\b", lambda found: self._shown(self.meant[found[0]]), plain)

    def _shown(self, token: Token) -> str:
        return repr(text_of(token)) if token.kind == "text" else token.written


def read(pieces: Sequence[Token]) -> Read:
    """Tokens as a tree.

    Raises
    ------
    Unfit
        For what cannot be read.
    """
    words: list[str] = []
    meant: dict[str, Token] = {}
    inside = outside = 0
    for piece in pieces:
        if piece.kind == "sign":
            inside += (piece.said == "[") - (piece.said == "]")
        outside += inside <= 0 or piece.said == "-"
        words.append(_word(piece, meant, inside > 0))
    if not words:
        raise Unfit("is empty")
    if outside > MOST_TOKENS:
        raise Unfit(
            f"has {outside:,} words and signs, and at most {MOST_TOKENS:,} are read; use a column or a mask"
        )
    try:
        tree = ast.parse(" ".join(words), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unfit("cannot be read; check its operators, quotes and parentheses") from error
    if _depth(tree) > DEEPEST:
        raise Unfit(f"is nested more than {DEEPEST} deep; use a column or a mask")
    return Read(tree, meant)


def _word(piece: Token, meant: dict[str, Token], listed: bool) -> str:
    """What Python's parser gets to see of a token."""
    if piece.kind == "other":
        raise Unfit(REFUSED.get(piece.said, f"holds `{piece.said}`"))
    fixed = piece.kind == "sign" or (piece.kind == "name" and piece.said in WORDS)
    if listed and (piece.said not in IN_LISTS if fixed else piece.kind not in ("number", "text")):
        raise Unfit("holds square brackets with something else than numbers or text in them")
    if piece.kind == "number":
        return _number_word(piece.said)
    if fixed:
        return {"&": "and", "|": "or"}.get(piece.said, piece.said)  # as pandas reads them
    meant[f"v{len(meant)}"] = piece
    return f"v{len(meant) - 1}"


def _number_word(said: str) -> str:
    if not np.isfinite(float(said)):
        raise Unfit("holds a number beyond 1e308")
    return said.lstrip("0") or "0" if said.isdigit() else repr(float(said))


def _depth(tree: ast.expr) -> int:
    """Levels of a tree, without recursion."""
    deepest, level = 0, [tree]
    while level:
        deepest, level = deepest + 1, [child for node in level for child in ast.iter_child_nodes(node)]  # type: ignore[misc]
    return deepest
