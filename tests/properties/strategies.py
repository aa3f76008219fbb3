"""Frames that people have, and frames that nobody should have: what hypothesis draws."""

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)
MAGNITUDES = st.sampled_from([0, 0, 0, 3, -3, 9, -9, 12, -12, 100, -100, 200, -250, 300, -300])
ODD_NAMES = st.sampled_from(
    [
        "a b",
        "$x$ and $y$",
        "<b>x</b>",
        "=1+1",
        "x|y",
        "a_b%&#{}~^\\",
        "`x`",
        "x\ny",
        "x\ty",
        "C(x)",
        "x:z",
        "__class__",
        "é ü 表",
        "\u202eabc",
        "[x](y)",
        "np",
        "Intercept",
        "lambda",
        "x" * 200,
        "(Intercept)",
        "joint",
        "1",
    ]
)


def _numbers(rng: np.random.Generator, n: int, magnitude: int) -> np.ndarray:
    return rng.normal(size=n) * 10.0**magnitude


def _holes(rng: np.random.Generator, values: Any, missing: Any, share: float = 0.1) -> list[Any]:
    return [missing if rng.random() < share else value for value in values]


def _categories(rng: np.random.Generator, n: int, ordered: bool) -> pd.Series:
    levels = ["low", "middle", "high", "never seen"]
    return pd.Series(pd.Categorical(rng.choice(levels[:3], n), categories=levels, ordered=ordered))


def _mixture(rng: np.random.Generator, n: int) -> pd.Series:
    values = [1, 2.5, "three", True, None, float("inf"), b"six", (7,), [8], {"nine": 9}, 10**30, pd.NaT]
    return pd.Series([values[k] for k in rng.integers(0, len(values), n)], dtype=object)


KINDS = {  # how a column of n rows is made; the magnitude matters to plain numbers alone
    "normal": lambda rng, n, m: pd.Series(_numbers(rng, n, m)),
    "shifted": lambda rng, n, m: pd.Series(1.6e9 + _numbers(rng, n, min(max(m, -3), 9))),
    "gaps": lambda rng, n, m: pd.Series(_holes(rng, _numbers(rng, n, m), np.nan), dtype=float),
    "float32": lambda rng, n, m: pd.Series(rng.normal(size=n).astype("float32")),
    "float16": lambda rng, n, m: pd.Series(rng.normal(size=n).astype("float16")),
    "int8": lambda rng, n, m: pd.Series(rng.integers(-128, 128, n).astype("int8")),
    "uint8": lambda rng, n, m: pd.Series(rng.integers(0, 256, n).astype("uint8")),
    "int64": lambda rng, n, m: pd.Series(rng.integers(-(2**62), 2**62, n)),
    "uint64": lambda rng, n, m: pd.Series(rng.integers(2**63, 2**64 - 1, n, dtype=np.uint64)),
    "small integers": lambda rng, n, m: pd.Series(rng.integers(0, 5, n)),
    "nullable integers": lambda rng, n, m: pd.Series(
        _holes(rng, rng.integers(0, 9, n), pd.NA), dtype="Int64"
    ),
    "nullable floats": lambda rng, n, m: pd.Series(_holes(rng, rng.normal(size=n), pd.NA), dtype="Float64"),
    "boolean": lambda rng, n, m: pd.Series(rng.random(n) < 0.5),
    "nullable boolean": lambda rng, n, m: pd.Series(_holes(rng, rng.random(n) < 0.5, pd.NA), dtype="boolean"),
    "object boolean": lambda rng, n, m: pd.Series(
        _holes(rng, (rng.random(n) < 0.5).tolist(), None), dtype=object
    ),
    "text": lambda rng, n, m: pd.Series(rng.choice(["a", "b", "c"], n)),
    "text with blanks": lambda rng, n, m: pd.Series(rng.choice(["", "NA", "None", " "], n).astype(object)),
    "string": lambda rng, n, m: pd.Series(_holes(rng, rng.choice(["a", "b"], n), None), dtype="string"),
    "numbers in text": lambda rng, n, m: pd.Series([f"{v:.1f}" for v in rng.normal(size=n)], dtype=object),
    "identifiers": lambda rng, n, m: pd.Series([f"p{k}" for k in range(n)]),
    "category": lambda rng, n, m: _categories(rng, n, ordered=False),
    "ordered category": lambda rng, n, m: _categories(rng, n, ordered=True),
    "intervals": lambda rng, n, m: pd.Series(pd.cut(rng.normal(size=n), [-9, -0.5, 0.5, 9])),
    "decimals": lambda rng, n, m: pd.Series(
        [decimal.Decimal(str(round(v, 3))) for v in rng.normal(size=n)], dtype=object
    ),
    "huge integers": lambda rng, n, m: pd.Series(
        [10 ** int(k) for k in rng.integers(0, 500, n)], dtype=object
    ),
    "dates": lambda rng, n, m: pd.Series(
        [datetime.date(2020, 1, 1 + int(k)) for k in rng.integers(0, 28, n)], dtype=object
    ),
    "timestamps": lambda rng, n, m: pd.Series(
        pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 9, n), "D")
    ),
    "durations": lambda rng, n, m: pd.Series(pd.to_timedelta(rng.integers(0, 9, n), "D")),
    "periods": lambda rng, n, m: pd.Series(pd.PeriodIndex(["2020-01"] * n, freq="M")),
    "complex": lambda rng, n, m: pd.Series(rng.normal(size=n) + 1j),
    "sparse": lambda rng, n, m: pd.Series(pd.arrays.SparseArray(rng.integers(0, 2, n).astype(float))),
    "arrow integers": lambda rng, n, m: pd.Series(
        _holes(rng, rng.integers(0, 9, n), None), dtype=pd.ArrowDtype(pa.int32())
    ),
    "arrow decimals": lambda rng, n, m: pd.Series(
        [decimal.Decimal(int(k)) for k in rng.integers(0, 9, n)], dtype=pd.ArrowDtype(pa.decimal128(9, 2))
    ),
    "arrow nulls": lambda rng, n, m: pd.Series([None] * n, dtype=pd.ArrowDtype(pa.null())),
    "arrow text": lambda rng, n, m: pd.Series(rng.choice(["u", "v"], n), dtype=pd.ArrowDtype(pa.string())),
    "lists": lambda rng, n, m: pd.Series([[1]] * n, dtype=object),
    "mappings": lambda rng, n, m: pd.Series([{"a": 1}] * n, dtype=object),
    "mixture": lambda rng, n, m: _mixture(rng, n),
    "constant": lambda rng, n, m: pd.Series(np.ones(n)),
    "constant text": lambda rng, n, m: pd.Series(["a"] * n),
    "all missing": lambda rng, n, m: pd.Series(np.full(n, np.nan)),
    "infinite": lambda rng, n, m: pd.Series(np.where(rng.random(n) < 0.05, np.inf, rng.normal(size=n))),
    "one huge": lambda rng, n, m: pd.Series(np.where(np.arange(n) == 3, 1e200, rng.normal(size=n))),
    "mostly zero": lambda rng, n, m: pd.Series(np.where(rng.random(n) < 0.95, 0.0, rng.normal(size=n))),
    "rare": lambda rng, n, m: pd.Series(np.where(np.arange(n) == 0, 1, 0)),
    "positive": lambda rng, n, m: pd.Series(rng.uniform(0.5, 2, n) * 10.0**m),
    "probabilities": lambda rng, n, m: pd.Series(rng.uniform(0.05, 0.95, n)),
    "periods and text": lambda rng, n, m: pd.Series(
        [pd.Period("2020-01", "M") + int(k) if k % 2 else f"t{k}" for k in rng.integers(0, 9, n)],
        dtype=object,
    ),
}
REFUSED = {  # as a covariate, always or nearly so
    *(
        "huge integers",
        "dates",
        "timestamps",
        "durations",
        "periods",
        "complex",
        "lists",
        "mappings",
        "mixture",
        "infinite",
    ),
    *("constant", "constant text", "all missing", "arrow nulls", "one huge", "int64", "uint64"),
}
PLAIN = (
    "normal",
    "shifted",
    "gaps",
    "float32",
    "float16",
    "int8",
    "uint8",
    "nullable integers",
    "nullable floats",
    "decimals",
    "mostly zero",
)
YES_NO = ("boolean", "nullable boolean", "object boolean", "sparse")
LABELS = (
    "small integers",
    "text",
    "string",
    "category",
    "ordered category",
    "intervals",
    "arrow text",
    "dates",
    "timestamps",
    "boolean",
)
SOUND = {  # kinds that make a study in a role; the others are drawn too, less often
    "covariates": tuple(sorted(KINDS.keys() - REFUSED)),
    "outcome": (*PLAIN, "boolean", "arrow integers"),
    "treatment": (*YES_NO, *YES_NO, "normal", "shifted", "gaps", "decimals"),
    "fixed_effects": LABELS,
    "cluster": (*LABELS, "identifiers", "periods and text"),
    "weight": ("positive",),
    "propensity": ("probabilities",),
}
ROLES = (*("covariates",) * 6, *tuple(SOUND)[1:])


def _index(kind: str, rng: np.random.Generator, n: int) -> pd.Index:
    return {
        "positions": pd.RangeIndex(n),
        "shuffled": pd.Index(rng.permutation(n) * 3 - 7),
        "text": pd.Index([f"r{k % 11}" for k in range(n)]),
        "dates": pd.date_range("2020-01-01", periods=n, freq="h"),
        "two levels": pd.MultiIndex.from_arrays([np.arange(n) // 2, np.arange(n) % 2]),
        "missing": pd.Index(np.where(np.arange(n) % 5 == 0, np.nan, np.arange(n, dtype=float))),
        "all the same": pd.Index(np.zeros(n)),
    }[kind]


def _sometimes(draw: st.DrawFn, one_in: int) -> bool:
    return draw(st.sampled_from([False] * (one_in - 1) + [True]))


def _column(draw: st.DrawFn, role: str, rng: np.random.Generator, n: int) -> pd.Series:
    """A column for a role: of a kind that suits it in two draws of three, of any kind in one."""
    kinds = sorted(KINDS) if _sometimes(draw, 3) else SOUND[role]
    magnitude = draw(MAGNITUDES) if _sometimes(draw, 3) else draw(MAGNITUDES.filter(lambda m: abs(m) <= 12))
    return KINDS[draw(st.sampled_from(kinds))](rng, n, magnitude)


def _plain_columns(rng: np.random.Generator, n: int) -> dict[Any, pd.Series]:
    d = pd.Series(rng.permutation(np.arange(n) % 2))
    x = pd.Series(rng.normal(size=n))
    return {
        "x": x,
        "z": pd.Series(rng.normal(size=n)),
        "d": d,
        "g": pd.Series(rng.permutation(np.arange(n) // 4)),
        "w": pd.Series(rng.uniform(0.5, 2, n)),
        "e": pd.Series(np.full(n, 0.5)),
        "y": d * (1 + x) + pd.Series(rng.normal(size=n)),
    }


@st.composite
def any_frame(draw: st.DrawFn) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A frame, and roles for ``Study.from_frame``: mostly sound, with up to three columns of any kind in any role; half make a study."""
    rng = np.random.default_rng(draw(SEEDS))
    n = draw(st.integers(0, 24)) if _sometimes(draw, 10) else draw(st.integers(30, 70))
    columns = _plain_columns(rng, n)
    roles: dict[str, Any] = {"outcome": "y", "treatment": "d", "covariates": ["x", "z"]}
    for role, name in (("fixed_effects", "g"), ("cluster", "g"), ("weight", "w"), ("propensity", "e")):
        if _sometimes(draw, 4) and not (role == "cluster" and "fixed_effects" in roles):
            roles[role] = [name] if role == "fixed_effects" else name
    for k in range(draw(st.integers(0, 3))):
        role = draw(st.sampled_from(ROLES))
        name: Any = draw(st.one_of(st.just(f"odd{k}"), ODD_NAMES, st.integers(0, 9), st.just(("a", k))))
        columns[name] = _column(draw, role, rng, n)
        if role == "covariates":
            roles["covariates"] = [*roles["covariates"], name] if draw(st.booleans()) else [name]
        else:
            roles[role] = [name] if role == "fixed_effects" else name
    if _sometimes(draw, 5):
        columns["y"] = columns["y"] * 10.0 ** draw(MAGNITUDES)
    frame = pd.concat(
        {key: value.reset_index(drop=True) for key, value in enumerate(columns.values())}, axis=1
    )
    frame.columns = pd.Index(list(columns), tupleize_cols=False)
    kinds = ["positions"] * 3 + ["shuffled", "text", "dates", "two levels", "missing", "all the same"]
    frame.index = _index(draw(st.sampled_from(kinds)), rng, n)
    return frame, roles


@st.composite
def sound_frame(
    draw: st.DrawFn, panel: bool | None = None, ties: bool | None = None, most: int = 160
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A frame that makes a study, and its roles: binary or a dose, ties or none, clusters, weights, effects or none, sorted or not."""
    rng = np.random.default_rng(draw(SEEDS))
    n = draw(st.integers(60, most))
    ties = draw(st.booleans()) if ties is None else ties
    x = rng.integers(0, 2, n).astype(float) if ties else rng.normal(size=n)
    z = rng.integers(0, 3, n).astype(float) if ties else rng.normal(size=n)
    frame = pd.DataFrame({"x": x, "z": z, "town": rng.choice(["a", "b", "c"], n)})
    if draw(st.booleans()):
        frame.loc[rng.random(n) < 0.1, "z"] = np.nan
    frame["g"] = rng.integers(0, n // 5, n)
    effects = draw(st.booleans()) if panel is None else panel
    binary = draw(st.booleans())
    frame["d"] = rng.integers(0, 2, n) if binary else rng.gamma(2.0, 1.0, n)
    frame["w"] = rng.uniform(0.5, 2.0, n)
    frame["y"] = (
        frame["d"] * (1 + frame["x"]) + frame["z"] + rng.normal(size=n) + 0.3 * rng.normal(size=n)[frame["g"]]
    )
    frame.index = pd.Index(rng.permutation(n) + 100)
    covariates = draw(st.sampled_from([["x", "z", "town"], ["x", "z"], ["x"]]))
    roles: dict[str, Any] = {"outcome": "y", "treatment": "d", "covariates": covariates}
    if effects:
        roles["fixed_effects"] = ["g"]
    elif draw(st.booleans()):
        roles["cluster"] = "g"
    if draw(st.booleans()):
        roles["weight"] = "w"
    if binary and not effects and draw(st.booleans()):
        roles["propensity"] = 0.5
    order = draw(st.sampled_from(["as drawn", "by outcome", "by treatment"]))
    if order != "as drawn":
        frame = frame.sort_values("y" if order == "by outcome" else "d", kind="stable")
    return frame, roles
