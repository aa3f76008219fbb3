"""The reference: every public name of the package, each on one page, read from the source without importing it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import griffe

ROOT = Path(__file__).parent.parent
PACKAGE = "hte_bridge"
PUBLIC = f"{PACKAGE}.__all__"


@dataclass(frozen=True)
class Chapter:
    """A page of the reference: its file's name, title, a sentence, and the names on it (or all public names of modules)."""

    file: str
    title: str
    about: str
    names: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


CHAPTERS = (
    Chapter("study", "A study and its folds", "What is studied: checked columns, and who is held out with whom.", ("Study", "Folds")),
    Chapter("compare", "compare and what it returns", "One study, several engines, one table; and the questions that the table answers next.", ("compare", "compare_outcomes", "Comparison", "datagrid", "load")),
    Chapter("adoption", "Treatments that come at different times", "Who was treated first when, and effects by group and time.", ("Adoption", "AdoptionComparison")),
    Chapter("several_arms", "Several arms", "A treatment of three values or more: each arm against the control, and contrasts against each other.", ("ArmsStudy", "ArmsComparison")),
    Chapter("engines", "Engines", "Where predictions come from. Each is one value with its options.", ("Feols", "CausalForest", "Deep", "Meta", "Stack", "Econml", "Given")),
    Chapter("fits", "Fits", "What an engine returns: held-out predictions, and effects of new rows.", ("CausalForestFit", "DeepFit", "HeldOut")),
    Chapter("table", "Tables and rows", "Rows that are printed, saved, turned into LaTeX.", ("Table", "Estimate")),
    Chapter("questions", "Questions beside a comparison", "Several arms, what an engine is worth on your own data, why two numbers differ.", ("arms", "compare_outcomes", "coverage", "datagrid", "explain_gap")),
    Chapter("plot", "Pictures", "Each takes axes or makes its own, and returns them: `from hte_bridge import plot`.", modules=("plot",)),
    Chapter("report", "The report", "One HTML file that says what a comparison found.", modules=("report",)),
    Chapter("between", "Rows about two engines", "What stands behind `differences`, `race` and `agreement` of a comparison.", modules=("between.differences", "between.race", "between.agreement")),
    Chapter("estimands", "Estimands", "What stands behind a comparison's verbs: scores in, rows out.", modules=(
        "estimands.averages", "estimands.groups", "estimands.projection", "estimands.calibration", "estimands.ranking", "estimands.policy", "estimands.budget",
        "estimands.tree", "estimands.counterfactual", "estimands.doses", "estimands.nuisance", "estimands.sensitivity", "estimands.splits")),
    Chapter("inference", "Other errors for the same rows", "Two-way and jackknife clusters, the wild bootstrap, randomisation, families of rows.", modules=("inference", "wild")),
    Chapter("simulate", "Designs with a known effect", "Seeded data whose effects are known, each citing its paper.", modules=("simulate", "simulate.panel")),
    Chapter("errors", "Errors", "What is raised, and where: each says what must hold, what was found, what to do.", modules=("errors",)),
)  # fmt: skip
OTHER = Chapter("other", "Other names", "Public names that no other page holds.")


@cache
def package() -> griffe.Module:
    """The package as its source says, nothing imported."""
    import griffe

    loaded = griffe.load(PACKAGE, search_paths=[ROOT], resolve_aliases=True, docstring_parser="numpy")
    assert isinstance(loaded, griffe.Module)
    return loaded


def public_names() -> list[str]:
    """Names of ``hte_bridge.__all__``."""
    return [str(name) for name in package().exports or ()]


def names_of(module: str) -> list[str]:
    """Paths of a module's public functions and classes with a docstring: those of its ``__all__``, or those defined in it."""
    found = package()[module]
    names = [str(each) for each in found.exports or ()] or [
        name for name, each in found.members.items() if not name.startswith("_") and not each.is_alias
    ]
    # a function that has the name of its module, as `plot.usual`, stands behind the module
    full = [f"{name}.{name}" if found[name].is_module else name for name in names]
    said = [name for name in full if found[name].is_function or found[name].is_class]
    return [f"{PACKAGE}.{module}.{name}" for name in said if found[name].docstring]


def chapters() -> list[tuple[Chapter, list[str]]]:
    """Chapters with the paths on each; the last holds public names that no other has, so that none is left out."""
    made = [
        (
            each,
            [f"{PACKAGE}.{name}" for name in each.names]
            + [path for module in each.modules for path in names_of(module)],
        )
        for each in CHAPTERS
    ]
    placed = {path for _, paths in made for path in paths}
    rest = [f"{PACKAGE}.{name}" for name in public_names() if f"{PACKAGE}.{name}" not in placed]
    return [*made, (OTHER, rest)] if rest else made


def shown(path: str) -> str:
    """A path as a user writes it: ``hb.Study`` for a public name, ``plot.toc`` below."""
    short = path.removeprefix(f"{PACKAGE}.").replace("usual.usual", "usual")
    return f"hb.{short}" if "." not in short else short


def first_sentence(path: str) -> str:
    """First line of the docstring."""
    docstring = package()[path.removeprefix(f"{PACKAGE}.")].docstring
    return docstring.value.strip().partition("\n")[0].replace("``", "`") if docstring else ""


def canonical(path: str) -> str:
    """Where a public name is defined, which is the anchor that autorefs gives it."""
    return package()[path.removeprefix(f"{PACKAGE}.")].canonical_path


def taken_over(path: str) -> dict[str, str]:
    """Members of a class that a call makes of another class's method, as ``gate = _each(Comparison.gate)``: path of that method by name."""
    import griffe

    found = package()[path.removeprefix(f"{PACKAGE}.")]
    members = found.members.items() if found.is_class else ()
    made = {name: each.value for name, each in members if each.is_attribute and not name.startswith("_")}
    return {
        name: value.arguments[0].canonical_path
        for name, value in made.items()
        if isinstance(value, griffe.ExprCall)
        and len(value.arguments) == 1
        and isinstance(value.arguments[0], griffe.ExprAttribute)
    }


def verbs_taken_over(path: str) -> str:
    """A paragraph that names them, each with an anchor of its own and a link to where it is documented."""
    links = [
        f'<span id="{canonical(path)}.{name}"></span>[`{name}`][{source}]'
        for name, source in taken_over(path).items()
    ]
    return f"\nOf all contrasts at once, each as of a comparison: {', '.join(links)}.\n" if links else ""


def shown_examples(chapter: str) -> str:
    """Sessions that call every name of a chapter which has no example of its own (website/shown), one study for all of them."""
    file = ROOT / "website" / "shown" / f"{chapter}.md"
    return f"## Examples\n\n{file.read_text(encoding='utf8')}\n## Names\n" if file.is_file() else ""


def page(chapter: Chapter, paths: list[str]) -> str:
    """Markdown of one chapter, its names documented by mkdocstrings."""
    body = "\n".join(
        f'::: {canonical(path)}\n    options:\n      heading: "{shown(path)}"\n      toc_label: "{shown(path)}"\n'
        f"      members: {'null' if package()[path.removeprefix(f'{PACKAGE}.')].is_class else 'false'}\n"
        f"{verbs_taken_over(path)}"
        for path in paths
    )
    return f"# {chapter.title}\n\n{chapter.about}\n\n{shown_examples(chapter.file)}\n{body}"


def index(made: list[tuple[Chapter, list[str]]]) -> str:
    """The reference's first page: every name with its first sentence."""
    parts = [
        "# Reference",
        "Every public name, read from the source. `import hte_bridge as hb` starts neither R nor torch.",
    ]
    for chapter, paths in made:
        rows = "\n".join(
            f"| [`{shown(path)}`][{canonical(path)}] | {first_sentence(path)} |" for path in paths
        )
        parts.append(
            f"## [{chapter.title}]({chapter.file}.md)\n\n{chapter.about}\n\n| name | what it is |\n|---|---|\n{rows}"
        )
    parts.append("## [From R](r.md)\n\nThe verbs of the R package `htebridge`: its help pages.")
    return "\n\n".join(parts) + "\n"
