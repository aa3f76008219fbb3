"""Hooks of mkdocs: pages that are made at the build, formulas as MathML, links out of docs/, and llms.txt."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from website import llms, notebook, reference  # noqa: E402

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
OUTSIDE = re.compile(r"\]\((?:\.\./)+(examples/\w+)\.(?:py|R)\)")
EXAMPLES = (
    "experiment",
    "clustered_experiment",
    "observational",
    "panel",
    "adoption",
    "dose",
    "advertising",
    "dask_cluster",
)
SAID = re.compile(r"<code>(\w+\.\w+)(?:\(\))?</code>")


def on_files(files: Files, config: Any) -> Files:
    """Add the reference, the examples with their code, and pages as notebooks."""
    for path, text in {**reference_pages(), **example_pages(files)}.items():
        if files.get_file_from_path(path) is None:
            files.append(File.generated(config, path, content=text))
    for file in list(files.documentation_pages()):
        if made := notebook.of(file.content_string):
            files.append(File.generated(config, str(Path(file.src_uri).with_suffix(".ipynb")), content=made))
    return files


def reference_pages() -> dict[str, str]:
    """Path and markdown of each page of the reference."""
    made = reference.chapters()
    pages = {f"reference/{chapter.file}.md": reference.page(chapter, paths) for chapter, paths in made}
    return {"reference/index.md": reference.index(made), **pages, "reference/r.md": r_help()}


def r_help() -> str:
    """The help pages of the R package; where R is missing, the names of its verbs."""
    head = "# From R\n\nThe help pages of `htebridge`; `?hte_compare` opens them in R.\n\n"
    if shutil.which("Rscript"):
        done = subprocess.run(
            ["Rscript", "--vanilla", "website/rd.R", "r/man"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return head + done.stdout
    names = re.findall(
        r"^export\((\w+)\)", (ROOT / "r" / "NAMESPACE").read_text(encoding="utf8"), re.MULTILINE
    )
    return head + "\n".join(f"* `{name}`" for name in names) + "\n"


def example_pages(files: Files) -> dict[str, str]:
    """A page for each script under examples/, with what it printed where docs/examples holds that."""
    pages, rows = {}, []
    for script in (ROOT / "examples" / f"{name}.py" for name in EXAMPLES):
        code = script.read_text(encoding="utf8")
        doc = ast.get_docstring(ast.parse(code)) or script.stem
        title, about = doc.partition("\n")[::2]
        kept = files.get_file_from_path(f"examples/{script.stem}.md")
        said = f"\n\n```text{kept.content_string.split('```text')[1]}" if kept else ""
        if kept:
            files.remove(kept)
        about = about.split("\n    python ")[0].strip()
        pages[f"examples/{script.stem}.md"] = (
            f'# {title.rstrip(".")}\n\n{about}{said}\n\n```python title="examples/{script.name}"\n{code}```\n'
        )
        rows.append(f"| [{script.name}]({script.stem}.md) | {title} |")
    table = "\n".join(["| script | question |", "|---|---|", *rows])
    pages["examples/index.md"] = (
        f"# Worked examples\n\nScripts on real data, each with its code.\n\n{table}\n"
    )
    return pages


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to scripts lead to their pages here; a page that runs offers itself as a notebook."""
    depth = "../" * page.file.src_uri.count("/")
    markdown = OUTSIDE.sub(rf"]({depth}\1.md)", markdown)
    if notebook.of(markdown):
        name = Path(page.file.src_uri).with_suffix(".ipynb").name
        markdown += f"\n\n[This page as a notebook]({name}){{ .notebook download }}\n"
    return markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Formulas become MathML, so that no script draws them; `groups.gate` in a docstring links to its entry."""
    html = FORMULA.sub(lambda found: formula(found[3], "block" if found[2] == "[" else "inline"), html)
    return SAID.sub(linked, html) if page.file.src_uri.startswith("reference/") else html


def formula(tex: str, display: str) -> str:
    """MathML of one formula."""
    plain = tex.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return convert(plain, display=display)


@cache
def anchors() -> dict[str, str]:
    """Last two parts of each documented path -> its anchor."""
    found = {}
    for _, paths in reference.chapters():
        for path in paths:
            found[".".join(path.split(".")[-2:])] = reference.canonical(path)
    return found


def linked(code: re.Match[str]) -> str:
    """A name of ours in code as a link to it."""
    anchor = anchors().get(code[1])
    return f'<autoref identifier="{anchor}" optional>{code[0]}</autoref>' if anchor else code[0]


def on_post_build(config: Any) -> None:
    """Write llms.txt and llms-full.txt."""
    llms.write(Path(config.site_dir), Path(config.docs_dir), config.nav)
    (Path(config.site_dir) / "pages.json").write_text(json.dumps(llms.files(config.nav)), encoding="utf8")
