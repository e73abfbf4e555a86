"""Every rule over every export: findings, what could not be evaluated, the facts that stand and the status of each contract.

Rules that set something aside go first, so that one fault is told once. Must never drop a declared value: a rejected one stays
in ``value`` with the rule that rejected it.
"""

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from checks.cpom import annexes, choosing, money, reading, series
from checks.cpom import scene as scenes
from checks.cpom.days import cutoff
from checks.cpom.facts import Facts
from checks.cpom.findings import FINDINGS, UNKNOWN, findings, unknown
from checks.cpom.law import Law
from checks.cpom.ruling import CHECKS, Stage
from checks.cpom.scene import Scene

RULES_OF = (reading, choosing, series, money, annexes)
"""Modules that hold the rules."""


@dataclass(frozen=True)
class Judgement:
    """What the rules say of the exports.

    ``contract``: finess_ej, legal_name, status (CONFORME, NON_CONFORME, EN_QUARANTAINE), deadline_status, chosen_ct, chosen_os,
    chosen_hpr, blocking, warnings, synthesis_on, file, sha256. ``chosen_indicator``: finess_ej, annex, code, id, comment, cell.
    ``target``: finess_ej, annex, code, id, year, role, text (as seen in the cell), number (points or units), yes_no, missing,
    precision (decimals as declared), sha256, sheet, cell. ``declared_result``: the same for role REALISE. ``value``: every
    value as the file holds it, with ``rejected_by``.
    """

    findings: pl.DataFrame
    not_evaluable: pl.DataFrame
    contract: pl.DataFrame
    chosen_indicator: pl.DataFrame
    target: pl.DataFrame
    declared_result: pl.DataFrame
    value: pl.DataFrame


def judge(facts: Facts, law: Law, on: date, at: datetime, *, closed: bool = False, received: int | None = None) -> Judgement:
    """Evaluates the 52 rules. ``on``: the day in Paris on which what is due is judged; ``at``: the instant put in the findings;
    ``closed``: the campaign is closed; ``received``: how many contracts there are in all, if others than those of the facts."""
    seen = scenes.scene(facts, law, on, closed=closed, received=received)
    found: list[pl.DataFrame] = []
    lacking: list[pl.DataFrame] = []

    def ask(stage: Stage, scene: Scene) -> pl.DataFrame:
        told = [(check, check.judge(scene)) for check in CHECKS.values() if check.stage == stage]
        parts = [findings(check.rule, answer, facts.sheet, law, at) for check, answer in told]
        lacking.extend(unknown(check.rule, answer) for check, answer in told)
        found.extend(parts)
        return pl.concat(parts)

    quarantined = ask("sheet", seen).filter(pl.col("effect") == "quarantine_sheet")
    seen = scenes.without_sheets(seen, quarantined["sheet_id"])
    bad_rows = ask("row", seen).filter(pl.col("effect") == "reject_row")
    seen = scenes.without_rows(seen, bad_rows)
    bad_cells = ask("cell", seen).filter((pl.col("effect") == "reject_cell") & pl.col("row").is_not_null())
    seen = scenes.without_cells(seen, bad_cells)
    ask("rest", seen)

    every = (
        pl.concat(found)
        .match_to_schema(FINDINGS)
        .sort("finess_ej", "rule", "annex", "code", "year", "cell", nulls_last=True, maintain_order=True)
    )
    value = _with_rejection(facts, quarantined, bad_rows, bad_cells)
    accepted = _accepted(seen)
    return Judgement(
        every,
        pl.concat(lacking).match_to_schema(UNKNOWN).sort("rule", "finess_ej", nulls_last=False),
        _contracts(facts, seen, every, quarantined),
        _chosen(seen),
        accepted.filter(pl.col("role") != "REALISE"),
        accepted.filter(pl.col("role") == "REALISE"),
        value,
    )


def _accepted(scene: Scene) -> pl.DataFrame:
    """Accepted values of chosen indicators, one a (contract, indicator, year, role)."""
    values = scene.values.unique(["finess_ej", "annex", "code", "year", "role"], keep="first", maintain_order=True)
    origin = scene.sheets.select("sheet_id", "sha256", "sheet")
    told = values.join(origin, on="sheet_id", how="left", maintain_order="left")
    # of a number cell the digits that say something: what a spreadsheet computed is stored with the noise of its floats
    told_by = pl.when(pl.col("kind") == "t").then("stored").otherwise(pl.col("number").cast(pl.String).str.strip_chars_end("0"))
    decimals = told_by.str.extract(r"[.,](\d+)").str.len_chars().fill_null(0).cast(pl.Int64)
    scaled = pl.when(pl.col("percent") == "format").then((decimals - 2).clip(0)).otherwise(decimals)
    return told.select(
        "finess_ej", "annex", "code", "id", "year", "role", "text", number=pl.coalesce("points", "number", "leading"),
        yes_no="yes_no", missing="missing", precision=scaled, sha256="sha256", sheet="sheet", cell="cell",
    ).sort("finess_ej", "annex", "code", "year", "role")  # fmt: skip


def _chosen(scene: Scene) -> pl.DataFrame:
    origin = scene.sheets.select("sheet_id", "sha256", "sheet")
    told = scene.chosen.join(origin, on="sheet_id", how="left", maintain_order="left")
    return told.select("finess_ej", "annex", "code", "id", "comment", "sha256", "sheet", cell="code_cell").sort(
        "finess_ej", "annex", "code"
    )


def _with_rejection(facts: Facts, sheets: pl.DataFrame, rows: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Every value as read, with the first rule that set it aside."""
    by_sheet = sheets.select("sheet_id", of_sheet="rule").unique("sheet_id", keep="first", maintain_order=True)
    by_row = rows.select("sheet_id", "row", of_row="rule").unique(["sheet_id", "row"], keep="first", maintain_order=True)
    by_cell = cells.select("sheet_id", "cell", of_cell="rule").unique(["sheet_id", "cell"], keep="first", maintain_order=True)
    told = facts.value.join(by_sheet, on="sheet_id", how="left", maintain_order="left")
    told = told.join(by_row, on=["sheet_id", "row"], how="left", maintain_order="left")
    told = told.join(by_cell, on=["sheet_id", "cell"], how="left", maintain_order="left")
    return told.with_columns(rejected_by=pl.coalesce("of_sheet", "of_row", "of_cell")).drop("of_sheet", "of_row", "of_cell")


def _contracts(facts: Facts, scene: Scene, every: pl.DataFrame, quarantined: pl.DataFrame) -> pl.DataFrame:
    """One row an establishment whose choice a strategic sheet says, quarantined ones included."""
    alone = pl.col("sheet_id").is_in(scenes.results_alone(facts).implode())
    strategic = facts.sheet.filter((pl.col("annex") == "STRAT") & ~alone)
    strategic = strategic.unique("finess_ej", keep="first", maintain_order=True)
    strategic = strategic.select("sheet_id", "finess_ej", "legal_name", "synthesis_on", "file", "sha256")
    severity = pl.col("severity")
    counted = every.group_by("finess_ej").agg(
        blocking=(severity == "block").sum().cast(pl.Int64),
        warnings=(severity == "warn").sum().cast(pl.Int64),
        broken=(pl.col("effect") == "contract_non_compliant").any(),
        late=(pl.col("rule") == "cpom.R36").any(),
    )
    numbers = choosing.counts(scene).select("finess_ej", chosen_ct="n_ct", chosen_os="n_os", chosen_hpr="n_hpr")
    told = strategic.join(counted, on="finess_ej", how="left", maintain_order="left", nulls_equal=True)
    told = told.join(numbers, on="finess_ej", how="left", maintain_order="left")
    told = told.join(_in_time(scene), on="finess_ej", how="left", maintain_order="left")
    away = pl.col("sheet_id").is_in(quarantined["sheet_id"].implode())
    incomplete = ~pl.col("complete").fill_null(value=False)
    deadline = (
        pl.when(away)
        .then(pl.lit("DELAI_NON_VERIFIABLE"))
        .when(incomplete)
        .then(pl.lit("CHOIX_INCOMPLET"))
        .when("late")
        .then(pl.lit("HORS_DELAI"))
        .when("in_time")
        .then(pl.lit("DANS_LES_DELAIS"))
        .otherwise(pl.lit("DELAI_NON_VERIFIABLE"))
    )
    status = pl.when(away).then(pl.lit("EN_QUARANTAINE")).when("broken").then(pl.lit("NON_CONFORME"))
    return told.with_columns(pl.col("blocking", "warnings").fill_null(0)).select(
        "finess_ej", "legal_name", status=status.otherwise(pl.lit("CONFORME")), deadline_status=deadline,
        chosen_ct="chosen_ct", chosen_os="chosen_os", chosen_hpr="chosen_hpr", blocking="blocking", warnings="warnings",
        synthesis_on="synthesis_on", file="file", sha256="sha256",
    ).sort("finess_ej", nulls_last=True)  # fmt: skip


def _in_time(scene: Scene) -> pl.DataFrame:
    """finess_ej, ``complete`` (the choice passes R10 to R12) and ``in_time`` (an export or the journal proves it in time)."""
    due = scene.law.day("choice_due_on")
    printed = scene.choices.filter(pl.col("annex") == "STRAT").select("finess_ej", "synthesis_on")
    earlier = scene.facts.frame("earlier_proof")
    proved = earlier.filter(pl.col("synthesis_on") <= pl.lit(due))["finess_ej"].to_list()
    by_print = printed.filter(pl.col("synthesis_on") <= pl.lit(due))["finess_ej"].to_list()
    entered = choosing.completed_at(scene).filter(pl.col("completed_at") < cutoff(pl.lit(due)))["finess_ej"].to_list()
    return choosing.complete(scene).with_columns(
        in_time=(pl.col("complete") & pl.col("finess_ej").is_in(by_print)) | pl.col("finess_ej").is_in([*proved, *entered])
    )
