"""What to cite, as BibTeX, by the engines and estimands that a table holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hte_bridge.estimand import known
from hte_bridge.table import Table


@dataclass(frozen=True)
class Work:
    """One entry: its kind, key, the fields, and the name in running text."""

    kind: str
    key: str
    short: str
    fields: Mapping[str, str]

    def bibtex(self) -> str:
        """The entry as BibTeX."""
        lines = [f"  {name} = {{{value}}}" for name, value in self.fields.items()]
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


def article(
    key: str, short: str, author: str, title: str, journal: str, volume: str, pages: str, year: int
) -> Work:
    """An article; ``volume`` is ``"47(2)"``."""
    number = volume.partition("(")[2].rstrip(")")
    fields = {"author": author, "title": title, "journal": journal, "volume": volume.partition("(")[0]}
    fields |= ({"number": number} if number else {}) | {"pages": pages, "year": str(year)}
    return Work("article", key, short, fields)


WORKS = {
    "forest": article(
        "AtheyTibshiraniWager2019", "Athey, Tibshirani and Wager (2019)",
        "Athey, Susan and Tibshirani, Julie and Wager, Stefan", "Generalized Random Forests",
        "The Annals of Statistics", "47(2)", "1148--1178", 2019,
    ),
    "grf": Work("manual", "grf", "the R package grf", {
        "author": "Tibshirani, Julie and Athey, Susan and Sverdrup, Erik and Wager, Stefan",
        "title": "{grf}: Generalized Random Forests", "note": "R package",
        "url": "https://github.com/grf-labs/grf",
    }),
    "pyfixest": Work("misc", "pyfixest", "pyfixest", {
        "author": "{The PyFixest Authors}",
        "title": "{pyfixest}: Fast High-Dimensional Fixed Effect Estimation in {Python}",
        "url": "https://github.com/py-econometrics/pyfixest",
    }),
    "angrist": article(
        "Angrist1998", "Angrist (1998)", "Angrist, Joshua D.",
        "Estimating the Labor Market Impact of Voluntary Military Service Using Social Security Data on Military "
        "Applicants", "Econometrica", "66(2)", "249--288", 1998,
    ),
    "deep": article(
        "FarrellLiangMisra2021", "Farrell, Liang and Misra (2021)",
        "Farrell, Max H. and Liang, Tengyuan and Misra, Sanjog",
        "Deep Neural Networks for Estimation and Inference", "Econometrica", "89(1)", "181--213", 2021,
    ),
    "kernel": Work("book", "RasmussenWilliams2006", "Rasmussen and Williams (2006)", {
        "author": "Rasmussen, Carl Edward and Williams, Christopher K. I.",
        "title": "Gaussian Processes for Machine Learning", "publisher": "MIT Press", "year": "2006",
    }),
    "arms": Work("inproceedings", "AlaaVanDerSchaar2017", "Alaa and van der Schaar (2017)", {
        "author": "Alaa, Ahmed M. and van der Schaar, Mihaela",
        "title": "Bayesian Inference of Individualized Treatment Effects using Multi-task {Gaussian} Processes",
        "booktitle": "Advances in Neural Information Processing Systems", "volume": "30", "year": "2017",
    }),
    "evidence": article(
        "MacKay1992", "MacKay (1992)", "MacKay, David J. C.", "Bayesian Interpolation", "Neural Computation", "4(3)",
        "415--447", 1992,
    ),
    "wahba": article(
        "Wahba1983", "Wahba (1983)", "Wahba, Grace",
        "Bayesian ``Confidence Intervals'' for the Cross-validated Smoothing Spline",
        "Journal of the Royal Statistical Society. Series B", "45(1)", "133--150", 1983,
    ),
    "score_test": article(
        "Wooldridge1991", "Wooldridge (1991)", "Wooldridge, Jeffrey M.",
        "On the Application of Robust, Regression-based Diagnostics to Models of Conditional Means and Conditional "
        "Variances", "Journal of Econometrics", "47(1)", "5--46", 1991,
    ),
    "one_effect": article(
        "Robinson1988", "Robinson (1988)", "Robinson, Peter M.", "Root-N-Consistent Semiparametric Regression",
        "Econometrica", "56(4)", "931--954", 1988,
    ),
    "rlearner": article(
        "NieWager2021", "Nie and Wager (2021)", "Nie, Xinkun and Wager, Stefan",
        "Quasi-Oracle Estimation of Heterogeneous Treatment Effects", "Biometrika", "108(2)", "299--319", 2021,
    ),
    "crossfit": article(
        "ChernozhukovEtAl2018", "Chernozhukov et al. (2018)",
        "Chernozhukov, Victor and Chetverikov, Denis and Demirer, Mert and Duflo, Esther and Hansen, Christian and "
        "Newey, Whitney and Robins, James", "Double/Debiased Machine Learning for Treatment and Structural Parameters",
        "The Econometrics Journal", "21(1)", "C1--C68", 2018,
    ),
    "scores": article(
        "RobinsRotnitzky1995", "Robins and Rotnitzky (1995)", "Robins, James M. and Rotnitzky, Andrea",
        "Semiparametric Efficiency in Multivariate Regression Models with Missing Data",
        "Journal of the American Statistical Association", "90(429)", "122--129", 1995,
    ),
    "clusters": article(
        "LiangZeger1986", "Liang and Zeger (1986)", "Liang, Kung-Yee and Zeger, Scott L.",
        "Longitudinal Data Analysis Using Generalized Linear Models", "Biometrika", "73(1)", "13--22", 1986,
    ),
    "overlap": article(
        "LiMorganZaslavsky2018", "Li, Morgan and Zaslavsky (2018)",
        "Li, Fan and Morgan, Kari Lock and Zaslavsky, Alan M.", "Balancing Covariates via Propensity Score Weighting",
        "Journal of the American Statistical Association", "113(521)", "390--400", 2018,
    ),
    "projection": article(
        "SemenovaChernozhukov2021", "Semenova and Chernozhukov (2021)",
        "Semenova, Vira and Chernozhukov, Victor",
        "Debiased Machine Learning of Conditional Average Treatment Effects and Other Causal Functions",
        "The Econometrics Journal", "24(2)", "264--289", 2021,
    ),
    "rate": article(
        "YadlowskyEtAl2025", "Yadlowsky et al. (2025)",
        "Yadlowsky, Steve and Fleming, Scott and Shah, Nigam and Brunskill, Emma and Wager, Stefan",
        "Evaluating Treatment Prioritization Rules via Rank-Weighted Average Treatment Effects",
        "Journal of the American Statistical Association", "120(549)", "38--51", 2025,
    ),
}  # fmt: skip
BY_ENGINE = {
    "feols": ("pyfixest", "angrist"),
    "grf": ("forest", "grf"),
    "deep": ("deep", "rlearner", "evidence", "wahba"),
}
# in place of those of "deep" where its model was the exact kernel
KERNEL = ("kernel", "rlearner", "arms", "wahba")


def works(table: Table) -> list[Work]:
    """What the table leans on, each work once."""
    estimands = dict.fromkeys(row.estimand for row in table.rows)
    own = BY_ENGINE | ({"deep": KERNEL} if is_kernel(table) else {})
    keys: list[str] = [key for name in giving(table) for key in own.get(name, ())]
    if any(known(name).scored for name in estimands):
        keys += ["scores", "crossfit"]
    keys += [known(name).cites for name in estimands if known(name).cites]
    if any(row.term == "joint" for row in table.rows):
        keys += ["score_test", "one_effect"]
    if table.meta.get("n_clusters"):
        keys.append("clusters")
    return [WORKS[key] for key in dict.fromkeys(keys)]


def giving(table: Table) -> list[str]:
    """Engines that gave the table an estimate or a test, in its order; one with dashes alone is not leaned on."""
    found = (row.engine for row in table.rows if math.isfinite(row.estimate) or row.test is not None)
    return [name for name in dict.fromkeys(found) if name]


def is_kernel(table: Table) -> bool:
    """Whether the deep rows come from the exact kernel, whose effect is a Gaussian process and no network."""
    info = (table.meta.get("engines") or {}).get("deep") or {}
    return info.get("kind") == "kernel"


def bibtex(chosen: Iterable[Work]) -> str:
    """Entries to paste into a bibliography."""
    return "\n\n".join(work.bibtex() for work in chosen)
