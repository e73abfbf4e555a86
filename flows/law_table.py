"""Values to attest as a person writes them: options of the command line, or a table in CSV or YAML. Checked, or refused whole.

The CSV is the one that ``ecluse law --output`` writes, so that an agent may take it, correct and fill it, and attest it. A row
whose value is left empty attests nothing.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from itertools import product
from pathlib import Path
from typing import Any

from contracts_schema import parameters
from contracts_schema.french import counted
from contracts_schema.parameters import Attestation
from contracts_schema.parameters.record import STATUSES_FR, Parameter
from flows.hub import WrongUsage

COLUMNS = ("parametre", "dimensions", "debut", "fin", "valeur", "reference", "journal_officiel")
IGNORED = frozenset({"unite", "statut", "nom", "source_lue", "libelle"})
"""Written for the reader, not read back."""
MOST = 1_000_000
"""Bytes of a table, at most."""


def stated(
    parameter: str,
    value: str,
    start: date,
    end: date | None,
    dimensions: Sequence[str],
    reference: str,
    journal_officiel: date | None = None,
) -> list[Attestation]:
    """One value, for every combination of the dimensions given as ``name=value``, each name as often as needed."""
    named: dict[str, list[str]] = {}
    for one in dimensions:
        name, sign, chosen = one.partition("=")
        if not sign:
            raise WrongUsage("une dimension s'écrit NOM=VALEUR, par exemple version=RHINO")
        named.setdefault(name.strip(), []).append(chosen.strip())
    combined = [dict(zip(named, chosen, strict=True)) for chosen in product(*named.values())]
    return [_attestation(parameter, value, start, end, one, reference, journal_officiel) for one in combined]


def as_published(names: Iterable[str], reference: str) -> list[Attestation]:
    """What the files say of these parameters, value by value, as an organisation would attest it by its own reference."""
    spans = (value for name in names for value in parameters.timeline(name) if value.value is not None)
    return [
        Attestation(one.parameter, one.cell, one.value, one.valid_from, one.valid_to, reference, one.journal_officiel)
        for one in spans
    ]


def read_table(path: Path, reference: str | None) -> list[Attestation]:
    """The values of a CSV or YAML table; ``reference`` is that of the rows that give none. WrongUsage names each bad row."""
    found: list[Attestation] = []
    problems = []
    for place, row in _rows(path):
        if not _is_filled(row):
            continue
        try:
            found += _of_row(row, reference)
        except WrongUsage as error:
            problems.append(f"{place} : {error}")
    if problems:
        more = f" ; et {counted(len(problems) - 5, 'autre')}" if len(problems) > 5 else ""
        raise WrongUsage(f"{path.name}, " + " ; ".join(problems[:5]) + more)
    return found


def unfilled(path: Path) -> int:
    """How many rows of a table give no value: nothing is attested of them."""
    return sum(not _is_filled(row) for _, row in _rows(path))


def write_table(values: Sequence[Mapping[str, Any]], missing: Sequence[Mapping[str, Any]], path: Path) -> None:
    """What ``flows.law_shown.show`` gives, values then those that are missing, as a CSV (semicolons, UTF-8 with its mark).

    ``reference`` is left for the organisation's own text: what the project read is ``source_lue``, which nobody attests. A
    missing value has its row, to be filled: which text should give it is ``source_lue``.
    """
    labels = {name: one.label_fr for name, one in parameters.parameters().items()}
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow([*COLUMNS, "unite", "statut", "nom", "source_lue", "libelle"])
        for one in values:
            own, read = (one["reference"], "") if one["status"] == "attested" else ("", one["reference"])
            told = [one["parameter"], one["dimensions"], one["valid_from"], one["valid_to"], one["value"], own]
            label = labels[one["parameter"]]
            writer.writerow([*told, one["journal_officiel"], one["unit"], STATUSES_FR[one["status"]], one["name"], read, label])
        for lack in missing:
            told = [lack["parameter"], lack["dimensions"], lack["valid_from"], lack["valid_to"], None, None, None]
            writer.writerow([*told, lack["unit"], STATUSES_FR["missing"], None, lack["reference"], labels[lack["parameter"]]])


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.stat().st_size > MOST:
        raise WrongUsage(f"{path.name} est trop grand pour une table de valeurs")
    return _yaml_rows(path) if path.suffix.lower() in (".yaml", ".yml") else _csv_rows(path)


def _is_filled(row: Mapping[str, Any]) -> bool:
    value = row.get("valeur")
    return value is not None and bool(str(value).strip())


def _of_row(row: Mapping[str, Any], reference: str | None) -> list[Attestation]:
    start, end = _day(row.get("debut"), "debut"), _day(row.get("fin"), "fin")
    if start is None:
        raise WrongUsage("debut est nécessaire")
    text = row.get("dimensions") or ""
    if isinstance(text, Mapping):
        pairs = [
            (name, chosen) for name, values in text.items() for chosen in (values if isinstance(values, list) else [values])
        ]
        dimensions = [f"{name}={chosen}" for name, chosen in pairs]
    else:
        dimensions = [part for part in str(text).split(",") if part.strip()]
    published = _day(row.get("journal_officiel"), "journal_officiel")
    said = str(row.get("reference") or reference or "")
    value = row.get("valeur")
    given = "" if value is None else str(value)
    return stated(str(row.get("parametre") or ""), given, start, end, dimensions, said, published)


def _attestation(
    parameter: str,
    text: str,
    start: date,
    end: date | None,
    dimensions: Mapping[str, str],
    reference: str,
    journal_officiel: date | None,
) -> Attestation:
    try:
        found = parameters.parameter(parameter)
        cell = parameters.cell_of(found, dimensions)
    except parameters.UnknownParameter as error:
        raise WrongUsage(str(error)) from None
    if end is not None and end <= start:
        raise WrongUsage(f"la fin ({end:%d/%m/%Y}, exclue) doit suivre le début ({start:%d/%m/%Y})")
    if not reference.strip():
        raise WrongUsage("une référence est nécessaire : le texte que détient l'organisme")
    return Attestation(parameter, cell, _value(found, text.strip()), start, end, reference.strip(), journal_officiel)


def _value(found: Parameter, text: str) -> int | date:
    if found.kind == "date":
        day = _day(text, "valeur")
        if day:
            return day
    elif text.isascii() and text.isdecimal() and len(text) < 16:
        whole = int(text)
        if not found.among or whole in found.among:
            return whole
    wanted = {
        "cents": "un montant en centimes entiers, par exemple 2500 pour 25,00 €",
        "date": "un jour (AAAA-MM-JJ)",
    }.get(found.kind, f"un nombre entier ({found.unit})")
    raise WrongUsage(f"{found.id} : attendu {wanted}")


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in head else ",", restkey="")
    _check_columns(path, [name.strip() for name in reader.fieldnames or []])
    for row in reader:
        if any(row.values()):
            yield f"ligne {reader.line_num}", {(name or "").strip(): value for name, value in row.items()}


def _yaml_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import yaml

    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise WrongUsage(f"{path.name} n'est pas un YAML lisible") from None
    if not isinstance(written, list) or not all(isinstance(row, dict) for row in written):
        raise WrongUsage(f"{path.name} : attendu une liste de valeurs, chacune avec {', '.join(COLUMNS[:5])}")
    for place, row in enumerate(written, 1):
        _check_columns(path, [str(name) for name in row])
        yield f"valeur {place}", row


def _check_columns(path: Path, names: list[str]) -> None:
    optional = {"dimensions", "fin", "reference", "journal_officiel"}
    if missing := [name for name in COLUMNS if name not in optional and name not in names]:
        raise WrongUsage(f"{path.name} : il manque {', '.join(missing)} (attendu : {', '.join(COLUMNS)})")
    if unknown := [name for name in names if name not in COLUMNS and name not in IGNORED]:
        raise WrongUsage(f"{path.name} : colonne inconnue {', '.join(unknown)} (attendu : {', '.join(COLUMNS)})")


def _day(given: object, name: str) -> date | None:
    """A day as ISO writes it or as French spreadsheets do."""
    if given is None or given == "":
        return None
    if type(given) is date:
        return given
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        with suppress(ValueError):
            return datetime.strptime(str(given).strip(), form).date()  # noqa: DTZ007
    raise WrongUsage(f"{name} : jour illisible (attendu AAAA-MM-JJ)")
