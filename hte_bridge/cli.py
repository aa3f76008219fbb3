"""The shell's door: `hte-bridge compare`, `report`, `demo`, `doctor`, `setup`, also as `python -m hte_bridge`."""

from __future__ import annotations

import csv
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from hte_bridge import __version__
from hte_bridge.errors import HteBridgeError, InvalidOption, nearest
from hte_bridge.shell import in_shell
from hte_bridge.shown import visible

LARGE = 1 << 30  # bytes of a Parquet file from which on it is read part by part
NO_ENGINE = 1  # exit status where every engine named failed
BAD_INPUT = 2  # exit status, as for an option that does not exist
EXAMPLE = (
    "Example: hte-bridge compare data.parquet --outcome got --treatment any --covariates age,distvct "
    "--cluster villnum --engines feols,grf,deep --out out/"
)

app = typer.Typer(
    name="hte-bridge",
    help="Heterogeneous treatment effects from feols, grf and a deep estimator, in one table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def say_version(asked: bool) -> None:
    """The version, and the end."""
    if asked:
        typer.echo(f"hte-bridge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    """What holds for every command."""


def names(text: str | None, option: str) -> list[str]:
    """Column names between commas; one that holds a comma is quoted.

    Raises
    ------
    InvalidOption
        If a name between two commas is empty, or holds a line break and stands in no quotes.

    Examples
    --------
    >>> names('age, "income, net"', "--covariates")
    ['age', 'income, net']
    """
    if text is None:
        return []
    try:
        found = [each.strip() for each in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error as error:
        raise InvalidOption(
            f"`{option}` must be names between commas. {text!r} has a line break outside of quotes. Put the name that holds it in double quotes."
        ) from error
    if not all(found):
        raise InvalidOption(
            f"`{option}` must be names between commas. {text!r} has an empty one. Write them as a,b,c."
        )
    return found


def several(text: str | None, option: str) -> list[str] | str:
    """Column names between commas; ``all`` alone stands for every column without another role.

    Examples
    --------
    >>> several("all", "--covariates"), several("age,town", "--controls")
    ('all', ['age', 'town'])
    """
    return "all" if text == "all" else names(text, option)


def number_or_name(text: str | None) -> float | str | None:
    """A known propensity: one number, or the name of a column.

    Examples
    --------
    >>> number_or_name("0.5"), number_or_name("e")
    (0.5, 'e')
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


@app.command(epilog=EXAMPLE)
def compare(
    data: Annotated[
        Path,
        typer.Argument(
            help="Parquet, CSV or Stata file, one row per unit, or a folder of Parquet files.",
            show_default=False,
        ),
    ],
    outcome: Annotated[str, typer.Option(help="Column of the outcome.")],
    treatment: Annotated[
        str | None, typer.Option(help="Column of the treatment: 0 and 1, a dose, or arms.")
    ] = None,
    covariates: Annotated[
        str | None, typer.Option(help="Columns along which effects may differ: a,b,c, or all that are left.")
    ] = None,
    controls: Annotated[
        str | None,
        typer.Option(
            help="Columns to adjust for along which no effect is asked: a,b,c, or all; of an adoption not_yet or never."
        ),
    ] = None,
    fixed_effects: Annotated[str | None, typer.Option(help="Columns of fixed effects: a,b.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Column of the clusters; a,b for two ways.")] = None,
    weight: Annotated[str | None, typer.Option(help="Column of sampling weights.")] = None,
    propensity: Annotated[str | None, typer.Option(help="Known propensity: a column, or one number.")] = None,
    index: Annotated[
        str | None,
        typer.Option(
            help="Of a folder: columns that label rows, a,b, by which folds are dealt whatever the files' order."
        ),
    ] = None,
    dose: Annotated[
        bool, typer.Option("--dose", help="The treatment's few whole values are a dose.")
    ] = False,
    treatment_type: Annotated[
        str | None, typer.Option(help="binary, continuous, or arms: each value against --control.")
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Of several arms the one that the others are set against.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Of a staggered adoption: column of the units.")] = None,
    period: Annotated[
        str | None, typer.Option(help="Of a staggered adoption: column of the periods.")
    ] = None,
    first_treated: Annotated[
        str | None,
        typer.Option(
            help="Of a staggered adoption: period in which a unit is first treated; 0 or empty: never."
        ),
    ] = None,
    anticipation: Annotated[
        float, typer.Option(help="Of a staggered adoption: periods before treatment that may react to it.")
    ] = 0,
    engines: Annotated[str, typer.Option(help="Of feols, grf, deep.")] = "feols,grf,deep",
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="For folds and engines.")] = 0,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Folder for tables, plots and report.")] = None,
) -> None:
    """Compare engines on one data file: print the table, and write it with plots and a report to a folder."""
    from contextlib import ExitStack

    from hte_bridge.comparing import compare as compare_engines
    from hte_bridge.folder import write_folder
    from hte_bridge.study import Study

    roles: dict[str, Any] = {
        "outcome": outcome,
        "treatment": treatment,
        "covariates": several(covariates, "--covariates"),
        "controls": several(controls, "--controls") if first_treated is None else controls,
        "fixed_effects": names(fixed_effects, "--fixed-effects"),
        "cluster": names(cluster, "--cluster") or None,
        "weight": weight,
        "propensity": number_or_name(propensity),
        "treatment_type": "continuous" if dose else treatment_type,
    }
    further: dict[str, Any] = {
        "control": control,
        "unit": unit,
        "period": period,
        "first_treated": first_treated,
    }
    with ExitStack() as stack:
        if (is_large(data) or index) and treatment_type != "arms" and not any(further.values()):
            study = Study.from_parquet(data, **roles, index=names(index, "--index"))
            typer.echo(f"{study}\n", err=True)
        else:
            study = Study.from_frame(data, **roles, **further, anticipation=anticipation)
        write = stack.enter_context(write_folder(out)) if out is not None else None
        table = compare_engines(study, names(engines, "--engines"), level=level, seed=seed, n_folds=folds)
        typer.echo(str(table))
        if not table.fits:
            print(
                "No engine could run; the notes under the table say why. Nothing was written.",
                file=sys.stderr,
            )
            raise typer.Exit(NO_ENGINE)
        if write is not None:
            typer.echo(f"\n{out}: {', '.join(write(table))}", err=True)


def is_large(path: Path) -> bool:
    """Whether data are read part by part: a folder of files, or one Parquet file that memory might not hold as a frame."""
    return path.is_dir() or (
        path.suffix in (".parquet", ".pq") and path.is_file() and path.stat().st_size > LARGE
    )


@app.command(epilog="Example: hte-bridge report out/table.parquet --out report.html")
def report(
    table: Annotated[
        Path, typer.Argument(help="Table that was saved, as Parquet or CSV.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Write the self-contained HTML report of a saved table."""
    from hte_bridge.report import report as write_report
    from hte_bridge.table import Table

    typer.echo(write_report(Table.load(table), out))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out"),
    only: Annotated[
        str | None, typer.Option(help="Of thornton_hiv, wagepan; by default all whose data are installed.")
    ] = None,
    engines: Annotated[str, typer.Option(help="Of feols, grf, deep.")] = "feols,grf,deep",
    seed: Annotated[int, typer.Option(help="For folds and engines.")] = 1,
) -> None:
    """The main job on two real data sets: an incentive to learn one's HIV result, and the union premium."""
    from hte_bridge.demo import EXAMPLES, run

    wanted = names(only, "--only") or [name for name, each in EXAMPLES.items() if each.there]
    for name in EXAMPLES if only is None else ():
        if name not in wanted:
            package = EXAMPLES[name].package
            typer.echo(f"Without {name}, whose data ship in {package}: pip install {package}", err=True)
    unknown = next((name for name in wanted if name not in EXAMPLES), None)
    if unknown is not None:
        offer = nearest(unknown, EXAMPLES, kind="The examples")
        raise InvalidOption(f"`--only` must name examples. `{unknown}` is not one. {offer}")
    run(out, wanted, names(engines, "--engines"), seed)


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """What is installed, and the command that mends what is not; status 0 where all three engines run."""
    from hte_bridge.doctor import examine

    found = examine()
    typer.echo(found.to_json() if json else found.to_text())
    raise typer.Exit(0 if found.healthy else 1)


@app.command(epilog="Example: hte-bridge setup --dry-run")
def setup(
    packages: Annotated[
        list[str] | None, typer.Argument(help="Of grf, maq, policytree; grf by default.", show_default=False)
    ] = None,
    repos: Annotated[
        str | None,
        typer.Option(
            help="CRAN mirror; else RENV_CONFIG_REPOS_OVERRIDE, R's own setting, or its first mirror."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Install the R packages that grf's rows need, into a library of our own, without root."""
    from hte_bridge.setting_up import check, install, plan

    planned = plan(packages or ["grf"], repos)
    if not planned.packages:
        typer.echo(f"R {planned.r}: {', '.join(packages or ['grf'])} loads; nothing to do.")
        return
    typer.echo(planned.to_text())
    check(planned, make=not dry_run)
    if not dry_run:
        install(planned, typer.echo)
        typer.echo("done; `hte-bridge doctor` shows it")


def words(arguments: list[str]) -> set[str]:
    """Names that the user gave: the values of the options, taken apart at commas."""
    values = (
        value
        for each in arguments
        for value in each.partition("=")[2 if each.startswith("--") else 0].split(",")
    )
    return {value.strip(" \"'") for value in values}


def say_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line on stderr: where in our code it arose is of no use in a shell."""
    print(f"warning: {visible(in_shell(str(message), words(sys.argv)))}", file=sys.stderr)


def main() -> None:
    """Run the command; bad input is a sentence on stderr and status 2."""
    warnings.showwarning = say_warning
    try:
        app(prog_name="hte-bridge")
    except HteBridgeError as error:
        said = in_shell(str(error), words(sys.argv))
        print(visible(said, lines=True), file=sys.stderr)  # a name in the data may hold a terminal's commands
        raise SystemExit(BAD_INPUT) from None


if __name__ == "__main__":
    main()
