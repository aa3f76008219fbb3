"""Text of the data as text: in markdown no link, in LaTeX no command, in a spreadsheet no formula."""

from __future__ import annotations

import re

from hte_bridge.shown import visible

GREEK = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon varphi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
LATEX = str.maketrans(
    {each: f"\\{each}" for each in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": "$<$", ">": "$>$", "|": r"\textbar{}", "—": "---", "–": "--", "…": r"\dots{}"}
    | {
        "‘": "`",
        "’": "'",
        "“": "``",
        "”": "''",
        "„": ",,",
        "\u00a0": "~",
        "−": "$-$",
        "≤": r"$\le$",
        "≥": r"$\ge$",
    }
    | {"≠": r"$\ne$", "≈": r"$\approx$", "∞": r"$\infty$", "→": r"$\to$", "€": "EUR"}
    | {chr(0x2080 + each): f"$_{each}$" for each in range(10)}
    | {
        letter: f"$\\{name}$"
        for letter, name in zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", GREEK.split(), strict=True)
    }
)
# beyond Latin-1 and the Latin Extended-A that LaTeX's first encoding has
FOREIGN = re.compile(
    "[\u0080-\u00a0«»ÐÞðþĄąĐđĘęĮįŊŋŲų\u0138\u013f\u0140\u0149\u0166\u0167\u017f-\U0010ffff]+"
)
CODE = re.compile(r"(?<![`\\])`[^`\n]+`(?!`)")  # our sentences put names into single backticks
SPECIAL = re.compile(
    r"([\\`*\[\]<|~&$@])|((?<![^\W_])_|_(?![^\W_]))|(?<=[A-Za-z])(:)(?=//)|(?<=www)(\.)", re.IGNORECASE
)
NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?", re.IGNORECASE)
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # what spreadsheets take for the beginning of one


def latex(text: str) -> str:
    r"""Text as LaTeX prints it; a line stays one line.

    Examples
    --------
    >>> print(latex("50% of x_1\\\\ & {y}\n"))
    50\% of x\_1\textbackslash{}\textbackslash{} \& \{y\}\textbackslash{}n
    """
    return FOREIGN.sub(_foreign, visible(text).translate(LATEX))


def _foreign(found: re.Match[str]) -> str:
    r"""Letters that pdfLaTeX's own fonts lack: as they are in XeLaTeX and LuaLaTeX, and their numbers elsewhere."""
    codes = " ".join(f"U+{ord(each):04X}" for each in found[0])
    return rf"\ifdefined\Umathchar {found[0]}\else {codes}\fi{{}}"


def markdown(text: str) -> str:
    r"""Text of a cell of a markdown table: no link, image, tag, code, emphasis or further cell.

    Examples
    --------
    >>> print(markdown("a_b [x](http://y) | <b> _c_"))
    a_b \[x\](http\://y) \| \<b> \_c\_
    """
    return SPECIAL.sub(lambda found: f"\\{found[0]}", visible(text))


def markdown_sentence(text: str) -> str:
    r"""The same for a sentence of ours, in which names in backticks are code.

    Examples
    --------
    >>> print(markdown_sentence("`rate()` of [x](y)"))
    `rate()` of \[x\](y)
    """
    text, out, end = visible(text), [], 0
    for code in CODE.finditer(text):
        out += [markdown(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*out, markdown(text[end:])])


def spreadsheet(text: str) -> str:
    """Text of a CSV cell that no spreadsheet runs: an apostrophe before ``= + - @``, a tab or a line end at its beginning.

    A number stays as it is. ``from_spreadsheet`` takes the apostrophe away; text that begins with apostrophes and one of these has one more.

    Examples
    --------
    >>> spreadsheet("=1+1"), spreadsheet("-1.5"), spreadsheet("grf - feols"), spreadsheet("-x")
    ("'=1+1", '-1.5', 'grf - feols', "'-x")
    """
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def from_spreadsheet(text: str) -> str:
    """The text that ``spreadsheet`` was given.

    Examples
    --------
    >>> from_spreadsheet("'=1+1"), from_spreadsheet("'t is"), from_spreadsheet(spreadsheet("'@a"))
    ('=1+1', "'t is", "'@a")
    """
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    return text.startswith("-") and NUMBER.fullmatch(text) is not None
