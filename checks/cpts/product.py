"""The tables of the product about CPTS, FIR and FMIS: contracts, their parts, commitments, subsidies, overlapping financings.

Judges nothing: what is said of these is computed by the other modules of this package.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from checks.cds.product import EFFECTS_FR, STATES_FR, named
from checks.cds.ruling import FIRED, french_instant, hundredths
from checks.cpts.agreement import AMOUNTS, CONTRACTS, side_by_side, tier_at_signature, year_of
from checks.cpts.doubles import doubles, others
from checks.cpts.financings import FINANCINGS, overlaps
from contracts_schema import cpts_facts
from contracts_schema.cpts_facts import GRANT
from contracts_schema.parameters import Attestation
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.products import products
from contracts_schema.rules import catalogue

LISTED = ("campaign", "beneficiary", "beneficiary_kind", "legal_name", "measure_3", "order_number", "effective_on",
          "notified_cents", "notified", "payer", "occurrence", "file", "line")  # fmt: skip
"""Columns of commitments that are published."""
ENTERED = ("value_centi", "value_text", "unit", "evidence_on", "entered_at", "file", "line")
REPORT = r"rapport d.\s?activit"
"""An entry that is the activity report of a year of contract, by its words (proposal)."""
VERDICTS_FR = {"same": "Même action", "theme": "Sans doute la même action, d'après ses mots",
               "other": "À vérifier : actions de libellés différents",
               "unknown": "Non vérifiable : une action n'est pas dite"}  # fmt: skip
KINDS = {"string": pl.String(), "integer": pl.Int64(), "boolean": pl.Boolean(), "date": pl.Date()}


@dataclass(frozen=True)
class Region:
    """What is known of a region. ``contracts``: ``agreement.CONTRACTS``; ``parts``: ``agreement.AMOUNTS`` of one year of
    contract or several; ``commitments``: the rows of ``connectors.cpts.read_fir``, ``entries`` those of the form ``saisie``
    (None: none came); ``subsidies``: ``subsidies.follow``; ``financings``: ``financings.FINANCINGS``; ``findings``:
    ``ruling.FINDINGS``; ``attested``: by its ARS; ``on``: the day of the judgement."""

    code: str
    on: date
    contracts: pl.DataFrame
    parts: pl.DataFrame
    findings: pl.DataFrame
    commitments: pl.DataFrame | None = None
    entries: pl.DataFrame | None = None
    subsidies: pl.DataFrame | None = None
    financings: pl.DataFrame | None = None
    attested: tuple[Attestation, ...] = ()


def tables(of: Region) -> dict[str, pl.DataFrame]:
    """The tables of a region by the name of their view."""
    made = {
        "out_ars__cpts_contract": _contracts(of),
        "out_ars__cpts_part": _parts(of),
        "out_ars__cpts_indicator": _numbered(_indicators(of)),
        "out_ars__fir_commitment": _numbered(_commitments(of)),
        "out_ars__fmis_subsidy": pl.DataFrame(schema={"finess_ej": pl.Null()}) if of.subsidies is None else of.subsidies,
        "out_ars__cpts_overlap": _numbered(_overlaps(of)),
        "out_ars__cpts_finding": _numbered(told_of(of.findings)),
        "out_ars__cpts_source": side_by_side().rename({"default": "kept"}),
    }
    return {name: _as_contract(name, rows.with_columns(region=pl.lit(of.code))) for name, rows in made.items()}


def _commitments(of: Region) -> pl.DataFrame:
    """Every commitment that counts, with the orders that may be the same one under another number."""
    if of.commitments is None:
        return pl.DataFrame(schema=dict.fromkeys((*LISTED, "likely_double"), pl.Null()))
    twice = others(doubles(of.commitments))
    key = [name for name in twice.columns if name != "likely_double"]
    rows = of.commitments.join(twice, on=key, how="left", nulls_equal=True, maintain_order="left")
    return rows.sort("file", "line").with_columns(pl.col("beneficiary_kind").str.to_uppercase())


def _contracts(of: Region) -> pl.DataFrame:
    """Every contract received, those of a type without figures too."""
    rows = []
    for one in of.contracts.iter_rows(named=True):
        kind, signed = cpts_facts.contract_kinds()[one["kind"]], one["signed_on"]
        ends = year_of(signed, kind["years"]).end - timedelta(days=1) if signed and kind["years"] else None
        rows.append(one | {
            "kind_fr": kind["label_fr"],
            "parties": ", ".join(kind["parties"]) or None,
            "ends_on": ends,
            "expected_tier": tier_at_signature(one, of.attested, told=False) if kind["computed"] else None,
            "computed": kind["computed"],
            "remark": None if kind["computed"] else "type de contrat sans paramètre connu : gardé, jamais calculé",
        })  # fmt: skip
    texts = dict.fromkeys(("kind_fr", "parties", "expected_tier", "remark"), pl.String())
    added: dict[str, pl.DataType] = {**texts, "ends_on": pl.Date(), "computed": pl.Boolean()}
    return pl.DataFrame(rows, schema=pl.Schema(dict(CONTRACTS) | added))


def _parts(of: Region) -> pl.DataFrame:
    """With the day of the activity report of the year of contract, when one came: its absence is shown and blocks nothing."""
    told = pl.concat([pl.DataFrame(schema=AMOUNTS), of.parts]).with_columns(
        mission_fr=_mission(),
        status_fr=pl.col("status").replace_strict(STATUSES_FR, return_dtype=pl.String),
        reason="reason_fr",
    )
    entries = of.entries
    if entries is None:
        return told.with_columns(report_on=pl.lit(None, pl.Date))
    reports = entries.filter(pl.col("indicator").str.to_lowercase().str.contains(REPORT))
    days = reports.group_by("contract_id", "contract_year").agg(report_on=pl.col("evidence_on").max())
    return told.join(days, on=["contract_id", "contract_year"], how="left", maintain_order="left")


def _indicators(of: Region) -> pl.DataFrame:
    """The last entry of each indicator of a contract, which sets its own."""
    names = ["contract_id", "mission", "part", "contract_year", "indicator"]
    if of.entries is None:
        return pl.DataFrame(schema=dict.fromkeys([*names, *ENTERED, "mission_fr", "value", "entered"], pl.Null()))
    last = of.entries.sort("entered_at", "line", nulls_last=False).unique(names, keep="last", maintain_order=True)
    return last.sort(names).with_columns(
        mission_fr=_mission(),
        part=pl.col("part").str.to_uppercase(),
        value=pl.coalesce(hundredths(pl.col("value_centi")), "value_text"),
        entered=french_instant(pl.col("entered_at")).str.strip_suffix(" (heure de Paris)"),
    )


def _overlaps(of: Region) -> pl.DataFrame:
    rows = overlaps(pl.DataFrame(schema=FINANCINGS) if of.financings is None else of.financings)
    names = [
        pl.col(name).replace_strict(cpts_facts.fundings(), return_dtype=pl.String) for name in ("funding", "other_funding")
    ]
    return rows.with_columns(*names, verdict=pl.col("verdict").replace_strict(VERDICTS_FR, return_dtype=pl.String))


def _mission() -> pl.Expr:
    names = {entry["code"]: entry["label_fr"] for entry in cpts_facts.agreement()["missions"]} | {GRANT: "Fonctionnement"}
    return pl.col("mission").replace_strict(names, default=pl.col("mission"), return_dtype=pl.String)


def told_of(findings: pl.DataFrame) -> pl.DataFrame:
    """The findings with their words."""
    rules = catalogue()
    status = {name: STATUSES_FR.get(rule.status, rule.status) for name, rule in rules.items()}
    sources = {name: f"{named(rule.source)} ({status[name]})" if rule.source else status[name] for name, rule in rules.items()}
    fired = pl.col("severity").replace_strict(STATES_FR, return_dtype=pl.String)
    return findings.sort("rule", "item", "line", "reason_fr", nulls_last=True).with_columns(
        rule_fr=pl.col("rule").replace_strict({name: rule.label_fr for name, rule in rules.items()}, return_dtype=pl.String),
        source=pl.col("rule").replace_strict(sources, return_dtype=pl.String),
        state=pl.when(pl.col("status") == FIRED).then(fired).otherwise(pl.lit("Non vérifiable")),
        effect_fr=pl.col("effect").replace_strict(EFFECTS_FR, return_dtype=pl.String),
        reason="reason_fr",
        change="change_fr",
    )


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


def _as_contract(view: str, rows: pl.DataFrame) -> pl.DataFrame:
    table = next(table for one in products().values() for table in one.tables if table.view == view)
    empty = [column.name for column in table.columns if column.name not in rows.columns]
    if empty and rows.height:
        raise KeyError(f"{view}: {', '.join(empty)}")
    told = rows.with_columns(pl.lit(None).alias(name) for name in empty)
    return told.select(pl.col(column.name).cast(KINDS[column.type]) for column in table.columns).sort(table.keys)
