"""The shell's door: `hte-bridge compare`, `report`, `demo`, `doctor`, `setup`, also as `python -m hte_bridge`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from hte_bridge import __version__, shell_options
from hte_bridge.errors import HteBridgeError, InvalidOption, nearest
from hte_bridge.shell import in_shell, read_whole
from hte_bridge.shell_options import names, number_or_name, several
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


@app.command(epilog=EXAMPLE)
def compare(
    data: shell_options.Data,
    outcome: shell_options.Outcome,
    treatment: shell_options.Treatment = None,
    covariates: shell_options.Covariates = None,
    controls: shell_options.Controls = None,
    fixed_effects: shell_options.FixedEffects = None,
    cluster: shell_options.Cluster = None,
    weight: shell_options.Weight = None,
    propensity: shell_options.Propensity = None,
    index: shell_options.Index = None,
    dose: shell_options.Dose = False,
    treatment_type: shell_options.TreatmentType = None,
    control: shell_options.Control = None,
    unit: shell_options.Unit = None,
    period: shell_options.Period = None,
    first_treated: shell_options.FirstTreated = None,
    anticipation: shell_options.Anticipation = 0,
    engines: shell_options.Engines = "feols,grf,deep",
    level: shell_options.Level = 0.95,
    seed: shell_options.Seed = 0,
    folds: shell_options.Folds = 5,
    out: shell_options.Out = None,
) -> None:
    """Compare engines on one data file: print the table, and write it with plots and a report to a folder."""
    from contextlib import ExitStack

    from hte_bridge.comparing import compare as compare_engines
    from hte_bridge.folder import write_folder

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
    further = {"control": control, "unit": unit, "period": period, "first_treated": first_treated}
    with ExitStack() as stack:
        study = study_of(data, roles, further, names(index, "--index"), anticipation)
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


def study_of(
    data: Path, roles: dict[str, Any], further: dict[str, Any], index: list[str], anticipation: float
) -> Any:
    """The study that the options describe: read part by part where the data are large or their rows have labels."""
    from hte_bridge.study import Study

    parts = (is_large(data) or index) and roles["treatment_type"] != "arms" and not any(further.values())
    if not parts:
        if is_large(data):
            typer.echo(read_whole(data, [*roles.values(), *further.values()]), err=True)
        return Study.from_frame(data, **roles, **further, anticipation=anticipation)
    study = Study.from_parquet(data, **roles, index=index)
    typer.echo(f"{study}\n", err=True)
    return study


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
