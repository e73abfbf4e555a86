"""The team in force: the dossiers of a structure that cover a protocol, folded in the order of deposit.

Gives small frames to join on; reads no bordereau.
"""

from dataclasses import dataclass

import polars as pl

from checks.snp.facts import Facts

RETENTION = ("expired", "user_expired", "procedure_removed", "manager_request")
"""Reasons of a deletion that takes no right away once a dossier was accepted."""
DOUBTFUL = ("instructeur_request", "user_removed")
ENDS = {"refuse": "refusé", "sans_suite": "classé sans suite", "withdrawn": "retiré"}
WORDS = {
    **ENDS,
    "accepte": "accepté",
    "purged": "supprimé",
    "correction_asked": "correction demandée",
    "correction_resolved": "correction résolue",
    "redeposit": "redéposé",
}


@dataclass(frozen=True)
class Teams:
    """``dossiers``: one row a dossier, ``d`` its place. ``coverage``: skey, family, effective_on, until_on, d, contradictory,
    in the order of the fold. ``firsts``: skey, family, first_on, first_d. ``tenure``: skey, family, delegate, member_first,
    member_last, the first and last day on which a declaration names the delegate. ``members``: d, delegate, in_team and the
    state of the delegate's pieces. ``rosters``: d and every professional of the team, whatever the role. ``declared``: skey and
    its protocols with the day of each, as text."""

    dossiers: pl.DataFrame
    coverage: pl.DataFrame
    firsts: pl.DataFrame
    tenure: pl.DataFrame
    members: pl.DataFrame
    rosters: pl.DataFrame
    declared: pl.DataFrame


def teams(facts: Facts, links: pl.DataFrame) -> Teams:
    """Fold the dossiers that ``links`` (skey, number) gives to each structure."""
    dossiers = _dossiers(facts)
    places = dossiers.select("number", "d", "deposited_at", "deposited_on", "signature")
    coverage = (
        links.join(facts.frame("dossier_protocol"), on="number")
        .join(places, on="number")
        .sort("skey", "family", "effective_on", "deposited_at", "number")
        .with_columns(
            contradictory=pl.col("signature").n_unique().over("skey", "family", "deposited_on") > 1,
        )
    )
    firsts = coverage.group_by("skey", "family", maintain_order=True).agg(
        first_on=pl.col("effective_on").first(),
        first_d=pl.col("d").filter(pl.col("effective_on") == pl.col("effective_on").first()).last(),
    )
    named = facts.frame("member").drop_nulls("rpps").join(places.select("number", "d"), on="number")
    delegates = named.filter(pl.col("role") == "delegate").rename({"rpps": "delegate"})
    members = delegates.group_by("d", "delegate").agg(
        in_team=pl.lit(value=True),
        piece_missing=pl.col("piece_missing").any(),
        piece_pending=pl.col("piece_pending").any(),
        declared_profession=pl.col("profession").drop_nulls().first(),
    )
    tenure = (
        coverage.join(members.select("d", "delegate"), on="d")
        .group_by("skey", "family", "delegate")
        .agg(member_first=pl.col("effective_on").min(), member_last=pl.col("effective_on").max())
    )
    rosters = named.select("d", "rpps").unique()
    since = pl.format("{} depuis le {}", "family", pl.col("first_on").dt.strftime("%d/%m/%Y"))
    declared = firsts.sort("skey", "family").group_by("skey").agg(declared_families=since.str.join(", "))
    return Teams(dossiers, coverage.select(COVERAGE), firsts, tenure, members, rosters, declared)


COVERAGE = ("skey", "family", "effective_on", "until_on", "d", "contradictory")


def _dossiers(facts: Facts) -> pl.DataFrame:
    """One row a dossier: how it ended, its corrections, its team and its protocols, and its timeline as text."""
    found = facts.frame("dossier").sort("deposited_at", "number").with_row_index("d")
    for part in (_endings(facts), _corrections(facts, found), _compositions(facts), _protocols(facts, found)):
        found = found.join(part, on="number", how="left", maintain_order="left")
    paris = pl.col("deposited_at").dt.convert_time_zone("Europe/Paris").dt.strftime("%d/%m/%Y %H:%M (%:z)")
    return found.with_columns(
        deposit=paris,
        timeline=pl.concat_str(pl.lit("déposé le "), paris, pl.col("events").fill_null("")),
        signature=pl.concat_str(pl.col("team").fill_null(""), pl.lit("|"), pl.col("protocols").fill_null("")),
        has_doctor=pl.col("has_doctor").fill_null(value=False),
    )


def _endings(facts: Facts) -> pl.DataFrame:
    events = facts.frame("dossier_event").sort("number", "at", "kind")
    treated = events.filter(pl.col("kind").is_in([*ENDS, "accepte"]))
    doubt = (pl.col("kind") == "withdrawn") & pl.col("reason").is_in(DOUBTFUL)
    last = treated.group_by("number", maintain_order=True).agg(
        ended=pl.when(doubt).then(pl.lit("doubtful")).otherwise("kind").last(),
        ended_on=pl.col("on").last(),
    )
    purged = (
        events.filter(pl.col("kind") == "purged")
        .group_by("number", maintain_order=True)
        .agg(purged_on=pl.col("on").last(), purge_reason=pl.col("reason").last())
    )
    day = pl.col("on").dt.strftime("%d/%m/%Y")
    word = pl.col("kind").replace(WORDS)
    told = events.group_by("number", maintain_order=True).agg(
        events=pl.concat_str(pl.lit(" ; "), word, pl.lit(" le "), day).str.join("")
    )
    return told.join(last, on="number", how="left").join(purged, on="number", how="left")


def _corrections(facts: Facts, dossiers: pl.DataFrame) -> pl.DataFrame:
    """``open_from``: the day from which an open request weighs on acts; ``resolved_on``: the last resolution."""
    kinds = ("correction_asked", "correction_resolved")
    events = facts.frame("dossier_event").filter(pl.col("kind").is_in(kinds)).sort("number", "at", "kind")
    threads = events.group_by("number", pl.col("subject").fill_null(""), maintain_order=True).agg(
        asked_on=pl.col("on").filter(pl.col("kind") == "correction_asked").min(),
        incomplete=(pl.col("reason") == "incomplete").any(),
        is_open=pl.col("kind").last() == "correction_asked",
        resolved=pl.when(pl.col("kind") == "correction_resolved").then("on").max(),
    )
    threads = threads.join(dossiers.select("number", "deposited_on"), on="number")
    since = pl.when(pl.col("incomplete").fill_null(value=False)).then("deposited_on").otherwise("asked_on")
    return threads.group_by("number").agg(
        asked_on=pl.col("asked_on").min(),
        open_from=pl.when(pl.col("is_open")).then(since).min(),
        resolved_on=pl.when(~pl.col("is_open")).then("resolved").max(),
    )


def _compositions(facts: Facts) -> pl.DataFrame:
    professionals = facts.frame("professional").select("rpps", exit_on="active_to")
    doctor = (pl.col("role") == "delegating") & (pl.col("profession").fill_null("MEDECIN") == "MEDECIN")
    return (
        facts.frame("member")
        .join(professionals, on="rpps", how="left")
        .group_by("number")
        .agg(
            team=pl.concat_str("role", pl.col("rpps").fill_null("?"), separator=":").sort().str.join(","),
            team_fr=pl.concat_str(pl.lit("délégués : "), _named("delegate"), pl.lit(" ; délégants : "), _named("delegating")),
            has_doctor=doctor.any(),
            exit_on=pl.col("exit_on").min(),
        )
    )


def _named(role: str) -> pl.Expr:
    return pl.col("rpps").filter(pl.col("role") == role).drop_nulls().unique().sort().str.join(", ")


def _protocols(facts: Facts, dossiers: pl.DataFrame) -> pl.DataFrame:
    deposited = dossiers.select("number", "deposited_on")
    added = pl.when(pl.col("effective_on") > pl.col("deposited_on")).then("effective_on")
    since, last = (pl.col(name).dt.strftime("%d/%m/%Y") for name in ("effective_on", "until_on"))
    until = pl.concat_str(pl.lit(" jusqu'au "), last, pl.lit(" exclu")).fill_null("")
    return (
        facts.frame("dossier_protocol")
        .join(deposited, on="number")
        .sort("number", "family")
        .group_by("number", maintain_order=True)
        .agg(
            protocols=pl.concat_str("family", pl.col("effective_on").cast(pl.String), separator="@").str.join(","),
            changed_on=pl.max_horizontal(added, "until_on").max(),
            protocols_dated=pl.concat_str("family", pl.lit(" depuis le "), since, until).str.join(", "),
        )
    )
