"""The columns that the rules read: the claims of the lines, and on each day of a claim the law, the team and the structure.

A claim is one act of a line; a monthly line is one claim looked at on each day of its month that may differ from the day
before. Joins only: judges nothing.
"""

import polars as pl

from checks.snp.calendar import ACTS, calendar
from checks.snp.facts import Facts
from checks.snp.fold import Teams
from checks.snp.identity import structure_keys
from checks.snp.law import Law
from checks.snp.likeness import edits
from checks.snp.months import looked_at
from checks.snp.ruling import french
from contracts_schema.identifiers import rpps_key

REVISIT = "DELEGANT_REVISIT"
IDENTITY = (
    "bordereau_id",
    "b",
    "skey",
    "raw_key",
    "cherche",
    "kind",
    "caisse",
    "live",
    "received_on",
    "period_from",
    "period_to",
    "structure_kind",
    "known",
    "closed_on",
    "declared",
    "declared_kinds",
    "sibling",
    "sibling_form",
    "sibling_demarche",
    "sibling_names",
    "near",
    "near_key",
    "aliased",
    "discordant",
    "bad_key",
    "proven",
    "synchronisation",
    "siret",
    "finess",
    "file",
    "replaces",
)


def claims(facts: Facts, bordereaux: pl.DataFrame) -> pl.DataFrame:
    """One row a claim, in the order of the bordereaux and lines: ``i`` the place of the line, ``c`` that of the claim.

    Adds ``at`` (the day judged; the day of reception when the act's is unknown), ``day_known``, ``is_month``, ``moment`` (the
    day or month as text), ``when`` (day, else month), ``number`` of acts (``acts``: of the whole line), ``delegate`` (its
    number) and whether one is ``given``, ``act_key``, ``patient_key`` and the age in months.
    """
    lines = facts.line.drop("notes").join(bordereaux.select(IDENTITY), on="bordereau_id", maintain_order="left")
    lines = lines.sort("b", "line_number").with_row_index("i")
    patients = facts.frame("patient").rename({"sex": "patient_sex"})
    lines = lines.join(patients, on=["bordereau_id", "line_number"], how="left", maintain_order="left")
    digits = pl.col("delegate_raw").str.replace_all(r"\D", "")
    one = pl.when(pl.col("count_raw").is_null()).then(1)
    lines = lines.with_columns(
        number=pl.coalesce("count", one).cast(pl.Int64),
        delegate=pl.coalesce("rpps", pl.when(digits.str.len_chars() >= 8).then(digits)),
        given=pl.col("rpps").is_not_null()
        | (pl.col("delegate_raw").str.strip_chars().str.len_chars() > 0).fill_null(value=False),
        several=pl.lit(value=False),
    )
    if facts.act is not None and facts.act.height:
        lines = _several(lines, facts.act)
    return lines.with_row_index("c").with_columns(
        acts=pl.when("several").then(pl.col("number").sum().over("i")).otherwise("number"),
        is_month=pl.col("day").is_null() & pl.col("month").is_not_null() & pl.col("date_problem").is_null(),
        day_known=pl.col("day").is_not_null(),
        when=pl.coalesce("day", "month"),
        at=pl.coalesce("day", "month", "received_on"),
        moment=pl.coalesce(french(pl.col("day")), pl.col("month").dt.strftime("%m/%Y"), "date_raw", pl.lit("jour inconnu")),
        act_key=pl.when(pl.col("act").is_in(ACTS)).then("act").otherwise(pl.lit("")),
        family_known=pl.col("family").is_not_null(),
        revisit=(pl.col("act") == REVISIT).fill_null(value=False),
        months=pl.coalesce("age_months", pl.col("age_years") * 12),
        years=pl.coalesce("age_years", pl.col("age_months") // 12),
    )


def _several(lines: pl.DataFrame, acts: pl.DataFrame) -> pl.DataFrame:
    """The lines that hold several dated acts become one row an act."""
    told = acts.select("bordereau_id", "line_number", act_day="day", act_count=pl.col("count").fill_null(1))
    found = lines.join(told, on=["bordereau_id", "line_number"], how="left", maintain_order="left_right")
    dated = pl.col("act_day").is_not_null()
    return found.with_columns(
        day=pl.when(dated).then("act_day").otherwise("day"),
        number=pl.when(dated).then("act_count").otherwise("number"),
        several=dated,
    ).drop("act_day", "act_count")


APART = (
    "line_id",
    "line_number",
    "sheet",
    "row",
    "act",
    "month",
    "date_raw",
    "date_problem",
    "date_sign",
    "delegate_raw",
    "count_raw",
    "count",
    "unit_cents",
    "unit_raw",
    "amount_cents",
    "amount_raw",
    "ref",
    "emergency",
    "cells",
    "file",
    "replaces",
    "patient_key",
    "number",
    "acts",
    "several",
)
"""Columns of the claims that no day changes and no rule of a day reads: kept aside while the days are looked at."""


def days(found: pl.DataFrame, law: Law, facts: Facts, teams: Teams) -> pl.DataFrame:
    """Each claim on its day, or on the days of its month on which anything may change, with the law, the team and the
    structure's rights of that day."""
    rows = found
    if found["is_month"].any():
        months = found.filter("is_month").with_columns(day_known=pl.lit(value=True))
        looked = looked_at(months, law, facts, teams)
        rows = pl.concat([found.filter(~pl.col("is_month")), months.drop("at").join(looked, on="c").select(found.columns)])
    rows = rows.sort("at")
    rows = _with_law(rows, law)
    rows = _with_rights(rows, facts)
    rows = _with_team(rows, teams)
    return _with_delegate(rows, facts, teams, law)


def _with_law(rows: pl.DataFrame, law: Law) -> pl.DataFrame:
    table = calendar(law).rename({"act": "act_key"}).sort("since")
    by = ["kind", "family", "act_key"]
    return rows.join_asof(table, left_on="at", right_on="since", by=by, check_sortedness=False)


def _with_rights(rows: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Adhesion, ACI or project on the day (``first_right``, ``right_until``, ``undated_right``), and the caisse attached."""
    adhesions = structure_keys(facts.frame("adhesion"), facts)
    for name, bases in (("aci", ("aci",)), ("any", ("aci", "project"))):
        spans = adhesions.filter(pl.col("basis").is_in(bases))
        firsts = spans.group_by("skey").agg(
            **{f"{name}_first": pl.col("valid_from").min(), f"{name}_undated": pl.col("valid_from").is_null().any()},
        )
        until = pl.col("valid_to").fill_null(FAR).cum_max().over("skey")
        spans = (
            spans.drop_nulls("valid_from")
            .sort("skey", "valid_from")
            .select("skey", pl.col("valid_from").alias(f"{name}_from"), until.alias(f"{name}_until"))
        )
        rows = rows.join(firsts, on="skey", how="left", maintain_order="left")
        rows = rows.join_asof(
            spans.sort(f"{name}_from"), left_on="at", right_on=f"{name}_from", by="skey", check_sortedness=False
        )
    cpts = pl.col("kind") == "CPTS"
    rows = rows.with_columns(
        first_right=pl.when(cpts).then("any_first").otherwise("aci_first"),
        undated_right=pl.when(cpts).then("any_undated").otherwise("aci_undated"),
        right_until=pl.when(cpts).then("any_until").otherwise("aci_until"),
    ).drop("any_first", "any_undated", "any_until", "any_from", "aci_first", "aci_undated", "aci_until", "aci_from")
    attachments = structure_keys(facts.frame("attachment"), facts).with_columns(pl.col("valid_from").fill_null(EARLY))
    attachments = attachments.sort("valid_from", "caisse").select("skey", "valid_from", "valid_to", attached="caisse")
    rows = rows.join_asof(attachments, left_on="at", right_on="valid_from", by="skey", check_sortedness=False)
    ended = pl.col("valid_to").is_not_null() & (pl.col("at") >= pl.col("valid_to"))
    return rows.with_columns(attached=pl.when(~ended).then("attached")).drop("valid_from", "valid_to")


FAR = pl.date(9999, 12, 31)
EARLY = pl.date(1, 1, 1)


def _with_team(rows: pl.DataFrame, teams: Teams) -> pl.DataFrame:
    """The dossier in force on the day (``force``), the one whose team is read (``d``), and the first day covered."""
    by = ["skey", "family"]
    coverage = teams.coverage.sort("effective_on", maintain_order=True).rename({"d": "force"})
    rows = rows.join_asof(coverage, left_on="at", right_on="effective_on", by=by, check_sortedness=False)
    rows = rows.join(teams.firsts, on=by, how="left", maintain_order="left")
    rows = rows.join(teams.declared, on="skey", how="left", maintain_order="left")
    withdrawn = pl.col("until_on").is_not_null() & (pl.col("at") >= pl.col("until_on"))
    rows = rows.with_columns(
        covered_ever=pl.col("first_on").is_not_null(),
        withdrawn=withdrawn.fill_null(value=False),
        d=pl.coalesce("force", "first_d"),
    )
    rows = rows.with_columns(has_team=pl.col("declared") & pl.col("covered_ever") & ~pl.col("withdrawn"))
    told = teams.dossiers.select(DOSSIER)
    return rows.join(told, on="d", how="left", maintain_order="left")


DOSSIER = (
    "d",
    pl.col("number").alias("dossier"),
    "deposited_on",
    "ended",
    "ended_on",
    "purged_on",
    "purge_reason",
    "asked_on",
    "open_from",
    "resolved_on",
    "document_unique",
    "has_doctor",
    "exit_on",
    "changed_on",
)


def _with_delegate(rows: pl.DataFrame, facts: Facts, teams: Teams, law: Law) -> pl.DataFrame:
    """The delegate in the team and in the register, and the member whose number is nearest."""
    rows = rows.join(teams.members, on=["d", "delegate"], how="left", maintain_order="left")
    rows = rows.join(teams.tenure, on=["skey", "family", "delegate"], how="left", maintain_order="left")
    register = facts.frame("professional").select(
        "active_from",
        "active_to",
        "status_known",
        delegate="rpps",
        register_profession="profession",
        registered=pl.lit(value=True),
    )
    rows = rows.join(register, on="delegate", how="left", maintain_order="left")
    rows = rows.join(_near_members(rows, teams, law), on=["d", "delegate"], how="left", maintain_order="left")
    numbers = rows.select("delegate").unique().drop_nulls()
    numbers = numbers.with_columns(key_right=rpps_key(pl.col("delegate")))
    rows = rows.join(numbers, on="delegate", how="left", maintain_order="left")
    return rows.with_columns(
        pl.col("in_team").fill_null(value=False),
        pl.col("registered").fill_null(value=False),
        known_profession=pl.coalesce("register_profession", "declared_profession", "profession"),
    )


def _near_members(rows: pl.DataFrame, teams: Teams, law: Law) -> pl.DataFrame:
    """For each number that is in no team it is claimed for: the one delegate of that team within a few edits, if only one."""
    limit = law.number("near_rpps_max_edits") or 0
    lost = rows.filter(pl.col("in_team").is_null()).select("d", "delegate").drop_nulls().unique()
    pairs = lost.join(teams.members.select("d", near_rpps="delegate"), on="d")
    gap = (pl.col("delegate").str.len_chars().cast(pl.Int64) - pl.col("near_rpps").str.len_chars().cast(pl.Int64)).abs()
    pairs = pairs.filter(gap <= limit)
    near = pairs.with_columns(edits=edits(pairs["delegate"], pairs["near_rpps"])).filter(pl.col("edits") <= limit)
    return (
        near.group_by("d", "delegate")
        .agg(pl.col("near_rpps").min(), several=pl.len())
        .filter(pl.col("several") == 1)
        .drop("several")
    )
