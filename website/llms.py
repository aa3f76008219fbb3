"""llms.txt for those who ask a machine: what there is, and every page's text in one file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

SUMMARY = (
    "Heterogeneous treatment effects from feols (pyfixest), causal forests (the R package grf) and a deep estimator in one table with "
    "honest confidence intervals: hb.Study.from_frame(df, outcome=, treatment=, covariates=), hb.compare(study, engines), then verbs "
    "of the table such as gate, projection, policy, differences. A row that cannot be defended has no interval and a note that says why."
)

INCLUDED = re.compile(r'^( *)--8<-- "([^"]+)"$', re.MULTILINE)


def included(found: re.Match[str]) -> str:
    """The text of a file that a page takes in."""
    return indent(Path(found[2]).read_text(encoding="utf8").rstrip(), found[1])


def entries(nav: Any, heading: str = "") -> Iterator[tuple[str, str, str]]:
    """Heading, title and file of each page of the navigation."""
    for each in nav:
        for title, value in each.items() if isinstance(each, dict) else [("", each)]:
            if isinstance(value, list):
                yield from entries(value, title)
            else:
                yield heading, title or heading, value


def files(nav: Any) -> list[str]:
    """HTML files of the navigation."""
    return [re.sub(r"\.md$|/$", "", file) + ".html" for _, _, file in entries(nav)]


def about(text: str) -> str:
    """The first paragraph under the title, on one line."""
    body = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).strip().partition("\n")[2].strip()
    return " ".join(body.partition("\n\n")[0].split())[:300]


def write(site: Path, docs: Path, nav: Any) -> None:
    """Write llms.txt (titles, links, first paragraphs) and llms-full.txt (the text of every page under docs/)."""
    lines, full, last = [f"# hte_bridge\n\n> {SUMMARY}\n"], [], None
    for heading, title, file in entries(nav):
        source = docs / file
        if not source.is_file():
            continue
        if heading != last:
            lines.append(f"\n## {heading or 'Start'}\n")
            last = heading
        text = source.read_text(encoding="utf8")
        lines.append(f"- [{title}]({file.removesuffix('.md')}.html): {about(text)}")
        full.append(f"<!-- {file} -->\n\n{INCLUDED.sub(included, text)}")
    lines.append(
        "\n## Reference\n\n- [Every public name](reference/index.html)\n- [All pages in one file](llms-full.txt)\n"
    )
    (site / "llms.txt").write_text("\n".join(lines), encoding="utf8")
    (site / "llms-full.txt").write_text("\n\n".join(full), encoding="utf8")
