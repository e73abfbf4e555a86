"""The help of a command, and what a wrong command line is told, in French: the library that reads it says it in English.

Known by the words of its messages, which a test holds for each kind of mistake. What is not known is told without details:
never in English. Runs nothing.
"""

import re
from collections.abc import Sequence
from typing import Any

import typer

VALUE = "Invalid value for "
MISTAKES = (
    (r"No such option: (?P<one>\S+).*", "option inconnue : {one}"),
    (r"No such command '(?P<one>[^']+)'.*", "commande inconnue : {one}"),
    (r"Missing command\.", "il manque une commande"),
    (r"Missing argument (?P<one>.+?)\.(?:\s.*)?", "il manque l'argument {one}"),
    (r"Missing (?:option|parameter) (?P<one>.+?)\.(?:\s.*)?", "il manque l'option {one}"),
    (r"Option '(?P<one>.+)' does not take a value\.", "l'option {one} ne prend pas de valeur"),
    (r"Option '(?P<one>.+)' requires .+\.", "l'option {one} demande une valeur"),
    (r"Got unexpected extra arguments?(?:\(s\))? \((?P<one>.+)\)", "en trop : {one}"),
)
VALUES = (
    (r"(?:Value error, )?'(?P<one>.*)' is not one of (?P<two>.+)\.", "« {one} » n'est pas l'une des valeurs attendues : {two}"),
    (r"(?:Value error, )?'(?P<one>.*)' does not match the formats .+\.", "« {one} » n'est pas un jour, qui s'écrit AAAA-MM-JJ"),
    (r"Input should be a valid integer.*", "attendu : un nombre entier"),
    (r"Input should be greater than or equal to (?P<one>\S+)", "attendu : {one} au moins"),
    (r"Input should be less than or equal to (?P<one>\S+)", "attendu : {one} au plus"),
    (r"(?:File|Directory|Path) '(?P<one>.+)' does not exist\.", "{one} n'existe pas"),
)
"""Patterns of the library's messages, whole, and what is said instead."""


def usage_fr(error: Any) -> str:
    """The French sentence for a usage error of the command line library, and where to find help."""
    said = error.format_message()
    if said.startswith(VALUE):
        name, _, value = said.removeprefix(VALUE).partition(": ")
        told = f"{_bare(name)} : {_among(VALUES, value) or 'valeur refusée'}"
    else:
        told = _among(MISTAKES, said) or "commande mal écrite"
    near = sorted(getattr(error, "possibilities", None) or re.findall(r"Did you mean (.+)\?", said))
    hint = f" ; vouliez-vous dire {' ou '.join(map(_bare, near))} ?" if near else ""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "ecluse"
    return f"{told}{hint} (aide : {command} --help)"


def _among(table: tuple[tuple[str, str], ...], said: str) -> str | None:
    for pattern, told in table:
        if found := re.fullmatch(pattern, said.strip(), re.DOTALL):
            return told.format(**{name: _bare(text) for name, text in found.groupdict().items()})
    return None


def _bare(text: str) -> str:
    """Names without the quotes that the library puts around them, nor its « / » between two names of one option."""
    return text.replace("'", "").replace(" / ", " ou ")


FORMATTER: Any = typer.Context.formatter_class
HEADINGS = {"Commands": "Commandes"}
TYPES = {"str": "texte", "int": "nombre", "int range": "nombre", "path": "chemin", "%Y-%m-%d": "AAAA-MM-JJ"}
HELP = (
    (r"Show this message and exit\.", "Cette aide, puis fin."),
    (r"Install completion for the current shell\.", "Installe la complétion des commandes dans ce shell."),
    (r"Show completion for the current shell, .+", "Montre cette complétion, à copier ou à adapter."),
    (r"\[default: (.+)\]$", r"[par défaut : \1]"),
    (r"\[required\]$", "[obligatoire]"),
    (r"\[x>=(\d+)\]$", r"[\1 au moins]"),
)
"""Patterns of what the library adds to the help of an option, and the French."""
PIECES = (
    (r"COMMAND \[ARGS\]\.\.\.", "COMMANDE …"),
    (r"\{([^{}|]+)\}", r"\1"),
    (r"\[\[([^\[\]]+)\]\]", r"[\1]"),
    (r"…(\]?)\.\.\.", r"…\1"),
)
"""Patterns of a line of usage: what must be given bare, what may be left out in square brackets."""


class FrenchHelp(FORMATTER):  # type: ignore[misc]
    """How the help of a command is laid out: as the library does it, in French."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, _said(PIECES, args), prefix or "Utilisation : ")

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{HEADINGS.get(heading, heading)} :\n")

    def write_dl(self, rows: Sequence[tuple[str, str]], **layout: Any) -> None:
        super().write_dl([(_typed(first), _said(HELP, second)) for first, second in rows], **layout)


typer.Context.__mro__[1].formatter_class = FrenchHelp  # type: ignore[attr-defined]  # every command's context is one of these


def _said(table: tuple[tuple[str, str], ...], text: str) -> str:
    for pattern, told in table:
        text = re.sub(pattern, told, text)
    return text


def _typed(name: str) -> str:
    """An option or argument with the kind of value that it takes, where a word tells it."""
    return re.sub(r" <([^>]+)>", lambda found: f" <{TYPES[found[1]]}>" if found[1] in TYPES else _listed(found[1]), name)


def _listed(kind: str) -> str:
    return "" if kind.startswith("list[") else f" <{kind}>"
