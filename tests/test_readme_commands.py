"""What the README tells people to type exists: targets of make, options of the shell, names of the package."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer.main

import hte_bridge
from hte_bridge.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf8"), re.MULTILINE))

SHELL = ("", "bash", "sh", "shell", "console")


def blocks(page: Path, *languages: str) -> str:
    """Fenced code in one of the languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    return "\n".join(code for language, code in found if language in languages)


def typed(text: str) -> list[str]:
    """Lines of a shell, continued lines joined."""
    return re.sub(r"\\\n\s*", "", text).splitlines()


def check_shell(line: str) -> None:
    """Parse one command as the shell would, without running it."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["make"]:
        unknown = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        assert not unknown, f"{line}: no such target"
    if words[:1] and words[0].endswith("hte-bridge"):
        commands = typer.main.get_command(app).commands
        assert words[1] in commands, f"{line}: no such command"
        commands[words[1]].make_context(words[1], words[2:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shell_commands_exist(page):
    for line in typed(blocks(page, *SHELL)):
        check_shell(line.removeprefix("$ "))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_of_the_package_exist(page):
    for name in re.findall(r"\bhb\.([A-Za-z_]+)", blocks(page, "python")):
        assert hasattr(hte_bridge, name), f"hb.{name} is in {page.name} but not in the package"


def test_the_readmes_python_can_be_parsed():
    code = blocks(PAGES[0], "python")
    assert "import hte_bridge as hb" in code
    ast.parse(code)


def test_setup_is_two_commands():
    lines = typed(blocks(PAGES[0], *SHELL))
    assert [line.split("#")[0].strip() for line in lines if line.startswith("make")][:2] == [
        "make demo",
        "make test",
    ]


@pytest.mark.parametrize(
    "line",
    ["make tset", "hte-bridge compar d.csv", "hte-bridge compare d.csv --outcom y", "hte-bridge report"],
)
def test_a_command_that_does_not_exist_would_be_caught(line):
    with pytest.raises((AssertionError, typer.BadParameter.__base__)):
        check_shell(line)
