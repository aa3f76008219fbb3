"""Python's words in sentences for R: calls, constants and options under the names that they have there."""

from __future__ import annotations

import re

ENGINES = {
    "Feols": "hte_feols",
    "CausalForest": "hte_causal_forest",
    "Deep": "hte_deep",
    "Given": "hte_given",
}
SHORT = [
    "agreement",
    "average",
    "calibration",
    "cate",
    "clan",
    "counterfactual",
    "differences",
    "dose",
    "explain_gap",
    "gate",
    "gates",
    "placebo",
    "policy",
    "projection",
    "race",
    "randomisation",
    "rate",
    "sensitivity",
    "toc",
    "trimmed",
    "what_if",
    "wild_bootstrap",
    "with_vcov",
    "adjusted",
]
CONSTANTS = {"True": "TRUE", "False": "FALSE", "None": "NULL"}
_ENGINE = re.compile(rf"\b(?:hb\.)?({'|'.join(ENGINES)})\(")
_VERB = re.compile(r"\b(?:table|Comparison)\.([a-z_]+)\((\)?)")
_CONSTANT = re.compile(r"(?<=[=(,` ])(True|False|None)(?=[`),.\]])")
_LIST = re.compile(r"(?<=[=(] )\[([^][]*)\]|(?<=[=(])\[([^][]*)\]")


def for_r(sentence: str) -> str:
    """A sentence with R's words in place of Python's.

    Examples
    --------
    >>> for_r('Write engines=[hb.Feols(), hb.Deep(seed=1)], or say `memory_override=True`.')
    'Write engines=list(hte_feols(), hte_deep(seed=1)), or say `memory_override=TRUE`.'
    >>> for_r("Ask `table.trimmed()` or table.gate(by=labels); use Study.from_frame.")
    'Ask `trimmed(table)` or gate(table, by=labels); use hte_study().'
    >>> for_r("such as 'got ~ age + C(region)'")
    "such as 'got ~ age + factor(region)'"
    """
    said = _ENGINE.sub(lambda found: f"{ENGINES[found[1]]}(", sentence)
    said = _LIST.sub(_vector, said)
    said = _VERB.sub(_verb, said)
    said = re.sub(r"\bC\((?=\w+\))", "factor(", said)
    said = re.sub(r"\b(?:hb\.)?compare\(", "hte_compare(", said)
    said = re.sub(r"\b(?:hb\.)?Study\.from_frame(?:\(\))?(?!\()", "hte_study()", said)
    return _CONSTANT.sub(lambda found: CONSTANTS[found[1]], said)


def _vector(found: re.Match[str]) -> str:
    inside = found[1] if found[1] is not None else found[2]
    return f"list({inside})" if "hte_" in inside else f"c({inside})"


def _verb(found: re.Match[str]) -> str:
    opening = f"{found[1]}(table" if found[1] in SHORT else f'hte_verb(table, "{found[1]}"'
    return opening + (")" if found[2] else ", ")
