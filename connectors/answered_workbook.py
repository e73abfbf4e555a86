"""A published workbook that people filled, read back as decisions: what they wrote, and where.

Every answered row is compared with what was published: a row whose protected cells were changed decides nothing. Must never
take a decision from a row in doubt, nor repeat in a message what a cell holds.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from connectors.bordereau_values import UNREADABLE_KINDS, cents, clean, normalised
from connectors.sheets import Sheet, Workbook, read_sheets, reference
from contracts_schema.bordereau_profiles import normalised as plain
from contracts_schema.products import Answer, Column, Table, product_of
from contracts_schema.rules import label

DATA, PROVENANCE = "Données", "Provenance"
CURRENCY, THOUSANDS = ("€", "EUR", "euros", "euro"), (" ",)
ANSWERS = pl.Schema(
    {
        "line_id": pl.String(),
        "decision": pl.String(),
        "amount_cents": pl.Int64(),
        "reason": pl.String(),
        "cell": pl.String(),
        "seen_outcome": pl.String(),
        "seen_due_cents": pl.Int64(),
        "seen_position": pl.Int64(),
    }
)
"""One row a decision. ``decision``: pay, adjust, reject, ask or hold. ``cell``: of the decision (``Données!O12``).
``seen_…``: what was proposed, and the position of the decision that stood (0: none), in the publication that was filled."""


class NotOurs(Exception):
    """A workbook that cannot be read as the answer to a publication; the message says why, in French."""


@dataclass(frozen=True)
class Origin:
    """The publication that a workbook says it is."""

    recipient: str
    product: str
    table: str
    number: int
    log_hash: str
    """Of the log's last event then: another hub has another."""


@dataclass(frozen=True)
class Problem:
    """A row that decides nothing: its cell, the rule that it breaks, and what to do, in French."""

    cell: str
    rule: str
    message_fr: str


@dataclass(frozen=True)
class Answered:
    """What a filled workbook says: decisions (``ANSWERS``), and the rows that say something and decide nothing."""

    origin: Origin
    answers: pl.DataFrame
    problems: tuple[Problem, ...]


Published = Callable[[Origin], pl.DataFrame | None]
"""Gives the rows of a published table, in the contract's columns and types; None for a publication that never was."""


def read_answers(content: bytes, published: Published) -> Answered:
    """The decisions of a filled workbook (XLSX or ODS).

    Raises NotOurs when it is no workbook of a known publication, Unreadable when it is no workbook at all.
    """
    book = read_sheets(content)
    origin = _origin(book)
    table = _table(origin)
    rows = published(origin)
    if rows is None or table.answer is None:
        raise NotOurs(f"pas de publication {origin.number} de {origin.recipient}/{origin.product} dans ce hub")
    found = [_rows(sheet, table) for sheet in book.sheets if (sheet.name or "").startswith(DATA)]
    if not found:
        raise NotOurs(f"pas de feuille « {DATA} » : renvoyez le classeur entier")
    filled = _read(pl.concat(found), table.answer)
    judged = _judged(filled, table, table.answer, rows)
    return Answered(origin, _answers(judged, table.answer), _problems(judged))


def _origin(book: Workbook) -> Origin:
    """What the sheet Provenance says."""
    sheet = next((one for one in book.sheets if one.name == PROVENANCE), None)
    if sheet is None or book.format == "csv":
        raise NotOurs(f"pas de feuille « {PROVENANCE} » : ce fichier n'est pas un classeur publié par ce hub")
    sides = [sheet.cells.filter(pl.col("column") == place).select("row", "text") for place in (1, 2)]
    told = dict(sides[0].join(sides[1], on="row", suffix="_2").select("text", "text_2").iter_rows())
    named = {name: re.search(r"\(([a-z_-]+)\)$", told.get(name, "")) for name in ("Produit", "Table")}
    product, table, number = named["Produit"], named["Table"], told.get("Numéro", "")
    if not (product and table and number.isdigit() and "Destinataire" in told):
        raise NotOurs(f"la feuille « {PROVENANCE} » ne dit pas de quelle publication il s'agit : renvoyez le classeur entier")
    return Origin(told["Destinataire"], product[1], table[1], int(number), told.get("Empreinte", ""))


def _table(origin: Origin) -> Table:
    try:
        tables = {table.name: table for table in product_of(origin.recipient, origin.product).tables if table.answer}
    except KeyError:
        tables = {}
    if origin.table not in tables:
        raise NotOurs(f"la table {origin.table} de {origin.product} n'attend pas de décisions")
    return tables[origin.table]


def _rows(sheet: Sheet, table: Table) -> pl.DataFrame:
    """The identity and the answers of each row of a data sheet, as text, with the kind of the answers' cells.

    NotOurs when a heading is missing or stands twice.
    """
    answer = _answer(table)
    wanted = [column for column in table.workbook_columns if column.name in answer.identity or column in answer.columns]
    heads = sheet.cells.filter(pl.col("row") == 1)
    rows = sheet.cells.filter(pl.col("row") > 1).select("row").unique().sort("row")
    for column in wanted:
        places = heads.filter(pl.col("text") == column.label_fr)["column"].to_list()
        if len(places) != 1:
            raise NotOurs(f"feuille « {sheet.name} » : la colonne « {column.label_fr} » manque ou est en double")
        here = sheet.cells.filter(pl.col("column") == places[0], pl.col("row") > 1)
        told = here.select("row", pl.col("text").alias(column.name), pl.col("kind").alias(f"{column.name}:kind"))
        rows = rows.join(told, on="row", how="left", maintain_order="left")
        letter = reference(1, places[0]).rstrip("1")
        rows = rows.with_columns(pl.format("{}!{}{}", pl.lit(sheet.name), pl.lit(letter), "row").alias(f"{column.name}:cell"))
    return rows


def _answer(table: Table) -> Answer:
    if table.answer is None:
        raise NotOurs(f"la table {table.name} n'attend pas de décisions")
    return table.answer


def _read(rows: pl.DataFrame, answer: Answer) -> pl.DataFrame:
    """The rows that say something, with what they say: ``decision`` (code), ``amount_cents`` and ``reason``."""
    decision, amount, reason = (column.name for column in answer.columns)
    some = rows.filter(pl.any_horizontal(clean(pl.col(name)).is_not_null() for name in (decision, amount, reason)))
    codes = {plain(word): code for code, word in answer.decisions.items()}
    sure = ~pl.col(f"{decision}:kind").is_in(UNREADABLE_KINDS)
    worth, _ = cents(pl.col(amount), pl.col(f"{amount}:kind"), CURRENCY, THOUSANDS)
    return some.with_columns(
        decision=pl.when(sure).then(normalised(pl.col(decision)).replace_strict(codes, default=None, return_dtype=pl.String)),
        amount_cents=pl.when(worth >= 0).then(worth),
        reason=clean(pl.col(reason)),
        decided=clean(pl.col(decision)).is_not_null(),
        amounted=clean(pl.col(amount)).is_not_null(),
    )


def _judged(rows: pl.DataFrame, table: Table, answer: Answer, published: pl.DataFrame) -> pl.DataFrame:
    """The rows with the first rule that each breaks (``rule``), where (``at``) and what to do (``told``)."""
    decision, amount, reason = (pl.col(f"{column.name}:cell") for column in answer.columns)
    there = published.select(pl.col(answer.of), *(pl.col(name).alias(f"was:{name}") for name in answer.identity))
    found = rows.join(
        there.unique(answer.of, keep="first").with_columns(known=pl.lit(value=True)),
        on=answer.of,
        how="left",
        maintain_order="left",
    )
    shown = {column.name: column for column in table.columns}
    protected = [shown[name] for name in answer.identity if name != answer.of]
    changed = {column.name: ~_same(column) for column in protected}
    at = pl.coalesce(pl.when(moved).then(pl.col(f"{name}:cell")) for name, moved in changed.items())
    which = pl.coalesce(pl.when(moved).then(pl.lit(shown[name].label_fr)) for name, moved in changed.items())
    words = ", ".join(answer.decisions.values())
    takes = ", ".join(answer.decisions[code] for code in answer.amount_with)
    line, some, amounted = pl.col(f"{answer.of}:cell"), pl.col("decided"), pl.col("amounted")
    unwanted = amounted & ~pl.col("decision").is_in(answer.amount_with)
    needed = ~amounted & (pl.col("decision") == answer.amount_of)
    rules: Rules = {
        "answer.no_decision": (~some, decision, "choisissez une décision, ou videz le montant et le motif"),
        "answer.unknown_line": (pl.col("known").is_null(), line, "reprenez le classeur publié"),
        "answer.twice": (pl.col(answer.of).is_duplicated() & some, line, "une seule décision par ligne"),
        "answer.identity": (pl.any_horizontal(changed.values()), at, pl.format("« {} » ; reprenez le classeur publié", which)),
        "answer.decision": (pl.col("decision").is_null(), decision, f"attendu : {words}"),
        "answer.amount": (amounted & pl.col("amount_cents").is_null(), amount, "attendu : des euros, par exemple 12,50"),
        "answer.amount_unwanted": (unwanted, amount, f"un montant ne va qu'avec : {takes}"),
        "answer.amount_missing": (needed, amount, "donnez le montant dû"),
        "answer.reason": (pl.col("reason").is_null(), reason, "écrivez le motif de la décision"),
    }
    return found.with_columns(_first(rules))


Rules = Mapping[str, tuple[pl.Expr, pl.Expr, pl.Expr | str]]
"""By rule, in the order in which they are told: when it is broken, the cell, and what to do."""


def _first(rules: Rules) -> list[pl.Expr]:
    """The first rule that a row breaks, with the cell and what to do."""
    broken = {rule: condition.fill_null(value=False) for rule, (condition, _, _) in rules.items()}
    told = {rule: pl.lit(words) if isinstance(words, str) else words for rule, (_, _, words) in rules.items()}
    return [
        pl.coalesce(pl.when(holds).then(pl.lit(rule)) for rule, holds in broken.items()).alias("rule"),
        pl.coalesce(pl.when(holds).then(rules[rule][1]) for rule, holds in broken.items()).alias("at"),
        pl.coalesce(pl.when(holds).then(told[rule]) for rule, holds in broken.items()).alias("told"),
    ]


def _same(column: Column) -> pl.Expr:
    """Whether a protected cell holds what was published."""
    text, was = pl.col(column.name), pl.col(f"was:{column.name}")
    value = text
    if column.unit == "euro":
        value, _ = cents(text, pl.col(f"{column.name}:kind"), CURRENCY, THOUSANDS)
    elif column.type == "integer":
        value = text.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
    same: pl.Expr = value.eq_missing(was)
    return same


def _answers(judged: pl.DataFrame, answer: Answer) -> pl.DataFrame:
    decision = answer.columns[0].name
    return (
        judged.filter(pl.col("rule").is_null())
        .select(
            line_id=pl.col(answer.of),
            decision="decision",
            amount_cents="amount_cents",
            reason="reason",
            cell=f"{decision}:cell",
            seen_outcome="was:proposed_outcome",
            seen_due_cents="was:proposed_due_cents",
            seen_position="was:decision_position",
        )
        .cast(ANSWERS)
    )


def _problems(judged: pl.DataFrame) -> tuple[Problem, ...]:
    rows = judged.filter(pl.col("rule").is_not_null()).select("at", "rule", "told").iter_rows()
    return tuple(Problem(cell, rule, f"{label(rule)} : {told}") for cell, rule, told in rows)
