"""What the table gate asks of a published table, made from its product contract; nothing is asked that no contract says.

Knows no database and no row. A contract that cannot be put to a table is a defect of the contract, and is said at once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts_schema.products import FORMS_FR, Column, Mask, Table

THRESHOLD = "small_cell_threshold"
"""The parameter that masks are asked with: published counts are none, or at least that."""

CONDITION = "ExpectRowsToMeetCondition"
"""A condition in SQL must be true in every row: false or null is a breach."""

STORED = {
    "string": ("TEXT", "VARCHAR"),
    "integer": ("SMALLINT", "INTEGER", "BIGINT"),
    "number": ("NUMERIC",),
    "boolean": ("BOOLEAN",),
    "date": ("DATE",),
}
"""Types of columns that hold each type of Table Schema, in PostgreSQL and SQLite."""

STORED_BY_VALUE = {
    "string": "typeof({0}) in ('text', 'null')",
    "integer": "typeof({0}) in ('integer', 'null')",
    "number": "typeof({0}) in ('integer', 'real', 'null')",
    "boolean": "{0} is null or typeof({0}) = 'integer' and {0} in (0, 1)",
    "date": "{0} is null or date({0}) is {0}",
}
"""In SQLite, where a column of any type takes any value: the condition on each value."""

TYPES_FR = {"string": "texte", "integer": "nombre entier", "number": "nombre décimal", "boolean": "oui ou non", "date": "date"}

RANGES = (
    ("range", "imum", "Valeur : {}", "ExpectColumnValuesToBeBetween"),
    ("length", "Length", "Nombre de caractères : {}", "ExpectColumnValueLengthsToBeBetween"),
)
"""Constraints that go in pairs, minimum and maximum, minLength and maxLength: their rule, their suffix, words, expectation."""


class CannotBeAsked(Exception):
    """A contract asks what the table gate cannot put to a table; the message says where."""


@dataclass(frozen=True)
class Rule:
    """One question about one table: an expectation of Great Expectations, or of ours, and its arguments.

    Without the columns of ``needs`` it cannot be asked.
    """

    id: str
    column: str | None
    label_fr: str
    expectation: str
    arguments: dict[str, Any]
    severity: str = "critical"
    needs: frozenset[str] = frozenset()


def rules_of(table: Table, parameters: Mapping[str, int], dialect: str, places: Mapping[str, str] | None = None) -> list[Rule]:
    """Every rule of a table, in the order of its columns; ``dialect`` is sqlite or postgresql.

    ``parameters`` are the values that conditions name as ``:name``, ``places`` the tables, in SQL, that they name ``{name}``.
    """
    names = [column.name for column in table.columns]
    found = [
        Rule(
            f"{table.name}.columns",
            None,
            f"Les {len(names)} colonnes du contrat, et elles seules, dans l'ordre",
            "ExpectTableColumnsToMatchOrderedList",
            {"column_list": names},
        ),
        _key(table),
        *_masks(table, parameters),
        *(
            _row_rule(
                table,
                check.id,
                check.label_fr,
                with_tables(with_values(check.sql, parameters, check.id), places),
                check.severity,
            )
            for check in table.checks
        ),
    ]
    if not table.may_be_empty:
        found.insert(
            1, Rule(f"{table.name}.not_empty", None, "Au moins une ligne", "ExpectTableRowCountToBeBetween", {"min_value": 1})
        )
    return found + [rule for column in table.columns for rule in _column_rules(table, column, dialect)]


def with_values(sql: str, parameters: Mapping[str, int], where: str) -> str:
    """The condition with its parameters written in, as whole numbers."""

    def value(name: re.Match[str]) -> str:
        if name[1] not in parameters:
            raise CannotBeAsked(f"{where} : le paramètre {name[1]} n'est pas donné")
        return str(int(parameters[name[1]]))

    return re.sub(r"(?<!:):([a-z_]+)", value, sql)


def with_tables(sql: str, places: Mapping[str, str] | None) -> str:
    """The condition with the other tables of the product written in; as it is where there are none to write in."""
    if places is None:
        return sql

    def place(name: re.Match[str]) -> str:
        if name[1] not in places:
            raise CannotBeAsked(f"{name[0]} : pas de table de ce nom dans le produit")
        return places[name[1]]

    return re.sub(r"\{([a-z_]+)\}", place, sql)


def _key(table: Table) -> Rule:
    keys = list(table.keys)
    label = f"Une seule ligne par {', '.join(keys)}"
    return Rule(f"{table.name}.key", None, label, "ExpectOneRowPerKey", {"column_list": keys}, needs=frozenset(keys))


def _masks(table: Table, parameters: Mapping[str, int]) -> list[Rule]:
    """No count under the threshold is published, and a row said to be masked hides something."""
    if not table.mask:
        return []
    names = {column.name for column in table.columns}
    counts = dict.fromkeys(count for mask in table.mask for count in mask.counts if _words(count) <= names)
    asked = "({0}) is null or ({0}) = 0 or ({0}) >= :" + THRESHOLD
    below = int(with_values(f":{THRESHOLD}", parameters, f"{table.name}.mask")) - 1
    rules = [
        _row_rule(
            table,
            f"threshold_{place}",
            f"Aucun effectif publié de 1 à {below} : {count}",
            with_values(asked.format(count), parameters, table.name),
        )
        for place, count in enumerate(counts, start=1)
    ]
    return [*rules, _masked_hides(table, table.mask)] if "masked" in names else rules


def _masked_hides(table: Table, masks: tuple[Mask, ...]) -> Rule:
    hidden = dict.fromkeys(name for mask in masks for name in mask.hides)
    condition = " or ".join(["not masked", *(f"{name} is null" for name in hidden)])
    return _row_rule(table, "masked_is_empty", "Ligne signalée comme masquée : au moins un nombre est vide", condition)


def _row_rule(table: Table, id: str, label: str, condition: str, severity: str = "critical") -> Rule:
    needs = _words(condition) & {column.name for column in table.columns}
    return Rule(f"{table.name}.{id}", None, label, CONDITION, {"condition": condition}, severity, needs)


def _column_rules(table: Table, column: Column, dialect: str) -> list[Rule]:
    on, needs = f"{table.name}.{column.name}", frozenset({column.name})

    def rule(kind: str, label: str, expectation: str, **arguments: Any) -> Rule:
        return Rule(f"{on}.{kind}", column.name, label, expectation, {"column": column.name, **arguments}, needs=needs)

    constraints = dict(column.constraints)
    found = _types(on, column, dialect)
    if constraints.pop("required", False) or column.name in table.keys:
        found.append(rule("required", "Toujours renseigné", "ExpectColumnValuesToNotBeNull"))
    for kind, suffix, label, expectation in RANGES:
        ends = {end: constraints.pop(end + suffix) for end in ("min", "max") if end + suffix in constraints}
        if ends:
            words = label.format(_range_fr(ends.get("min"), ends.get("max")))
            found.append(rule(kind, words, expectation, **{f"{end}_value": value for end, value in ends.items()}))
    if enum := constraints.pop("enum", None):
        label = f"L'une des valeurs {', '.join(map(str, enum))}"
        found.append(rule("enum", label, "ExpectColumnValuesToBeInSet", value_set=enum))
    if pattern := constraints.pop("pattern", None):
        # a pattern of Table Schema is about the whole text; $ alone would let a line feed through
        whole = rf"\A(?:{pattern})\Z"
        found.append(rule("pattern", _form(pattern), "ExpectColumnValuesToMatchRegex", regex=whole))
    if constraints:
        raise CannotBeAsked(f"{on} : contrainte que la barrière ne sait pas contrôler ({', '.join(constraints)})")
    return found


def _form(pattern: str) -> str:
    said = FORMS_FR.get(pattern, f"de la forme {pattern}")
    return said[:1].upper() + said[1:]


def _types(on: str, column: Column, dialect: str) -> list[Rule]:
    """The type of the column, and in SQLite that of each value too."""
    if column.type not in STORED:
        raise CannotBeAsked(f"{on} : type que la barrière ne sait pas contrôler ({column.type})")
    label, needs = TYPES_FR[column.type], frozenset({column.name})
    arguments = {"column": column.name, "type_list": list(STORED[column.type])}
    found = [
        Rule(f"{on}.type", column.name, f"Colonne de type {label}", "ExpectColumnValuesToBeInTypeList", arguments, needs=needs)
    ]
    if dialect == "sqlite":
        condition = STORED_BY_VALUE[column.type].format(f'"{column.name}"')
        found.append(
            Rule(f"{on}.stored", column.name, f"Valeurs de type {label}", CONDITION, {"condition": condition}, needs=needs)
        )
    return found


def _range_fr(least: float | None, greatest: float | None) -> str:
    if greatest is None:
        return f"au moins {least}"
    if least is None:
        return f"au plus {greatest}"
    return f"{least}" if least == greatest else f"de {least} à {greatest}"


def _words(sql: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z_][a-z_0-9]*", re.sub(r"'[^']*'", "", sql)))
