"""Pictures: what is drawn is what the rows say, at the size and on the axes asked for."""

import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from hte_bridge import plot
from hte_bridge.errors import InvalidData, InvalidOption
from hte_bridge.plot.style import looks
from hte_bridge.plot.ticks import Short
from hte_bridge.table import Estimate, Table
from tests.helpers.drawn import ENGINES, FRAMES, SEED, N, X, curve
from tests.helpers.overprinting import overprinted

GROUPS = 5
COLUMN_INCHES = 3.4
LEAST_DISTANCE = 12.0  # CIE76 in Lab: colours closer than about 10 are hard to name apart in a thin line
# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB
BLINDNESS = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.fixture(autouse=True)
def close():
    yield
    pyplot.close("all")


def table():
    rows = [Estimate("coefficient", 0.45, 0.02, term="any", engine="feols", df=118)]
    rows += [
        Estimate(name, 0.4 + 0.01 * i, 0.02, engine=engine)
        for name in ("ate", "ato")
        for i, engine in enumerate(ENGINES)
    ]
    rows += [Estimate("projection", 0.1, 0.05, term="age", engine=engine) for engine in ENGINES]
    rows += [Estimate.missing("att", "no overlap", engine="grf")]
    return Table(tuple(rows), {"n": N})


def gate_rows():
    return [Estimate("gates", 0.1 * g, 0.05, term=str(g), engine=e) for e in ENGINES for g in range(GROUPS)]


NAMES = [f"x{j}" for j in range(4)]
DRAW = {
    "coefficients": lambda ax: plot.coefficients(table(), ax),
    "cate_sorted": lambda ax: plot.cate_sorted(FRAMES, ax, average=0.1),
    "cate_against": lambda ax: plot.cate_against(FRAMES, X, ax, name="age"),
    "cate_against few": lambda ax: plot.cate_against(FRAMES, (X > 0) + 0.0, ax),
    "agreement": lambda ax: plot.agreement(
        FRAMES["grf"]["estimate"], FRAMES["deep"]["estimate"], ax, names=("grf", "deep")
    ),
    "gates": lambda ax: plot.gates(gate_rows(), ax, average=0.2),
    "toc": lambda ax: plot.toc(curve("share"), ax),
    "budget": lambda ax: plot.budget(curve("budget"), ax),
    "calibration": lambda ax: plot.calibration(
        pd.DataFrame({"predicted": [0.1, 0.3], "estimate": [0.2, 0.3], "conf_low": 0.0, "conf_high": 0.5}), ax
    ),
    "overlap": lambda ax: plot.overlap({"grf": 1 / (1 + np.exp(-X))}, (X > 0) + 0, ax),
    "importance": lambda ax: plot.importance(pd.Series(np.arange(4.0), NAMES), ax),
    "importance, with errors": lambda ax: plot.importance(
        pd.Series(np.arange(4.0), NAMES), ax, std_error=pd.Series(0.3, NAMES)
    ),
    "pairs": lambda ax: plot.pairs(pd.DataFrame(np.eye(4), NAMES, NAMES), ax),
}


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_takes_and_returns_axes(draw):
    _, given = pyplot.subplots()
    assert draw(given) is given
    alone = draw(None)
    assert alone is not given
    assert alone.figure.get_figwidth() == COLUMN_INCHES


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_nothing_is_cut_off_at_column_width(draw):
    figure = draw(None).figure
    figure.canvas.draw()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= page.x0 - 0.01
    assert drawn.x1 <= page.x1 + 0.01
    assert drawn.y0 >= page.y0 - 0.01
    assert drawn.y1 <= page.y1 + 0.01


def test_coefficients_draw_every_estimate_and_its_interval():
    ax = plot.coefficients(table())
    points = {line.get_xdata()[0] for line in ax.lines if line.get_marker() in "os^"}
    spans = {tuple(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 1.3}
    rows = [row for row in table().rows if row.estimand != "projection" and np.isfinite(row.estimate)]
    assert points == {row.estimate for row in rows}
    assert spans == {(row.conf_low, row.conf_high) for row in rows}


def test_a_row_without_an_interval_is_hollow():
    ax = plot.coefficients([Estimate("ate", 1.0, engine="mine", note="no theory")])
    (point,) = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    assert point.get_markerfacecolor() == "white"


def test_bands_follow_the_order_of_the_estimates():
    frame = pd.DataFrame({"estimate": [3.0, 1.0, 2.0], "conf_low": [2.0, 0.0, 1.5], "conf_high": [4, 2, 2.5]})
    ax = plot.cate_sorted(frame)
    line = ax.lines[-1]
    assert line.get_ydata().tolist() == [1, 2, 3]
    assert line.get_xdata().tolist() == pytest.approx([100 / 6, 50, 500 / 6])


def test_bins_hold_equal_numbers_and_keep_missing_values_out():
    covariate = np.r_[np.arange(200.0), np.nan]
    frame = pd.DataFrame({"estimate": np.r_[np.arange(200.0), 1e9]})
    line = plot.cate_against(frame, covariate).lines[-1]
    assert np.abs(line.get_ydata() - line.get_xdata()).max() == 0
    assert len(line.get_xdata()) == 20


def test_gates_stand_in_the_order_of_the_rows():
    ax = plot.gates(gate_rows())
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [str(g) for g in range(GROUPS)]


def test_overlap_counts_all_units_of_each_arm():
    propensity = np.random.default_rng(SEED).uniform(size=200)
    ax = plot.overlap(propensity, np.r_[np.ones(50), np.zeros(150)])
    heights = [patch.get_data().values.sum() for patch in ax.patches]
    assert sorted(set(np.round(heights, 9))) == [-100, 100]


def test_colours_stay_apart_for_the_colour_blind():
    colours = np.array([matplotlib.colors.to_rgb(look.colour) for look in looks(ENGINES).values()])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for matrix in [np.eye(3), *map(np.array, BLINDNESS.values())]:
        seen = lab(np.clip(linear @ matrix.T, 0, 1))
        gaps = [np.linalg.norm(seen[i] - seen[j]) for i in range(3) for j in range(i)]
        assert min(gaps) > LEAST_DISTANCE
    assert len({look.marker for look in looks(ENGINES).values()}) == 3


def lab(linear):
    """CIE Lab (D65) of linear RGB."""
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    t = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.stack([116 * t[:, 1] - 16, 500 * (t[:, 0] - t[:, 1]), 200 * (t[:, 1] - t[:, 2])], axis=1)


def test_an_engine_looks_the_same_in_every_picture():
    assert looks(["deep"])["deep"] == looks(["feols", "mine", "deep"])["deep"]
    assert looks(["mine", "yours"])["mine"] != looks(["mine", "yours"])["yours"]


def test_usual_of_a_loaded_table_shows_its_rows():
    axes = plot.usual(table())
    assert [ax.get_xlabel() for ax in axes] == [
        "effect, 95 % interval",
        "effect per unit of age, 95 % interval",
    ]
    assert [ax.get_title(loc="left") for ax in axes] == [
        "Effects by engine",
        "Effect projected on covariates",
    ]
    assert axes[0].figure is axes[1].figure


def test_each_unit_has_a_panel_of_its_own():
    rows = [Estimate("ate", 1.0, 0.1), Estimate("projection", 1e-6, 1e-7, term="income")]
    rows += [
        Estimate("projection", 3.0, 1.0, term="share"),
        Estimate("sensitivity", 0.2, term="robustness value"),
    ]
    ax = plot.coefficients(Table(tuple(rows)), estimands=["ate", "projection", "sensitivity"])
    said = [child.get_xlabel().replace("\n", " ") for child in ax.child_axes]
    assert said == [
        "effect, 95 % interval",
        "effect per unit of income, 95 % interval (×10⁻⁶)",
        "effect per unit of share, 95 % interval",
        "share of the variation that is left",
    ]


def test_slopes_are_per_standard_deviation_where_the_table_knows_it():
    rows = [
        Estimate("projection", 1e-3, 1e-4, term="income", test=(9.0, 0.01)),
        Estimate("projection", 2.0, 0.5, term="x"),
    ]
    rows += [Estimate("projection", 9.9, 0.1, term="(Intercept)")]
    ax = plot.coefficients(Table(tuple(rows), {"spread": {"income": 1000.0, "x": 0.5}}))
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert points == pytest.approx([1.0, 1.0])
    assert "per standard deviation" in ax.get_xlabel().replace("\n", " ")


def test_a_robustness_value_is_no_effect():
    ax = plot.coefficients(
        [Estimate("sensitivity", 0.3, term="robustness value: estimate to 0", engine="grf")]
    )
    assert ax.get_xlabel() == "share of the variation that is left"


def test_a_known_propensity_is_a_line():
    ax = plot.overlap({"known": np.full(N, 0.5)}, X > 0)
    assert not ax.patches
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linewidth() == 1.4] == [0.5]
    assert ax.get_xlabel() == "known propensity: 0.5 for all units"


@pytest.mark.parametrize(
    ("locs", "said"),
    [
        ([0, 0.15, 0.3, 0.45], ["0.00", "0.15", "0.30", "0.45"]),
        ([-1, 0, 1], ["−1", "0", "1"]),
        ([0, 0.5], ["0.0", "0.5"]),
        ([1000001, 1000002], ["1000001", "1000002"]),
    ],
)
def test_numbers_have_the_digits_that_tell_them_apart(locs, said):
    assert Short(0).format_ticks(locs) == said


# a table and a column --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared():
    import hte_bridge as hb

    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame({"age": rng.normal(40, 9, 200), "d": rng.integers(0, 2, 200)})
    frame["town"], frame["price"] = rng.choice(["north", "south"], 200), 1.0 + rng.random(200)
    frame["y"] = frame["d"] * (1 + 0.1 * frame["age"]) + rng.normal(size=200)
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["age", "town"])
    return hb.compare(study, [hb.Feols(), hb.Feols(label="second")], seed=SEED)


ASKED = {
    "coefficients": (plot.coefficients, ()),
    "cate_sorted": (plot.cate_sorted, ()),
    "cate_against": (plot.cate_against, ("age",)),
    "cate_against a category": (plot.cate_against, ("town",)),
    "cate_against another column": (plot.cate_against, ("price",)),
    "agreement": (plot.agreement, ()),
    "gates": (plot.gates, ()),
    "gates of a column": (plot.gates, ("town",)),
    "toc": (plot.toc, ()),
    "budget": (plot.budget, ()),
    "budget at a price": (plot.budget, ("price",)),
    "calibration": (plot.calibration, ()),
    "overlap": (plot.overlap, ()),
}


@pytest.mark.parametrize(("draw", "columns"), ASKED.values(), ids=ASKED)
def test_every_picture_takes_a_comparison_and_a_column(compared, draw, columns):
    ax = draw(compared, *columns)
    assert ax.lines or ax.patches or ax.collections
    assert overprinted(ax.figure) == []


def test_along_a_covariate_the_others_are_typical(compared):
    ax = plot.cate_against(compared, "age")
    new = pd.DataFrame(
        {"age": [compared.study.frame["age"].quantile(0.98, interpolation="nearest")], "town": ["north"]}
    )
    new["town"] = compared.study.frame["town"].mode()[0]
    line = ax.lines[-1]
    assert line.get_ydata()[-1] == pytest.approx(compared.cate(new, "second")["estimate"].iloc[0], rel=1e-12)
    assert ax.get_xlabel() == "age, others typical"


def test_a_table_without_units_says_what_a_picture_needs(compared):
    with pytest.raises(InvalidOption, match="needs the study and the fits of a comparison"):
        plot.cate_sorted(Table(compared.rows))
    with pytest.raises(InvalidOption, match=r"`agee` is not\. The nearest is `age`"):
        plot.cate_against(compared, "agee")
    with pytest.raises(InvalidOption, match="needs an engine that weighs covariates: deep or grf"):
        plot.importance(compared)
    with pytest.raises(InvalidData, match="must be the name of a column"):
        plot.cate_against(compared, X)


@pytest.mark.r
def test_a_forest_weighs_covariates():
    import hte_bridge as hb

    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame({"age": rng.normal(size=200), "sex": rng.normal(size=200), "d": np.arange(200) % 2})
    frame["y"] = frame["d"] * frame["age"] + 0.1 * rng.normal(size=200)
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["sex", "age"])
    table = hb.compare(study, [hb.CausalForest(num_trees=50, seed=1), hb.Feols()], estimands=["ate"], seed=1)
    ax = plot.importance(table)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["age", "sex"]
    assert ax.get_xlabel() == "importance for grf"


def test_plot_is_there_without_an_import_of_its_own():
    code = "import hte_bridge as hb, sys; assert 'matplotlib' not in sys.modules; hb.plot.cate_sorted; 'plot' in dir(hb) or 1/0"
    subprocess.run([sys.executable, "-c", code], check=True)


SENTENCES = {
    "nothing to draw": (
        lambda: plot.coefficients([Estimate.missing("ate", "no overlap")]),
        InvalidOption,
        "None of the 1 rows",
    ),
    "no estimate": (lambda: plot.cate_sorted(pd.DataFrame({"x": [1.0]})), InvalidData, "column `estimate`"),
    "lengths": (
        lambda: plot.cate_against(FRAMES, X[:5]),
        InvalidData,
        "one value for each row of the CATE. It has 5",
    ),
    "arms": (lambda: plot.overlap(X, np.ones(3)), InvalidData, "same length. 300 and 3"),
    "curve": (lambda: plot.toc(pd.DataFrame({"estimate": [1.0]})), InvalidData, "`share` is missing"),
}


@pytest.mark.parametrize(("draw", "kind", "said"), SENTENCES.values(), ids=SENTENCES)
def test_what_cannot_be_drawn_is_said(draw, kind, said):
    with pytest.raises(kind, match=said):
        draw()


def test_usual_of_a_comparison_shows_units_too(tmp_path):
    import hte_bridge as hb

    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame({"x": rng.normal(size=200), "d": rng.integers(0, 2, 200)})
    frame["y"] = frame["d"] * (1 + frame["x"]) + rng.normal(size=200)
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    comparison = hb.compare(study, [hb.Feols(), hb.Feols(label="second")], seed=SEED)
    axes = comparison.plot()
    labels = ["effect, 95 % interval", "units, % from smallest effect", "CATE, feols", "propensity, held out"]
    assert [ax.get_xlabel() for ax in axes] == labels
    titles = [
        "Effects by engine",
        "Held-out CATE, sorted",
        "Do engines agree?\ncorrelation 1.00, same sign 100%",
        "Overlap",
    ]
    assert [ax.get_title(loc="left") for ax in axes] == titles
    text = comparison.report(tmp_path / "effects.html", title="A & B").read_text(encoding="utf8")
    assert text.count("<figure>") == 4
    assert "<title>A &amp; B</title>" in text


def test_rows_of_a_curve_are_placed_by_their_term():
    rows = [Estimate("toc", 1.0 - q, 0.1, term=f"q = {q:g}", engine="grf") for q in (0.2, 0.5, 1.0)]
    assert plot.toc(rows).lines[-1].get_xdata().tolist() == pytest.approx([20, 50, 100])


def test_random_baseline_is_read_from_the_rows_over_random():
    rows = [Estimate("gain", 0.4 * b, 0.1, term=f"budget = {b:g}", engine="grf") for b in (0.5, 1.0)]
    rows += [
        Estimate("gain", 0.1 * b, 0.1, term=f"budget = {b:g}, over random", engine="grf") for b in (0.5, 1.0)
    ]
    learned, random = plot.budget(rows).lines[-2:]
    assert learned.get_ydata().tolist() == pytest.approx([0.2, 0.4])
    assert random.get_ydata().tolist() == pytest.approx([0.15, 0.3])


def test_contrasts_are_no_groups():
    ax = plot.gates([*gate_rows(), Estimate("gates", 0.4, 0.1, term="4 - 0", engine="grf")])
    assert len(ax.get_xticklabels()) == GROUPS


def test_the_column_of_groups_is_named_once():
    ax = plot.gates([Estimate("gate", 0.1, 0.1, term=f"age = {text}") for text in ("below 30", "30 or more")])
    assert ax.get_xlabel() == "age"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["below 30", "30 or more"]
