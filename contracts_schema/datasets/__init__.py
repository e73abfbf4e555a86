"""Contracts of datasets: references, payments and declarations, from one YAML file a dataset.

Which columns a file may call by which headings, of which type, what makes a row bad, how a file may be laid out. A fact that
nobody confirmed says so in ``status``; a mistake in a contract is an error that names the file and the field.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

from contracts_schema.bordereau_profiles import labels, normalised
from contracts_schema.yaml_files import read_yaml

if TYPE_CHECKING:
    import polars as pl

TYPES = ("text", "day", "cents", "integer", "boolean", "instant", "list")
IDENTIFIERS = ("siret", "siren", "finess", "rpps")
UNKNOWN = ("refuse", "keep", "blank")
"""What a text that no table of labels has becomes: a bad row, itself in capitals, or null with a warning."""


class InvalidContract(Exception):
    """A contract that cannot be used: which file, which field, and what is allowed (French)."""


@dataclass(frozen=True)
class Column:
    """A column. ``headings`` are normalised, the label among them. ``required``: never blank; ``required_for``: not blank in
    rows of these kinds; ``present``: the heading must be there, whatever its cells. ``codes``: normalised text → code."""

    name: str
    type: str
    label_fr: str
    classification: str
    headings: tuple[str, ...]
    required: bool = False
    present: bool = False
    required_for: tuple[str, ...] = ()
    identifier: str | None = None
    malformed: str = "refuse"
    pattern: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    codes: Mapping[str, str] = field(default_factory=dict, hash=False)
    unknown: str = "refuse"
    restricted: bool = False

    @property
    def is_expected(self) -> bool:
        """Whether a file without that heading is not of this dataset."""
        return self.required or self.present


@dataclass(frozen=True)
class Layout:
    """One way to lay the dataset out. With ``first_line`` (a pattern; its group is the day of the extraction): no header, the
    ``fields`` in that order, the first of each line being ``record``; otherwise columns are found by their headings, and
    ``needs`` tells headings (normalised) that name this layout,
    ``having`` columns that it holds; a heading that no column takes is refused, unless it stands
    among those ``dropped``, or ``unknown`` is drop. ``personal``: what no column takes is never stored; not
    ``quoted``: a quote is a letter like another."""

    id: str
    formats: tuple[str, ...]
    delimiters: tuple[str, ...]
    encodings: tuple[str, ...]
    first_line: str | None = None
    record: str | None = None
    other_records: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    personal: bool = False
    quoted: bool = True
    unknown: str = "refuse"
    dropped: tuple[str, ...] = ()
    keys: tuple[str, ...] | None = None
    defaults: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Dataset:
    """One dataset. ``keys`` stand once in a file; ``interval`` is half-open, and the intervals of one ``interval_of`` never
    overlap; ``scope`` may hold ``{column}``, which then has one value in a file. Thresholds in percent of rows."""

    id: str
    version: int
    label_fr: str
    scope: str
    status: str
    source: str
    keys: tuple[str, ...]
    interval: tuple[str, str] | None
    interval_of: tuple[str, ...]
    by_kind: str | None
    quarantine_percent: int
    shrink_percent: int
    columns: tuple[Column, ...]
    layouts: tuple[Layout, ...]

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def layout(self, layout_id: str) -> Layout:
        """The layout of that id."""
        return next(layout for layout in self.layouts if layout.id == layout_id)

    @property
    def scope_column(self) -> str | None:
        """The column whose one value ends the scope."""
        found = re.search(r"\{(\w+)\}", self.scope)
        return found[1] if found else None

    @property
    def restricted(self) -> tuple[str, ...]:
        """Columns that lie in segments of their own; no view and no product may read them."""
        return tuple(column.name for column in self.columns if column.restricted)


@cache
def datasets() -> Mapping[str, Dataset]:
    """Every dataset by id, in the order of the ids."""
    folder = files("contracts_schema").joinpath("datasets")
    found = [load(path) for path in folder.iterdir() if path.name.endswith(".yaml")]
    return {dataset.id: dataset for dataset in sorted(found, key=lambda dataset: dataset.id)}


def load(path: Traversable) -> Dataset:
    """One contract of a YAML file; ``InvalidContract`` says what to correct."""
    facts, where = read_yaml(path), f"contrat {path.name}"
    try:
        columns = tuple(_column(dict(told), where) for told in facts["columns"])
        layouts = tuple(_layout(dict(told)) for told in facts["layouts"])
        dataset = Dataset(
            id=facts["dataset"],
            version=facts["version"],
            label_fr=facts["label_fr"],
            scope=facts["scope"],
            status=facts["status"],
            source=facts["source"],
            keys=tuple(facts["keys"]),
            interval=(facts["interval"][0], facts["interval"][1]) if "interval" in facts else None,
            interval_of=tuple(facts.get("interval_of", ())),
            by_kind=facts.get("by_kind"),
            quarantine_percent=facts["thresholds"]["quarantine_percent"],
            shrink_percent=facts["thresholds"]["shrink_percent"],
            columns=columns,
            layouts=layouts,
        )
    except KeyError as missing:
        raise InvalidContract(f"{where} : il manque le champ {missing}") from None
    except TypeError as unknown:
        raise InvalidContract(f"{where} : champ inconnu ({unknown})") from None
    _check(dataset, where)
    return dataset


def schema(dataset: Dataset) -> "pl.Schema":
    """Columns and types of accepted rows: ``line_number``, then the columns; instants in UTC, money in cents."""
    import polars as pl  # imported here because who only asks which datasets exist has no use for it

    types: dict[str, pl.DataType] = {
        "text": pl.String(),
        "day": pl.Date(),
        "cents": pl.Int64(),
        "integer": pl.Int64(),
        "boolean": pl.Boolean(),
        "instant": pl.Datetime("us", "UTC"),
        "list": pl.List(pl.String()),
    }
    return pl.Schema({"line_number": pl.Int64(), **{column.name: types[column.type] for column in dataset.columns}})


def _column(told: dict[str, Any], where: str) -> Column:
    values, table = told.pop("values", {}), told.pop("labels", None)
    codes = {normalised(text): code for code, texts in values.items() for text in texts}
    if table:
        codes = dict(labels()[table])
    headings = tuple(dict.fromkeys(normalised(text) for text in [*told.pop("headings"), told["label_fr"]]))
    required_for = tuple(told.pop("required_for", ()))
    column = Column(headings=headings, codes=codes, required_for=required_for, **told)
    choices = {"type": TYPES, "identifier": (None, *IDENTIFIERS), "unknown": UNKNOWN, "malformed": ("refuse", "warn")}
    for name, allowed in choices.items():
        if getattr(column, name) not in allowed:
            shown = ", ".join(str(choice) for choice in allowed if choice)
            raise InvalidContract(f"{where}, colonne {column.name} : {name} vaut l'un de {shown}")
    return column


def _layout(told: dict[str, Any]) -> Layout:
    for name in ("needs", "dropped"):
        told[name] = tuple(normalised(text) for text in told.get(name, ()))
    for name in ("formats", "delimiters", "encodings", "other_records", "fields", "having", "keys"):
        if name in told:
            told[name] = tuple(told[name])
    return Layout(**told)


def _check(dataset: Dataset, where: str) -> None:
    names = [column.name for column in dataset.columns]
    headings = [heading for column in dataset.columns for heading in column.headings]
    for what, texts in (("nom", names), ("intitulé", headings)):
        twice = sorted({text for text in texts if texts.count(text) > 1})
        if twice:
            raise InvalidContract(f"{where} : {what} donné à deux colonnes : {', '.join(twice)}")
    used = [*dataset.keys, *dataset.interval_of, *(dataset.interval or ()), dataset.scope_column, dataset.by_kind]
    used += [name for layout in dataset.layouts for name in [*(layout.keys or ()), *layout.having, *layout.defaults]]
    for name in used:
        if name is not None and name not in names:
            raise InvalidContract(f"{where} : « {name} » n'est pas une colonne")
