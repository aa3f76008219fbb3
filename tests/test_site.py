"""The site: every public name has its place in the reference, and its examples run as pasted."""

import ast
import builtins
import doctest
import importlib
import inspect
import re
import textwrap
import types
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import hte_bridge
from website import reference

EXPLAINED = ("arms", "Meta", "Stack", "Given", "Econml", "coverage")
README = Path(__file__).parent.parent / "README.md"
TOLD = sorted(
    path
    for path in (README.parent / "docs").rglob("*.md")
    if path.name != "architecture.md" and "```python" in path.read_text(encoding="utf8")
)
MEMBERS = (types.FunctionType, classmethod, staticmethod, property, cached_property)
VERBS = ("what_if", "with_vcov", "wild_bootstrap")


def documented():
    """Objects of the reference by their path: public names, and functions and classes of the modules on its pages."""
    found = {name: getattr(hte_bridge, name) for name in hte_bridge.__all__}
    for name in (module for chapter in reference.CHAPTERS for module in chapter.modules):
        module = importlib.import_module(f"hte_bridge.{name}")
        own = [
            each for each in vars(module) if getattr(vars(module)[each], "__module__", "") == module.__name__
        ]
        members = {
            each: vars(module)[each] for each in getattr(module, "__all__", own) if not each.startswith("_")
        }
        found |= {f"{name}.{each}": value for each, value in members.items() if callable(value)}
    return found


def docstrings(path, each):
    """Docstrings of an object and, of a class, of its public members, by path."""
    yield path, inspect.getdoc(each)
    for name, member in vars(each).items() if inspect.isclass(each) else ():
        if not name.startswith("_") and isinstance(member, MEMBERS):
            yield f"{path}.{name}", inspect.getdoc(getattr(each, name))


def examples(doc):
    return "".join(each.source for each in doctest.DocTestParser().get_examples(doc or ""))


def undefined(code):
    """Names that code reads and nowhere makes."""
    made, read = set(dir(builtins)), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(each.asname or each.name).split(".")[0] for each in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
    return sorted(read - made)


def test_the_reference_leaves_no_public_name_out():
    placed = {name for chapter in reference.CHAPTERS for name in chapter.names}
    assert set(hte_bridge.__all__) <= placed


def test_examples_define_every_name_that_they_use():
    found = [line for path, each in documented().items() for line in docstrings(path, each)]
    lacking = {path: undefined(examples(doc)) for path, doc in found if examples(doc)}
    assert len(lacking) > 60
    assert {path: names for path, names in lacking.items() if names} == {}


@pytest.mark.parametrize("name", EXPLAINED)
def test_names_of_the_package_have_an_example(name):
    assert (
        "hb.compare(" in (code := examples(inspect.getdoc(getattr(hte_bridge, name))))
        or f"hb.{name}(" in code
    )


@pytest.mark.parametrize("name", VERBS)
def test_verbs_have_an_example(name):
    assert f".{name}(" in examples(inspect.getdoc(getattr(hte_bridge.Comparison, name)))


def sessions(chapter):
    """The examples that a page of the reference opens with."""
    file = reference.ROOT / "website" / "shown" / f"{chapter}.md"
    blocks = re.findall(r"^```pycon\n(.*?)^```", file.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    return "\n".join(blocks)


SHOWN = sorted(path.stem for path in (reference.ROOT / "website" / "shown").glob("*.md"))


@pytest.mark.parametrize(
    "chapter", [pytest.param(each, marks=[pytest.mark.r] * (each == "fits")) for each in SHOWN]
)
def test_sessions_of_the_reference_print_what_they_say(chapter):
    test = doctest.DocTestParser().get_doctest(sessions(chapter), {}, chapter, None, 0)
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=told.append).failed == 0, "".join(told)
    plt.close("all")


# What engines, comparisons and studies are asked by our own code; a user meets `fit` through `compare`.
PLUMBING = {
    "Study.computed",
    "ArmsStudy.computed",
    "ArmsStudy.keyed",
    "ArmsComparison.own",
    "Deep.point_effects",
    "Deep.fit_path",
    "CausalForest.made_by",
}
CONTRACT = {"fit", "per_engine", "per_contrast"}


def called(path, doc, shown):
    """Whether a public name or method has an example of its own, or is called in a session of the reference."""
    name = path.rpartition(".")[2]
    return bool(examples(doc)) or any(
        f"{before}{name}{after}" in shown for before, after in ((".", "("), ("hb.", "."))
    )


@pytest.mark.parametrize(
    "chapter", [each for each in reference.CHAPTERS if each.names], ids=lambda each: each.file
)
def test_every_public_name_and_method_is_called_in_an_example(chapter):
    shown = "\n".join(sessions(each) for each in SHOWN)
    lacking = []
    for name in chapter.names:
        each = getattr(hte_bridge, name)
        for path, doc in docstrings(name, each):
            member = vars(each).get(path.partition(".")[2]) if inspect.isclass(each) else None
            # a property is read, not called; a verb taken over from another class has that one's example
            plain = isinstance(member, property | cached_property) or hasattr(member, "__wrapped__")
            apart = plain or path in PLUMBING or path.partition(".")[2] in CONTRACT or name == "Adoption"
            apart = apart or (path == name and inspect.isclass(each) and chapter.file in SHOWN)
            lacking += [] if apart or called(path, doc, shown) else [path]
    assert lacking == []


def test_every_picture_is_drawn_in_the_gallery():
    gallery = (README.parent / "docs" / "howto" / "gallery.md").read_text(encoding="utf8")
    assert [name for name in hte_bridge.plot.__all__ if f"plot.{name}(" not in gallery] == []


def test_the_table_beside_other_packages_has_no_empty_cell():
    page = (README.parent / "docs" / "coming_from" / "index.md").read_text(encoding="utf8")
    rows = [
        line.strip("| ").split(" | ")
        for line in page.partition("## Beside them")[2].splitlines()
        if line.startswith("| ")
    ]
    asked = {
        "site with search",
        "reference",
        "gallery",
        "licence",
        "citation",
        "wheels",
        "matrix",
        "extras",
        "containers",
    }
    assert asked | {"tidy methods", "frames"} <= {row[0] for row in rows}
    assert [row for row in rows[1:] if len(row) != 6 or not all(each.strip() for each in row)] == []


def test_every_chapter_is_in_the_menu_and_every_script_that_a_page_names_has_a_page():
    menu = (README.parent / "mkdocs.yml").read_text(encoding="utf8")
    assert [each.file for each in reference.CHAPTERS if f"reference/{each.file}.md" not in menu] == []
    hooks = (README.parent / "website" / "hooks.py").read_text(encoding="utf8")
    pages = "".join(path.read_text(encoding="utf8") for path in (README.parent / "docs").rglob("*.md"))
    named = set(re.findall(r"\.\./examples/(\w+)\.py\)", pages))
    assert {name for name in named if f'"{name}"' not in hooks} == set()


def test_a_name_that_is_not_defined_would_be_caught():
    assert undefined("x = np.ones(3)\nprint(x, y)") == ["np", "y"]


def code_of(page):
    return "\n".join(
        re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    )


@pytest.mark.parametrize("page", [README, *TOLD], ids=lambda page: page.name)
def test_snippets_of_a_page_define_every_name_that_they_use(page):
    assert undefined(textwrap.dedent(code_of(page))) == []


def test_the_readme_fits_on_two_screens():
    assert len(README.read_text(encoding="utf8").splitlines()) <= 130
