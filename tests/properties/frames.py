"""Random small studies of every kind that people have: dtypes, names, indexes, magnitudes from 1e-300 to 1e300, 0 to 60 rows."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd

Roles = dict[str, Any]
Draw = Callable[[np.random.Generator, int], Any]
MOST_ROWS = 60
NAMES: tuple[Hashable, ...] = (
    "x", "age", "net income", "größe", "年齢", "العمر", "👩\u200d🌾", "", " ", "a.b", "x:y", "I(x)", "c[b]", "`x`", "x`y", "1", "0x", "d", "y", "Intercept",
    "(Intercept)", "joint", "=1+1", "+x", "@x", "-x", "a|b", "a,b", "a;b", '"quoted"', "it's", "a\nb", "a\tb", "\x1b[31m", "\u202ex", "x\u200b", "$a$", "$", "\\frac{1}{2}",
    "{x}", "{{x}}", "<b>", "[l](http://e)", "%s", "%", "#", "~", "^", "x__y", "__class__", "lambda", "None", "nan", "True", "n" * 300, 0, 1, -7, 3.5, ("a", 1), True, None,
)  # fmt: skip
TEXTS = (
    "a",
    "b",
    "B",
    "north",
    "größe",
    "",
    " ",
    "NA",
    "None",
    "nan",
    "01",
    "1",
    "1E2",
    "=x",
    "$a$ $b$",
    "<i>",
    "a\nb",
    "x" * 80,
    "👩\u200d🌾",
)


def random_frame(seed: int) -> tuple[pd.DataFrame, Roles]:
    """A frame and roles for ``Study.from_frame``, the same for the same seed.

    Parameters
    ----------
    seed : int

    Returns
    -------
    (DataFrame, dict)
        0 to ``MOST_ROWS`` rows. The roles name columns of it, most of the time such that a study can be made: about two in five
        draws hold something that cannot be (a text as outcome, a constant treatment, too few rows).

    Examples
    --------
    >>> frame, roles = random_frame(1)
    >>> set(roles) >= {"outcome", "treatment", "covariates"}, frame.equals(random_frame(1)[0])
    (True, True)
    """
    rng = np.random.default_rng([seed, 24])
    n = int(rng.choice([rng.integers(0, 24), rng.integers(24, MOST_ROWS + 1)], p=[0.08, 0.92]))
    names = _names(rng, 10)
    columns: dict[Hashable, Any] = {}
    roles: Roles = {}

    odd = rng.choice([0.0, 0.4], p=[0.75, 0.25])  # share of columns that a study may refuse

    def add(role: str, values: Any) -> Hashable:
        name = names[len(columns)]
        columns[name] = values
        if role:
            roles[role] = name
        return name

    treatment = _treatment(rng, n)
    add("treatment", treatment)
    add("outcome", _one_of(rng, n, ODD_NUMBERS) if rng.random() < odd / 8 else _outcome(rng, n, treatment))
    roles["covariates"] = [add("", _covariate(rng, n, odd)) for _ in range(rng.integers(1, 5))]
    if rng.random() < 0.25:
        add("cluster", _mostly_sound(rng, n, GROUPS))
    if rng.random() < 0.2:
        roles["fixed_effects"] = [add("", _mostly_sound(rng, n, GROUPS))]
    if rng.random() < 0.2:
        add("weight", _mostly_sound(rng, n, WEIGHTS))
    if rng.random() < 0.15 and "fixed_effects" not in roles:
        add("propensity", _mostly_sound(rng, n, PROPENSITIES))
    frame = pd.concat(
        [pd.Series(values, name=name).reset_index(drop=True) for name, values in columns.items()], axis=1
    )
    frame.columns = pd.Index(list(columns), dtype=object, tupleize_cols=False)
    frame.index = _index(rng, n)
    return frame, roles


def _names(rng: np.random.Generator, count: int) -> list[Hashable]:
    """Names of columns, ordinary ones in half of the draws; no two alike."""
    if rng.random() < 0.4:
        return [f"v{j}" for j in range(count)]
    if rng.random() < 0.1:
        return list(range(count))
    order = rng.permutation(len(NAMES))
    taken: dict[Hashable, None] = {}
    for at in order:  # True and 1 are one name
        taken.setdefault(NAMES[at], None)
    return list(taken)[:count]


def _index(rng: np.random.Generator, n: int) -> pd.Index[Any]:
    kinds: tuple[Callable[[], pd.Index[Any]], ...] = (
        lambda: pd.RangeIndex(n),
        lambda: pd.Index(rng.permutation(n) * 7),
        lambda: pd.Index([f"r{k}" for k in range(n)]),
        lambda: pd.Index(np.zeros(n, dtype=int)),
        lambda: pd.MultiIndex.from_arrays([np.arange(n) // 3, np.arange(n)]),
        lambda: pd.date_range("2020-01-01", periods=n),
    )
    return kinds[rng.choice(len(kinds), p=[0.5, *[0.1] * 5])]()


def _scale(rng: np.random.Generator) -> float:
    """1 mostly, or a power of ten between 1e-300 and 1e300."""
    return (
        1.0
        if rng.random() < 0.6
        else float(10.0 ** rng.integers(-12, 13) if rng.random() < 0.92 else 10.0 ** rng.integers(-300, 301))
    )


def _treatment(rng: np.random.Generator, n: int) -> Any:
    binary = rng.integers(0, 2, n)
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: binary,
        lambda: binary.astype(bool),
        lambda: pd.array(binary, dtype="Int8"),
        lambda: pd.array(binary.astype(bool), dtype="boolean"),
        lambda: binary.astype(np.float32),
        lambda: rng.normal(size=n) * _scale(rng),
        lambda: rng.uniform(size=n).round(1),
        lambda: np.zeros(n, dtype=int),
        lambda: (np.arange(n) == 0).astype(int),
        lambda: rng.integers(0, 4, n),
        lambda: np.where(binary, "True", "False"),
    )
    return kinds[
        rng.choice(len(kinds), p=[0.44, 0.08, 0.08, 0.05, 0.05, 0.12, 0.06, 0.02, 0.04, 0.04, 0.02])
    ]()


def _outcome(rng: np.random.Generator, n: int, treatment: Any) -> Any:
    noise = rng.standard_t(3, size=n) if rng.random() < 0.3 else rng.normal(size=n)
    effect = np.zeros(n)
    if np.asarray(treatment).dtype.kind in "iub":
        effect = np.asarray(treatment).astype(float)
    made = (noise + effect) * _scale(rng) + (rng.normal() * _scale(rng) if rng.random() < 0.2 else 0.0)
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: made,
        lambda: np.clip(made, -1e4, 1e4).round().astype(int),
        lambda: (made > 0).astype(int),
        lambda: np.where(rng.random(n) < 0.1, np.nan, made),
        lambda: pd.array(np.where(rng.random(n) < 0.1, None, made), dtype="Float64"),
        lambda: np.full(n, 3.0),
        lambda: np.where(np.arange(n) == 0, 1.0, 0.0),
        lambda: [decimal.Decimal(repr(float(each))) for each in np.clip(made, -1e6, 1e6)],
    )
    return kinds[rng.choice(len(kinds), p=[0.62, 0.08, 0.08, 0.06, 0.06, 0.02, 0.02, 0.06])]()


def _one_of(rng: np.random.Generator, n: int, kinds: tuple[Draw, ...]) -> Any:
    return kinds[rng.integers(len(kinds))](rng, n)


def _mostly_sound(rng: np.random.Generator, n: int, kinds: tuple[Draw, ...]) -> Any:
    """One of the first two, which make a study, or any."""
    return _one_of(rng, n, kinds[:2] if rng.random() < 0.6 else kinds)


def _covariate(rng: np.random.Generator, n: int, odd: float) -> Any:
    return _one_of(rng, n, COLUMNS[:ORDINARY] if rng.random() >= odd else COLUMNS[ORDINARY:])


def _texts(rng: np.random.Generator, n: int) -> list[str]:
    some = list(rng.choice(TEXTS, size=rng.integers(2, 6), replace=False))
    return [str(some[k]) for k in rng.integers(0, len(some), n)]


def _with_nulls(rng: np.random.Generator, values: Any) -> list[Any]:
    """A list in which some are None, for an object column."""
    return [None if drop else each for each, drop in zip(values, rng.random(len(values)) < 0.15, strict=True)]


def _mixed(rng: np.random.Generator, n: int) -> pd.Series[Any]:
    pool: list[Any] = [1, 2.5, "a", None, True, np.nan, decimal.Decimal("1.5"), datetime.date(2020, 1, 1)]
    return pd.Series([pool[k] for k in rng.integers(0, len(pool), n)], dtype=object)


def _numbers(rng: np.random.Generator, n: int) -> Any:
    return rng.normal(size=n) * _scale(rng)


ODD_NUMBERS: tuple[Draw, ...] = (
    lambda rng, n: _texts(rng, n),
    lambda rng, n: pd.Series([10**400, *range(max(n - 1, 0))][:n], dtype=object),
    lambda rng, n: np.full(n, np.inf),
    lambda rng, n: np.full(n, np.nan),
    lambda rng, n: pd.date_range("2020-01-01", periods=n),
    lambda rng, n: _mixed(rng, n),
    lambda rng, n: rng.normal(size=n) + 1j,
)
ORDINARY = 28  # of the columns: a study can be made of these
COLUMNS: tuple[Draw, ...] = (
    *(_numbers,) * 6,
    lambda rng, n: rng.integers(-128, 128, n).astype(np.int8),
    lambda rng, n: rng.integers(0, 2**63 - 1, n),
    lambda rng, n: rng.integers(0, 2**63, n).astype(np.uint64) * 2,
    lambda rng, n: 1.6e9 + rng.uniform(0, 6e5, n),
    lambda rng, n: 20190101 + rng.integers(0, 12, n) * 100 + rng.integers(0, 28, n),
    lambda rng, n: np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
    lambda rng, n: np.where(np.arange(n) == 0, 1e200, rng.normal(size=n)),
    lambda rng, n: rng.normal(size=n).astype(np.float32),
    lambda rng, n: rng.normal(size=n).astype(np.float16),
    lambda rng, n: pd.array(_with_nulls(rng, rng.integers(0, 9, n).tolist()), dtype="Int64"),
    lambda rng, n: pd.array(_with_nulls(rng, rng.integers(0, 2, n).astype(bool).tolist()), dtype="boolean"),
    lambda rng, n: rng.integers(0, 2, n).astype(bool),
    lambda rng, n: _texts(rng, n),
    lambda rng, n: pd.Series(_texts(rng, n), dtype="string"),
    lambda rng, n: pd.Series(_with_nulls(rng, _texts(rng, n)), dtype=object),
    lambda rng, n: pd.Series(_texts(rng, n), dtype="string[pyarrow]"),
    lambda rng, n: pd.Categorical(_texts(rng, n), categories=[*TEXTS, "unused"]),
    lambda rng, n: pd.Categorical(_texts(rng, n), categories=list(TEXTS), ordered=True),
    lambda rng, n: pd.cut(rng.normal(size=n), 3) if n else np.zeros(0),
    lambda rng, n: [f"{each:.1f}" for each in rng.normal(size=n)],
    lambda rng, n: pd.Series(pd.arrays.SparseArray(rng.integers(0, 2, n).astype(float))),
    lambda rng, n: pd.Series(rng.normal(size=n)).astype("float64[pyarrow]"),
    lambda rng, n: np.where(np.arange(n) == 0, np.inf, rng.normal(size=n)),
    lambda rng, n: np.full(n, 7.0),
    lambda rng, n: np.full(n, "only"),
    lambda rng, n: [f"p{k}" for k in range(n)],
    lambda rng, n: pd.Series(pd.date_range("2020-01-01", periods=n)),
    lambda rng, n: pd.Series(pd.date_range("2020-01-01", periods=n, tz="Europe/Berlin")),
    lambda rng, n: pd.Series(pd.timedelta_range("1 day", periods=n)),
    lambda rng, n: pd.Series(pd.period_range("2020-01", periods=n, freq="M")),
    lambda rng, n: [decimal.Decimal(k) / 3 for k in range(n)],
    lambda rng, n: _mixed(rng, n),
    lambda rng, n: pd.Series([None] * n, dtype=object),
    lambda rng, n: pd.Series([10**30 + k for k in range(n)], dtype=object),
    lambda rng, n: pd.Series([10**400, *range(max(n - 1, 0))][:n], dtype=object),
)
GROUPS: tuple[Draw, ...] = (
    lambda rng, n: rng.integers(0, max(n // 5, 2), n),
    lambda rng, n: np.arange(n) // 4,
    lambda rng, n: np.arange(n),
    lambda rng, n: np.zeros(n, dtype=int),
    lambda rng, n: rng.choice(list("abc"), n),
    lambda rng, n: _texts(rng, n),
    lambda rng, n: pd.Series(_with_nulls(rng, _texts(rng, n)), dtype=object),
    lambda rng, n: pd.Categorical(_texts(rng, n), categories=[*TEXTS, "unused"]),
    lambda rng, n: 2**53 + rng.integers(0, 3, n),
    lambda rng, n: rng.integers(0, 4, n) + 0.5,
    lambda rng, n: pd.array(_with_nulls(rng, rng.integers(0, 5, n).tolist()), dtype="Int64"),
    lambda rng, n: pd.Series([[k % 3] for k in range(n)], dtype=object),
    lambda rng, n: pd.Series([{"k": k % 3} for k in range(n)], dtype=object),
    lambda rng, n: pd.Series([(k % 3, "a") for k in range(n)], dtype=object),
    lambda rng, n: pd.Series(pd.date_range("2020-01-01", periods=n).floor("10D")),
    lambda rng, n: _mixed(rng, n),
)
WEIGHTS: tuple[Draw, ...] = (
    lambda rng, n: rng.uniform(0.5, 2, n),
    lambda rng, n: rng.uniform(0.5, 2, n) * 10.0 ** rng.integers(-300, 301),
    lambda rng, n: rng.integers(0, 4, n),
    lambda rng, n: np.zeros(n),
    lambda rng, n: np.where(np.arange(n) == 0, 1e12, 1.0),
    lambda rng, n: rng.normal(size=n),
    lambda rng, n: np.where(rng.random(n) < 0.1, np.nan, 1.0),
    lambda rng, n: [decimal.Decimal(k + 1) for k in range(n)],
    lambda rng, n: pd.Series([None] * n).astype("double[pyarrow]"),
    lambda rng, n: _texts(rng, n),
)
PROPENSITIES: tuple[Draw, ...] = (
    lambda rng, n: np.full(n, 0.5),
    lambda rng, n: rng.uniform(0.05, 0.95, n),
    lambda rng, n: rng.uniform(0, 1, n) ** 40,
    lambda rng, n: rng.integers(0, 2, n),
    lambda rng, n: ["0.5"] * n,
    lambda rng, n: ["y"] * n,
    lambda rng, n: pd.date_range("2020-01-01", periods=n),
    lambda rng, n: np.where(np.arange(n) == 0, np.nan, 0.5),
)
