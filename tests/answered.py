"""The CPAM's tables and workbook of the reconciliation for tests, and what people do to a workbook."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
from snp_facts import SPEC, facts_of
from snp_random import random_facts

from checks.snp.decided import DECISIONS, apply
from checks.snp.facts import Facts
from checks.snp.law import Law, default_law
from checks.snp.product import tables
from checks.snp.reconcile import Reconciliation, reconcile
from contracts_schema.products import Table, products
from flows.law_table import as_published
from warehouse import products as made
from warehouse import workbook
from warehouse.masking import masked
from warehouse.recipients import recipient
from warehouse.workbook_notes import sections

CAISSE, DAY = "990", date(2024, 8, 1)
CPAM = recipient(f"cpam-{CAISSE}", "individual")
PRODUCT, ACTIVITY = products()["cpam", "bordereaux"], products()["ars", "protocoles"]
LINE: Table = PRODUCT.tables[0]
ATTESTED = as_published(("snp.tariff", "snp.window"), "texte détenu par la caisse")
LAW = default_law(attested=ATTESTED)
RECEIPT = made.Receipt(41, "ab" * 32, "2024-08-01T08:00:00.000000Z")
NO_DECISION = pl.DataFrame(schema=DECISIONS)
Tables = dict[str, pl.DataFrame]


def of_caisse(facts: Facts, finess: str | None = "990000010") -> Facts:
    """The facts as those of the caisse of the tests, whose code has the form of one."""
    header = facts.bordereau.with_columns(caisse=pl.lit(CAISSE), finess=pl.lit(finess, pl.String))
    return replace(facts, bordereau=header, attachment=facts.frame("attachment").with_columns(caisse=pl.lit(CAISSE)))


def scenario_facts(name: str, decision: int = -1) -> tuple[Facts, date, Law]:
    found = next(one for one in SPEC["scenarios"] if one["id"] == name)
    chosen = found["decisions"][decision]
    law = default_law(found.get("policies"), ATTESTED)
    facts = facts_of(found, chosen)
    attachment = facts.frame("attachment").with_columns(pl.col("caisse").replace("C01", CAISSE))
    header = facts.bordereau.with_columns(pl.col("caisse").replace("C01", CAISSE))
    return replace(facts, bordereau=header, attachment=attachment), chosen["decided"], law


def made_of(
    facts: Facts, law: Law = LAW, on: date = DAY, decisions: pl.DataFrame = NO_DECISION
) -> tuple[Tables, Reconciliation, pl.DataFrame]:
    found = reconcile(facts, law, on)
    decided = apply(found.lines, decisions)
    return tables(found, facts, decided, law), found, decided


def random_tables(lines: int, seed: int = 1, **options: Any) -> Tables:
    return made_of(of_caisse(random_facts(lines, seed, **options)))[0]


def decisions_on(lines: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A decision of each kind, in turn, on one line in seven."""
    chosen = lines.filter(pl.col("live")).gather_every(7, seed % 7).with_row_index("n")
    words = pl.Series(["pay", "adjust", "reject", "ask", "hold"])
    return chosen.select(
        "line_id",
        decision=words.gather(chosen["n"] % 5),
        amount_cents=pl.when(pl.col("n") % 5 == 1).then(pl.col("claimed_cents") // 2),
        reason=pl.lit("Pièce reçue"),
        role=pl.lit("gestionnaire"),
        decided_on=pl.lit(date(2024, 7, 12)),
        position=pl.col("n").cast(pl.Int64) + 5,
        seen_outcome=pl.lit("ASK"),
        seen_due_cents=pl.lit(0, pl.Int64),
    ).cast(dict(DECISIONS))


def published(found: Tables, number: int = 1) -> Tables:
    return masked(PRODUCT, found, CAISSE, DAY)


def write(path: Path, rows: pl.DataFrame, table: Table = LINE, number: int = 1) -> Path:
    """The workbook of a table as a publication writes it."""
    manifest = made.manifest(CPAM, PRODUCT, number, RECEIPT, {}, "ef" * 32, {})
    about = workbook.About(manifest["title"], datetime(2024, 8, 1, tzinfo=UTC).replace(tzinfo=None), sections(manifest, table))
    workbook.write(path, table, rows, about)
    return path


def fill(path: Path, cells: dict[tuple[int, str], Any], sheet: str = "Données") -> bytes:
    """Write cells by row (from 2) and heading, as someone does in a spreadsheet, and save."""
    book = openpyxl.load_workbook(path)
    data = book[sheet]
    places = {cell.value: cell.column for cell in data[1]}
    for (row, heading), value in cells.items():
        data.cell(row, places[heading]).value = value
    book.save(path.with_suffix(".filled.xlsx"))
    return path.with_suffix(".filled.xlsx").read_bytes()
