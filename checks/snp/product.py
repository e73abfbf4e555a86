"""The tables of the products of the reconciliation: lines, findings, bordereaux and structures for a CPAM, acts for an ARS.

Pure polars over what was judged and decided: judges nothing, and reads no fact of a patient. Same arguments, same tables, in
the contract's columns and in the order in which people read them.
"""

import polars as pl

from checks.snp.decided import PAYS, proposed_due
from checks.snp.facts import Facts
from checks.snp.identity import keyed
from checks.snp.law import Law
from checks.snp.outcome import ASK
from checks.snp.product_findings import LINE, reasons, results, spoken, told, words
from checks.snp.product_letters import letters
from checks.snp.reconcile import Reconciliation
from contracts_schema.french import euros_of
from contracts_schema.geography import region_of
from contracts_schema.products import decisions, products

REPLACED = "REPLACED"
MONEY = (
    "claimed_cents",
    "payable_firm_cents",
    "payable_reserved_cents",
    "rejected_cents",
    "pending_cents",
    "reduction_cents",
    "paid_cents",
    "difference_cents",
)
"""Claimed = payable firm + payable under reserve + rejected + pending + reduction: per line, and so for every sum of lines."""
KINDS = {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean(), "date": pl.Date()}
STRUCTURE = ("caisse", "structure_key")
ORDER = ("caisse", "structure_name", "structure_key", "received_on", "bordereau_id")
FIRM, RESERVED = "Ferme", "Sous réserve"


def tables(reconciliation: Reconciliation, facts: Facts, decided: pl.DataFrame, law: Law) -> dict[str, pl.DataFrame]:
    """The tables by the name that product contracts give to their view, each in the contract's columns and types.

    ``decided``: the lines of the reconciliation after the decisions of people (``decided.DECIDED``). Lines of live bordereaux,
    and those that were paid and that the replacing bordereau no longer claims: these claim nothing any more.
    """
    headers = _headers(facts)
    findings = told(reconciliation.findings, facts, law)
    lines = _lines(facts, headers, decided, findings)
    bordereaux = _bordereaux(headers, lines, findings)
    made = {
        "out_cpam__bordereau_line": lines.sort(*ORDER, "line_number"),
        "out_cpam__bordereau_finding": _findings(headers, lines, findings).sort(*ORDER, "note", "line_number", "place"),
        "out_cpam__bordereau": bordereaux.sort(ORDER),
        "out_cpam__bordereau_structure": _structures(bordereaux, lines, findings).sort(ORDER[:3]),
        "out_cpam__bordereau_payment": _payments(reconciliation.unmatched, headers),
        "out_ars__snp_protocol": _protocols(facts, headers, lines),
    }
    return {name: _as_contract(name, rows) for name, rows in made.items()}


def _headers(facts: Facts) -> pl.DataFrame:
    """What the tables say of each bordereau, with ``live`` and the key of its structure, confirmed links followed."""
    replaced = facts.bordereau["replaces"].drop_nulls()
    return keyed(facts.bordereau, facts, "bordereau_id").select(
        "bordereau_id",
        "caisse",
        "file",
        "received_on",
        "period_from",
        "period_to",
        "declared_total_cents",
        "siret",
        "finess",
        live=pl.col("superseded_by").is_null() & ~pl.col("bordereau_id").is_in(replaced.implode()),
        structure_key="skey",
        structure_name=pl.col("structure_name").fill_null("Sans nom"),
        structure_kind="structure_kind",
    )


def _lines(facts: Facts, headers: pl.DataFrame, decided: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The lines that are shown, with their texts."""
    shown = decided.filter(pl.col("live") | (pl.col("difference_cents") != 0))
    live, cents = pl.col("live"), pl.col("payable_cents")
    due = shown.select(pl.exclude("outcome"), outcome="proposed_outcome").select(proposed_due()).to_series()
    money = {name: pl.when(live).then(name).otherwise(0) for name in MONEY[3:6]}
    lines = shown.with_columns(
        asked_cents="claimed_cents",
        proposed_due_cents=due,
        decision_position=pl.col("decision_position").fill_null(0),
        claimed_cents=pl.when(live).then("claimed_cents").otherwise(0),
        payable_firm_cents=pl.when(live & pl.col("firm")).then(cents).otherwise(0),
        payable_reserved_cents=pl.when(live & ~pl.col("firm")).then(cents).otherwise(0),
        outcome=pl.when(live).then("outcome").otherwise(pl.lit(REPLACED)),
        **money,
    )
    written = facts.line.select(*LINE, "sheet", "row", "label", "family", "act", "day", "month", "rpps", "count", "count_raw")
    lines = lines.join(written, on=LINE, how="left", maintain_order="left").join(headers.drop("live"), on="bordereau_id")
    lines = lines.join(reasons(findings, lines), on=LINE, how="left", maintain_order="left")
    return _spoken(lines)


def _spoken(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with their codes in French, in columns beside."""
    said, difference = words("words.yaml"), pl.col("difference_cents")
    paid = pl.format(
        "Le bordereau a été remplacé et le nouveau ne demande plus cette ligne : {} déjà payés.", euros_of(pl.col("paid_cents"))
    )
    decision = pl.col("decision").is_not_null()
    decided = pl.when(decision).then(
        pl.format(
            "Décidé : {}, « {} ». Sans cette décision : {}. ",
            pl.col("decision").replace(decisions()).str.to_lowercase(),
            "decision_reason",
            pl.col("proposed_outcome").replace(results()).str.to_lowercase(),
        )
    )
    contradicted = pl.when("contradicted").then(pl.lit(said["decided"]["contradicted"]))
    return lines.with_columns(
        result=pl.col("outcome").replace(results()),
        protocol=spoken("family", "families"),
        version_fr=spoken("version", "versions"),
        act_fr=spoken("act", "acts"),
        month=pl.coalesce("day", "month").dt.strftime("%Y-%m"),
        rpps=pl.when(pl.col("rpps").str.contains(r"^[0-9]{8,11}$")).then("rpps"),
        standing=pl.when("firm").then(pl.lit(FIRM)).otherwise(pl.lit(RESERVED)),
        reason=pl.when("live").then(pl.concat_str(decided, "reason", ignore_nulls=True)).otherwise(paid),
        change=pl.when("live").then("change"),
        proposal=pl.when((difference > 0) & (pl.col("paid_cents") > 0))
        .then(pl.lit(said["differences"]["more"]))
        .when(difference > 0)
        .then(pl.lit(said["differences"]["first"]))
        .when(difference < 0)
        .then(pl.lit(said["differences"]["less"])),
        decision_fr=pl.col("decision").replace(decisions()),
        decision_state=pl.when(decision).then(pl.coalesce(contradicted, pl.lit(said["decided"]["stands"]))),
        proposed_result=pl.when(decision).then(pl.col("proposed_outcome").replace(results())),
        proposed_payable_cents=pl.when(decision).then("proposed_payable_cents"),
    )


def _findings(headers: pl.DataFrame, lines: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The findings about the lines that are shown and about live bordereaux; line 0 stands for all of a bordereau's lines."""
    places = lines.select(*LINE, "line_id", "sheet", "row")
    counts = lines.group_by("bordereau_id").agg(count=pl.len().cast(pl.Int64))
    own = findings.drop("line_id").join(places, on=LINE)
    whole = findings.filter(pl.col("line_number").is_null()).join(headers.filter("live"), on="bordereau_id", how="semi")
    whole = whole.drop("line_id").join(counts, on="bordereau_id", how="left", maintain_order="left")
    whole = whole.with_columns(
        lines=pl.coalesce("lines", "count", 0),
        line_number=pl.lit(0, pl.Int64),
        line_id=pl.lit(None, pl.String),
        sheet=pl.lit(None, pl.String),
        row=pl.lit(None, pl.Int64),
    )
    rows = pl.concat([own, whole.select(own.columns)]).join(headers, on="bordereau_id")
    return rows.rename({"change_fr": "change"}).with_columns(
        pl.col("change").replace("", None), asked_of=pl.when(pl.col("rank") == ASK).then("asked_of")
    )


def _bordereaux(headers: pl.DataFrame, lines: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """One row a bordereau that is live, or that has a line shown."""
    totals = _totals(lines, ["bordereau_id"])
    own = findings.filter(pl.col("line_number").is_null(), ~pl.col("note")).sort("rank", "place", descending=[True, False])
    said = own.group_by("bordereau_id").agg(pl.col("reason").str.join(" "))
    rows = headers.join(totals, on="bordereau_id", how="left", maintain_order="left").join(
        said, on="bordereau_id", how="left", maintain_order="left"
    )
    rows = rows.filter(pl.col("live") | pl.col("lines").is_not_null())
    return rows.with_columns(pl.col(totals.columns[1:]).fill_null(0))


def _structures(bordereaux: pl.DataFrame, lines: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """One row a structure and caisse, named as on its last bordereau, with the letter that asks what is to be asked."""
    last = bordereaux.sort("received_on", "bordereau_id").group_by(STRUCTURE, maintain_order=True)
    named = last.agg(pl.col("structure_name", "structure_kind", "siret", "finess").last(), bordereaux=pl.len())
    rows = named.join(_totals(lines, list(STRUCTURE)), on=STRUCTURE, how="left", maintain_order="left")
    sums = [name for name in rows.columns if name.startswith("lines") or name in (*MONEY, "supplement_cents", "undue_cents")]
    rows = rows.with_columns(pl.col(sums).fill_null(0))
    return rows.join(letters(lines, findings), on=STRUCTURE, how="left", maintain_order="left")


def _payments(unmatched: pl.DataFrame, headers: pl.DataFrame) -> pl.DataFrame:
    """The payments that are told of no line: an agent must know of them, since such a line may be paid again."""
    caisses = headers["caisse"].drop_nulls().unique()
    found = unmatched.sort("paid_on", "siret", "ref", "paid_cents", nulls_last=True)
    return found.with_columns(
        rank=pl.int_range(1, pl.len() + 1), caisse=pl.lit(caisses[0] if caisses.len() else None, pl.String)
    )


def _totals(lines: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The sums of the lines, and how many of them there are of each kind."""
    outcome, difference = pl.col("outcome"), pl.col("difference_cents")
    return lines.group_by(by, maintain_order=True).agg(
        pl.col(MONEY).sum(),
        lines=pl.len(),
        lines_payable=outcome.is_in(PAYS).sum(),
        lines_rejected=(outcome == "REJECT").sum(),
        lines_asked=(outcome == "ASK").sum(),
        lines_waiting=outcome.is_in(["HOLD", "REDIRECT"]).sum(),
        lines_replaced=(outcome == REPLACED).sum(),
        supplement_cents=difference.clip(lower_bound=0).sum(),
        undue_cents=-difference.clip(upper_bound=0).sum(),
    )


def _protocols(facts: Facts, headers: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Acts and lines of live bordereaux, neither rejected nor another caisse's, by structure, protocol and month."""
    kept = lines.filter("live", ~pl.col("outcome").is_in(["REJECT", "REDIRECT"])).drop_nulls(["family"])
    once = pl.when(pl.col("count_raw").is_null()).then(1)
    acts = facts.frame("act").select(
        *LINE, act_month=pl.col("day").dt.strftime("%Y-%m"), act_count=pl.col("count").fill_null(1)
    )
    rows = kept.join(acts, on=LINE, how="left").with_columns(
        month=pl.coalesce("act_month", "month"),
        acts=pl.coalesce("act_count", "count", once, 0).clip(lower_bound=0),
    )
    rows = rows.drop_nulls(["month"]).join(_regions(facts, headers), on="bordereau_id")
    found = (
        rows.sort("received_on", *LINE)
        .group_by("region", "structure_key", "family", "month", maintain_order=True)
        .agg(
            pl.col("structure_name", "structure_kind", "siret", "finess", "protocol").last(),
            acts=pl.col("acts").sum(),
            lines=pl.struct(LINE).n_unique(),
            bordereaux=pl.col("bordereau_id").str.head(12).unique().sort().str.join(" "),
        )
    )
    return found.sort("region", "structure_key", "family", "month")


def _regions(facts: Facts, headers: pl.DataFrame) -> pl.DataFrame:
    """The region of each bordereau: of the FINESS written or registered; without one, that of all the others of its caisse
    when they agree. A caisse's code itself names no region."""
    register = facts.frame("structure").drop_nulls(["siret", "finess"]).sort("finess").unique("siret", keep="first")
    known = headers.join(register.select("siret", registered="finess"), on="siret", how="left", maintain_order="left")
    known = known.with_columns(place=pl.coalesce("finess", "registered"))
    places = known["place"].drop_nulls().unique()
    regions = pl.DataFrame({"place": places, "of_place": pl.Series([region_of(place) for place in places], dtype=pl.String)})
    found = known.join(regions, on="place", how="left", maintain_order="left")
    shared = (
        found.drop_nulls(["of_place", "caisse"])
        .group_by("caisse")
        .agg(of_caisse=pl.col("of_place").first(), regions=pl.col("of_place").n_unique())
    )
    found = found.join(shared.filter(pl.col("regions") == 1), on="caisse", how="left", maintain_order="left")
    return found.select("bordereau_id", region=pl.coalesce("of_place", "of_caisse"))


def _as_contract(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of the contract that are in the view, in its order and types."""
    table = next(table for product in products().values() for table in product.tables if table.view == view)
    return rows.select(pl.col(column.name).cast(KINDS[column.type]) for column in table.columns if column.name != "masked")
