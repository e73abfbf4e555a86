"""The totals rows of a bordereau against the lines above them. Never corrects one by the other."""

import polars as pl

from connectors.bordereau_header import FL9, Finding
from connectors.bordereau_patients import place
from connectors.bordereau_tables import Match
from connectors.bordereau_values import cents, plain_digits
from connectors.sheets import reference
from contracts_schema.french import euros


def totals(rows: pl.DataFrame, lines: pl.DataFrame, found: Match) -> tuple[list[Finding], int | None]:
    """Each totals row against the sum since the one before, of its sheet, or of the file; and the sum that those rows tell of
    all lines: None when they tell it of some only."""
    profile = found.profile
    told = rows.filter(pl.col("what") == "totals").select("sheet_number", "row", "amount", "amount.kind")
    if not told.height:
        return [], None
    told = told.with_columns(plain_digits(told, "amount").alias("amount"))
    told = told.with_columns(
        cents(pl.col("amount"), pl.col("amount.kind"), profile.currency, profile.thousands)[0].alias("cents")
    )
    names = [table.sheet.name for table in found.tables]
    claimed = lines.select("sheet", "row", pl.col("amount_cents").fill_null(0).alias("cents"))
    findings: list[Finding] = []
    subtotals = grand = wrong = 0
    since: dict[int, int] = {}
    for number, row, value in told.select("sheet_number", "row", "cents").iter_rows():
        table, name = found.tables[number], names[number]
        cell = place(name, reference(row, table.columns["amount"]))
        above = claimed.filter(pl.col("sheet").eq_missing(pl.lit(name, pl.String)) & (pl.col("row") < row))
        part = int(above.filter(pl.col("row") > since.get(number, 0))["cents"].sum())
        whole, everything = int(above["cents"].sum()), int(claimed["cents"].sum())
        if value is None:
            findings.append(Finding(FL9, cell, f"{cell} : ligne de total dont le montant est illisible", "A03"))
        elif value == part and part:
            subtotals += value
            since[number] = row
        elif value in (whole, everything):
            grand = value
        else:
            message = f"{cell} : total de {euros(value)} alors que les lignes font {euros(part)} (depuis le total précédent)"
            findings.append(Finding(FL9, cell, message, "A03"))
            subtotals, wrong = subtotals + value, wrong + 1
            since[number] = row
    everything = int(claimed["cents"].sum())
    whole_told = everything in (grand, subtotals)  # totals of some of the lines, each right, say nothing of the whole
    return findings, subtotals if wrong else everything if whole_told else None
