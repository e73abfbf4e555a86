"""Who is financed twice: FIR, FMIS, ACI of the CPTS and accord of the centres side by side, one beneficiary at a time.

Two financings are of one beneficiary when they share a FINESS or a SIRET. Whether they are of one action is said by their words
alone: the same words are told (rule cds.CDS71), other words of one theme too, as likely; words of no common theme are shown to
be looked at. No amount is ever held for it.
"""

from collections.abc import Iterable

import polars as pl

from checks.cpts.words import plain, themes
from contracts_schema import cpts_facts, ecds

FIR, FMIS, ACI, ACCORD = "FIR", "FMIS", "ACI", "ACCORD"
CONTRACT_YEARS = 5
FINESS, SIRET = 9, 14
"""Characters of these numbers."""
FINANCINGS = pl.Schema(
    {
        "beneficiary": pl.String(),
        "action": pl.String(),
        "funding": pl.String(),
        "starts_on": pl.Date(),
        "ends_on": pl.Date(),
    }
)
"""One row a financed action: ``funding`` as ``cpts_facts.fundings``; ``ends_on`` null: not ended, or not known."""
WITH_KEYS = pl.Schema({"keys": pl.List(pl.String()), **{name: FINANCINGS[name] for name in list(FINANCINGS)[1:]}})
OVERLAPS = pl.Schema(
    {
        "beneficiary": pl.String(),
        "funding": pl.String(),
        "action": pl.String(),
        "other_funding": pl.String(),
        "other_action": pl.String(),
        "starts_on": pl.Date(),
        "ends_on": pl.Date(),
        "verdict": pl.String(),
        "theme": pl.String(),
    }
)
"""Pairs of financings of one beneficiary over common days; ``ends_on`` null: as far as is known they go on. ``verdict``: same,
theme (other words, of a common ``theme``), other (words that differ, gathered), unknown (an action is not said)."""


def of_form(rows: pl.DataFrame) -> pl.DataFrame:
    """``WITH_KEYS`` of the form ``financements``."""
    return _with_keys(rows, ["beneficiary"])


def of_commitments(rows: pl.DataFrame) -> pl.DataFrame:
    """Those of notified FIR commitments: from their day of effect (else 1 January) to the end of the campaign (derived)."""
    given = rows.filter(pl.col("notified_cents") > 0)
    start = pl.coalesce("effective_on", pl.date(pl.col("campaign"), 1, 1))
    told = given.select(
        "beneficiary", "siret", action="measure_3", funding=pl.lit(FIR), starts_on=start,
        ends_on=pl.max_horizontal(start, pl.date(pl.col("campaign"), 12, 31)),
    )  # fmt: skip
    return _with_keys(told, ["beneficiary", "siret"])


def of_missions(contracts: pl.DataFrame, missions: pl.DataFrame) -> pl.DataFrame:
    """Those of the missions of contracts of CPTS, from their start to the end of the contract."""
    names = {entry["code"]: entry["label_fr"] for entry in cpts_facts.agreement()["missions"]}
    known = missions.join(contracts, on="contract_id", how="inner", maintain_order="left").filter(
        pl.col("started_on").is_not_null()
    )
    told = known.select(
        "siret", "finess_ej", action=pl.col("mission").replace_strict(names, default=pl.col("mission"), return_dtype=pl.String),
        funding=pl.lit(ACI), starts_on="started_on",
        ends_on=pl.col("signed_on").dt.offset_by(f"{CONTRACT_YEARS}y") - pl.duration(days=1),
    )  # fmt: skip
    return _with_keys(told, ["siret", "finess_ej"])


def of_subsidies(subsidies: pl.DataFrame) -> pl.DataFrame:
    """Those of FMIS subsidies (``subsidies.follow``), from notification to the last useful day. Their action is not said."""
    none = pl.lit(None, pl.String)
    told = subsidies.select("finess_ej", action=none, funding=pl.lit(FMIS), starts_on="notified_on", ends_on="last_day")
    return _with_keys(told, ["finess_ej"])


def of_centres(identification: pl.DataFrame, rfs: pl.DataFrame) -> pl.DataFrame:
    """Those of the accord: what a centre answered OUI to, over the reference year. One row a centre in ``identification``."""
    labels = {code: one.label_fr for code, one in ecds.indicators().items()}
    last = rfs.sort("entered_at", "line", nulls_last=False).unique(["finess_et", "code"], keep="last", maintain_order=True)
    yes = last.filter(pl.col("answer") == "oui").join(
        identification.select("finess_et", "siret"), on="finess_et", how="left", maintain_order="left"
    )
    told = yes.select(
        "finess_et", "siret",
        action=pl.col("code").replace_strict(labels, default=pl.col("code"), return_dtype=pl.String),
        funding=pl.lit(ACCORD), starts_on=pl.date(pl.col("year"), 1, 1), ends_on=pl.date(pl.col("year"), 12, 31),
    )  # fmt: skip
    return _with_keys(told, ["finess_et", "siret"])


def _with_keys(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    said = [pl.when(~pl.col(key).cast(pl.String).str.contains("^0*$")).then(pl.col(key).cast(pl.String)) for key in keys]
    told = rows.with_columns(keys=pl.concat_list(said).list.drop_nulls())  # zeros are typed where there is no number
    return told.select(pl.col(name).cast(kind) for name, kind in WITH_KEYS.items())


def identified(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """``FINANCINGS`` of these ``WITH_KEYS``: who shares a number, through others too, has one name, a FINESS before a SIRET."""
    rows = pl.concat([pl.DataFrame(schema=WITH_KEYS), *parts])
    leader: dict[str, str] = {}

    def of(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for keys in rows["keys"].unique(maintain_order=True).to_list():
        for key in keys[1:]:
            first, other = sorted((of(keys[0]), of(key)), key=_order)
            leader[other] = first
    named = [of(keys[0]) if keys else None for keys in rows["keys"].to_list()]
    return rows.select(pl.Series("beneficiary", named, pl.String), *list(FINANCINGS)[1:])


def _order(number: str) -> tuple[int, str]:
    """A FINESS before a SIRET, both before what is neither."""
    return {FINESS: 0, SIRET: 1}.get(len(number), 2), number


def overlaps(financings: pl.DataFrame) -> pl.DataFrame:
    """``OVERLAPS`` of ``FINANCINGS``: between fundings of different kinds, each pair told once."""
    order = pl.col("funding").replace_strict({kind: place for place, kind in enumerate(cpts_facts.fundings())}, default=99)
    known = financings.filter(pl.col("beneficiary").is_not_null() & pl.col("starts_on").is_not_null()).unique(
        maintain_order=True
    )
    known = known.with_columns(same=plain(pl.col("action")), about=themes(pl.col("action")), place=order)
    pairs = known.join(known, on="beneficiary", suffix="_other", maintain_order="left_right").filter(
        pl.col("place") < pl.col("place_other"),
        pl.col("ends_on").is_null() | (pl.col("starts_on_other") <= pl.col("ends_on")),
        pl.col("ends_on_other").is_null() | (pl.col("starts_on") <= pl.col("ends_on_other")),
    )
    common = pl.col("about").list.set_intersection("about_other").list.sort().list.join(", ")
    verdict = (
        pl.when(pl.col("action").is_null() | pl.col("action_other").is_null()).then(pl.lit("unknown"))
        .when(pl.col("same") == pl.col("same_other")).then(pl.lit("same"))
        .when(common != "").then(pl.lit("theme")).otherwise(pl.lit("other"))
    )  # fmt: skip
    told = pairs.select(
        "beneficiary", "funding", "action", other_funding="funding_other", other_action="action_other",
        starts_on=pl.max_horizontal("starts_on", "starts_on_other"), ends_on=pl.min_horizontal("ends_on", "ends_on_other"),
        verdict=verdict, theme=pl.when(verdict == "theme").then(common),
    )  # fmt: skip
    same = pl.col("verdict").is_in(["same", "theme"])
    gathered = told.filter(~same).group_by("beneficiary", "funding", "other_funding", "verdict", maintain_order=True).agg(
        pl.col("action", "other_action").drop_nulls().unique().sort().str.join(" ; "),
        pl.col("starts_on").min(),
        pl.when(pl.col("ends_on").null_count() == 0).then(pl.col("ends_on").max()).alias("ends_on"),
        theme=pl.lit(None, pl.String),
    )  # fmt: skip
    found = pl.concat([told.filter(same), gathered.select(told.columns)])
    blank = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in ("action", "other_action")]
    return found.with_columns(blank).select(pl.col(name).cast(kind) for name, kind in OVERLAPS.items()).sort(
        "beneficiary", "funding", "other_funding", "verdict", "starts_on", "action", "other_action"
    )  # fmt: skip
