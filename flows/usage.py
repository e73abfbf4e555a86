"""What a wrong command line is told, in French: the library that reads it says it in English.

Known by the words of its messages, which a test holds for each kind of mistake. What is not known is told without details:
never in English. Runs nothing.
"""

import re
from typing import Any

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
