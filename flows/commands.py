"""What the modules of the command line share: common options, the open hub, answers in JSON."""

from typing import Annotated, Any

import typer

DAY = ["%Y-%m-%d"]
"""How a day is written."""

AsJson = Annotated[bool, typer.Option("--json", help="Réponse en JSON.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="DATE|POSITION", help="Tel que connu à cette date ou position du journal.")
]


def hub_of(context: typer.Context) -> Any:
    """The hub that the command works on."""
    from flows.hub import open_hub

    return open_hub(context.obj["home"], context.obj["actor"])


def print_json(answer: Any) -> None:
    """An answer as JSON, its hidden characters escaped."""
    from flows.display import as_json

    typer.echo(as_json(answer))
