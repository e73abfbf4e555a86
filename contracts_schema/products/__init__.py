"""Product contracts: what a recipient gets, column by column, from one YAML file a product.

Files, dictionaries, Table Schema, ODCS and the table gate are all made from these, so none of them can say something else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from contracts_schema.yaml_files import read_yaml

Kind = TypeVar("Kind")

CLASSIFICATIONS = ("public", "aggregate", "individual", "restricted")
"""From open to never published: open facts, counts over a threshold, lines about a pseudonymous person, direct links."""


FORMS_FR = {
    "^([0-9]{2}|2[AB])[0-9]{7}$": "numéro FINESS, 9 caractères",
    "^([0-9]{3}|2[AB][0-9])$": "code de caisse, 3 caractères",
    "^[0-9]{8,11}$": "8 à 11 chiffres",
    "^[0-9]{4}-(0[1-9]|1[0-2])$": "année et mois, AAAA-MM",
    "^[0-9]{2}$": "code INSEE de région",
    "^snp[.][A-Z][0-9]{2}$": "identifiant d'une règle des protocoles SNP",
    "^[0-9a-f]+$": "chiffres et lettres de a à f",
    "^[0-9A-Z]{1,7}$": "chiffres et majuscules, 7 au plus",
    "^[0-9A-Z]{1,9}$": "chiffres et majuscules, 9 au plus",
}
"""Patterns of the contracts, in the words of people who read a dictionary or the results of a gate."""


@dataclass(frozen=True)
class Column:
    """A published column: ``type`` and ``constraints`` as in Table Schema.

    Constraints are required, minimum, maximum, minLength, maxLength, enum and pattern; the table gate refuses any other.
    ``unit``: euro for a column of integer cents that people read in euros, percent for a rate out of 100. ``wrap``: a long
    text, which the workbook shows on several lines of so many characters.
    """

    name: str
    type: str
    classification: str
    label_fr: str
    constraints: dict[str, Any] = field(default_factory=dict)
    unit: str | None = None
    wrap: int = 0


@dataclass(frozen=True)
class RowCheck:
    """What every row of a published table must satisfy: a condition in SQL that SQLite and PostgreSQL both read.

    It must be true: null is a breach. A dated parameter is named ``:name``, another table of the product ``{name}``. One whose
    ``severity`` is warning stops nothing.
    """

    id: str
    label_fr: str
    sql: str
    severity: str = "critical"


@dataclass(frozen=True)
class Total:
    """What readers know or can work out whatever is masked: the sum of an SQL expression over the rows of a table's view that
    agree on ``over``; by its ``name`` in the gaps of any table that has these columns."""

    name: str
    table: str
    over: tuple[str, ...]
    sum: str


@dataclass(frozen=True)
class Part:
    """Rows of an additive table (SQL ``where``) whose total ``columns`` of another table may tell, in its ``rows`` (SQL).

    ``beside`` gives these columns away: hidden with them.
    """

    where: str
    total: str
    table: str
    rows: str
    columns: tuple[str, ...]
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class AddsUp:
    """The first count adds up, over the rows that agree on ``over``, to a total that may be known.

    Tables that name the same ``total`` tell it of one another. ``parts``: what tells the total of some of the rows.
    """

    over: tuple[str, ...]
    total: str | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Follows:
    """Rows (SQL; all when None) are hidden with any row of ``table`` that hides ``column`` and agrees on ``over``."""

    table: str
    column: str
    over: tuple[str, ...]
    rows: str | None = None


@dataclass(frozen=True)
class Mask:
    """When the columns of ``hides`` are left empty; ``counts`` and ``gaps`` are SQL over the view's columns and the totals.

    Where one of ``counts`` is under the threshold, or one of ``gaps``, which is what readers find by subtracting published
    figures, is between 1 and the threshold; and where a neighbour needs it (``adds_up``). The first of ``hides`` is the figure
    itself, the others are made from it. ``only_with``: figures beside which alone it may be read; it is then shown in all the
    variants of a row (``narrows``) or in none, and only where each of these is in every variant that narrows no other.
    """

    hides: tuple[str, ...]
    counts: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    adds_up: AddsUp | None = None
    only_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Narrows:
    """Which values of a key column count some of what others count: by the narrow one, all that are wider, the next first.

    The figures of ``not_of_narrow`` are given for the widest alone.
    """

    column: str
    wider: dict[str, list[str]]
    not_of_narrow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remark:
    """A text that tells of figures: where one is hidden, ``hidden_as`` stands for it, unless it is one of ``tells_nothing``."""

    column: str
    of: tuple[str, ...]
    hidden_as: str
    tells_nothing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What people may write in the workbook of a table and send back; all other cells are protected.

    ``of``: the column that says which row is answered; ``identity``: columns that must come back as they were; ``rows``: the
    boolean column that says which rows may be answered. ``decisions``: by code, the words of the drop-down list. ``decision``,
    ``amount``, ``reason``: the headings of the three columns, which stand after the column ``after``. ``amount_of``: the one
    decision that needs an amount; ``amount_with``: those that may have one.
    """

    of: str
    identity: tuple[str, ...]
    rows: str
    decisions: dict[str, str]
    decision: str
    amount: str
    reason: str
    amount_of: str
    amount_with: tuple[str, ...]
    after: str

    @property
    def columns(self) -> tuple[Column, Column, Column]:
        """The columns that people fill: in the workbook only."""
        words = {"enum": list(self.decisions.values())}
        return (
            Column("answer_decision", "string", "individual", self.decision, words),
            Column("answer_amount", "number", "individual", self.amount, {"minimum": 0}),
            Column("answer_reason", "string", "individual", self.reason, wrap=40),
        )


@dataclass(frozen=True)
class Table:
    """A published table, the view it comes from, and the view whose rows explain its measures.

    ``measures`` gives per measure the condition (SQL) on that view's rows, or one condition per variant. ``may_be_empty``: a
    recipient's territory may have no row of it. ``colours``: in the workbook, by column, the colour of the cells that hold a
    text. ``answer``: what people may send back. ``named_by``: what tells a row from one publication to the next, where the keys
    only number it. ``use_fr``: what to do with it, for its reader. ``sums``: columns of euros whose sums are told, by value
    of the column ``by`` and in all. ``words``: by column, what each of its codes means, in French.
    """

    name: str
    view: str
    label_fr: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    mask: tuple[Mask, ...]
    checks: tuple[RowCheck, ...]
    explained_by: str = ""
    measures: dict[str, str | dict[str, str]] = field(default_factory=dict)
    follows: Follows | None = None
    narrows: Narrows | None = None
    remark: Remark | None = None
    may_be_empty: bool = False
    colours: dict[str, dict[str, str]] = field(default_factory=dict)
    answer: Answer | None = None
    named_by: tuple[str, ...] = ()
    use_fr: str = ""
    by: str = ""
    sums: tuple[str, ...] = ()
    words: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def workbook_columns(self) -> tuple[Column, ...]:
        """The columns of its workbook: those of the table, and those that people fill."""
        if self.answer is None:
            return self.columns
        at = 1 + [column.name for column in self.columns].index(self.answer.after)
        return (*self.columns[:at], *self.answer.columns, *self.columns[at:])


VIEWS, RECONCILIATION, CPOM, CAMPAIGN, CONTRACTS = "views", "reconciliation", "cpom", "campaign", "contracts"


@dataclass(frozen=True)
class Product:
    """A product; ``origin_column`` tells apart rows made from other data (for PMSI the transmission), for masks that hold on.

    ``made_by``: views, or what computes tables under the names of ``view``: the reconciliation, the judgement of contracts
    (CPOM), a campaign of the centres de santé, contracts of CPTS.
    """

    id: str
    recipient_kind: str
    label_fr: str
    description_fr: str
    territory_column: str
    tables: tuple[Table, ...]
    origin_column: str = ""
    totals: tuple[Total, ...] = ()
    made_by: str = VIEWS


@cache
def products() -> dict[tuple[str, str], Product]:
    """Every product contract by kind of recipient and id: what a caisse and an ARS get under one name are two contracts."""
    folder = files("contracts_schema").joinpath("products")
    found = (_product(read_yaml(path)) for path in folder.iterdir() if path.name.endswith(".yaml"))
    known = {(product.recipient_kind, product.id): product for product in found}
    return {key: known[key] for key in sorted(known, key=lambda key: (key[1], key[0]))}


def product_of(recipient: str, product_id: str) -> Product:
    """The contract of what a recipient (``cpam-311``) gets under an id. KeyError when there is none."""
    return products()[recipient.partition("-")[0], product_id]


def decisions() -> dict[str, str]:
    """The words of people's decisions on lines of bordereaux, by code: those of the workbook, the only ones."""
    return next(table.answer.decisions for table in products()["cpam", "bordereaux"].tables if table.answer)


def _product(entry: dict[str, Any]) -> Product:
    totals = tuple(Total(**_tuples(total)) for total in entry.get("totals", []))
    return Product(**{**entry, "totals": totals, "tables": tuple(_table(table) for table in entry["tables"])})


def _table(entry: dict[str, Any]) -> Table:
    explained = entry.get("explained_by", {})
    return Table(
        name=entry["name"],
        view=entry["view"],
        label_fr=entry["label_fr"],
        keys=tuple(entry["keys"]),
        columns=tuple(Column(**column) for column in entry["columns"]),
        mask=tuple(_mask(mask) for mask in entry.get("mask", ())),
        follows=_made(Follows, entry.get("follows")),
        narrows=_made(Narrows, entry.get("narrows")),
        remark=_made(Remark, entry.get("remark")),
        checks=tuple(RowCheck(**check) for check in entry.get("checks", [])),
        explained_by=explained.get("view", ""),
        measures=explained.get("measures", {}),
        may_be_empty=entry.get("may_be_empty", False),
        colours=entry.get("colours", {}),
        answer=_made(Answer, entry.get("answer")),
        named_by=tuple(entry.get("named_by", ())),
        use_fr=entry.get("use_fr", "").strip(),
        by=entry.get("by", ""),
        sums=tuple(entry.get("sums", ())),
        words=entry.get("words", {}),
    )


def _mask(entry: dict[str, Any]) -> Mask:
    adds_up = entry.get("adds_up")
    if adds_up:
        parts = tuple(Part(**_tuples(part)) for part in adds_up.get("parts", []))
        adds_up = AddsUp(tuple(adds_up["over"]), adds_up.get("total"), parts)
    return Mask(**_tuples({**entry, "adds_up": adds_up}))


def _made(kind: Callable[..., Kind], entry: dict[str, Any] | None) -> Kind | None:
    return kind(**_tuples(entry)) if entry else None


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
