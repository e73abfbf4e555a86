"""The command line: reads what was asked, calls the plain functions, shows the answer.

Heavy libraries are imported by the commands that need them, so that help and completion answer at once. Prefect is never
imported here, except by ``demo``. Exit codes: 0 done, 1 data refused or falls short, 2 wrong usage.
"""

import gc
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import cli_campaigns, cli_cpom, cli_deliveries, cli_demarches, cli_hub, cli_law, cli_lines, cli_products
from flows.usage import usage_fr

app = typer.Typer(
    name="ecluse",
    help="Écluse : reçoit les exports des structures de santé, les contrôle ligne à ligne, publie des tables expliquées.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"ecluse {version('ecluse')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Dossier du hub (sinon ECLUSE_HOME, sinon ~/.ecluse).")] = None,
    actor: Annotated[str | None, typer.Option(help="Compte pseudonyme qui agit (sinon l'utilisateur du système).")] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Version, puis fin.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = {"home": home, "actor": actor}


for _family in (cli_hub, cli_deliveries, cli_products, cli_law, cli_lines, cli_demarches, cli_campaigns, cli_cpom):
    app.add_typer(_family.app)  # in the order in which the help lists them


def main() -> None:
    """Run the command line. A user's mistake gives a sentence, never a traceback; a defect gives its place, never a value."""
    from flows.hub import WrongUsage

    gc.set_threshold(COLLECT_EVERY)
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except WrongUsage as error:
        _fail(str(error), 2)
    except Misused as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        _fail(usage_fr(error), 2)
    except SystemExit as end:  # Typer turns Ctrl-C into a silent one
        if end.code != 130:
            raise
        _fail("interrompu ; relancez la même commande pour reprendre", 130)
    except Exception as error:
        _fail(_told(error), 1)


COLLECT_EVERY = 50_000
"""New objects between two searches for unreachable ones. Importing a library makes many and leaves none: after each 700, as by
default, the searches take an eighth of its time."""

Misused: Any = typer.BadParameter.__base__
"""What the command line library raises for a command that is written wrongly."""

OURS = {
    "warehouse.log": "LogError",
    "warehouse.blobs": "BlobError",
    "warehouse.postgresql": "WarehouseError",
    "warehouse.workbook_notes": "Unshowable",
    "checks.tables": "BrokenCheck",
    "flows.published": "PublicationLost",
    "connectors.demarches_client": "PullStopped",
}
"""Errors of ours by module: none was raised by one that was not imported."""


def _told(error: Exception) -> str:
    """What to say of an error: our own messages hold no value of a row; another library's may, so only its place is told."""
    for module, name in OURS.items():
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], name)):
            return str(error)
    if isinstance(error, OSError) and error.strerror:
        from contracts_schema.french import system_error

        return " : ".join(filter(None, (system_error(error), str(error.filename or ""))))
    if os.environ.get("ECLUSE_DEBUG"):
        traceback.print_exc()
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"défaut interne ({type(error).__name__}, {Path(last.filename).name}:{last.lineno}) ; ECLUSE_DEBUG=1 montre la trace"


def _fail(message: str, code: int) -> None:
    from flows.display import plain

    typer.echo(f"ecluse : {plain(message)}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
