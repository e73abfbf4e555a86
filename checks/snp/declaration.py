"""Rules D: is there a declaration, in force on the day, complete, and of the right scheme."""

import polars as pl

from checks.snp.facts import Facts
from checks.snp.fold import ENDS, RETENTION
from checks.snp.law import Law
from checks.snp.ruling import Ruling, check, french

UNKNOWN = pl.lit(value=True)
NO_DAY = ~pl.col("day_known") | ~pl.col("family_known")
IN_FORCE = pl.col("force").is_not_null() & pl.col("has_team")
ABSENT = {"synchronisation": pl.col("synchronisation"), "recu": french(pl.col("received_on"))}
FORMS = {"acces_direct": "accès direct", "local": "protocole local", "other": "autre démarche"}


@check("snp.D01", "day")
def d01(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier"):
        return Ruling({}, missing=UNKNOWN)
    none = ~pl.col("declared") & pl.col("sibling").is_null()
    return Ruling(
        {"near": none & pl.col("near").is_not_null(), "not_synchronised": none & ~pl.col("proven"), "default": none},
        {"cherche": pl.col("cherche"), "proche": pl.col("near"), **ABSENT},
    )


@check("snp.D02", "day")
def d02(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_protocol"):
        return Ruling({}, missing=UNKNOWN)
    before = pl.col("at") < pl.col("first_on") if law.policy("same_day_act_payable") else pl.col("at") <= pl.col("first_on")
    return Ruling(
        {"not_synchronised": before & ~pl.col("proven"), "default": before},
        {"premier_jour": french(pl.col("first_on")), **ABSENT},
        cells=("date",),
        dossier=True,
        noted=NO_DAY,
    )


@check("snp.D03", "day")
def d03(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_event"):
        return Ruling({}, missing=UNKNOWN)
    ended = IN_FORCE & pl.col("ended").is_in(list(ENDS))
    purged = IN_FORCE & pl.col("purged_on").is_not_null() & ~ended.fill_null(value=False)
    kept = purged & (pl.col("ended") == "accepte") & pl.col("purge_reason").is_in(RETENTION)
    return Ruling(
        {
            "before": ended & (pl.col("at") < pl.col("ended_on")),
            "retention": kept,
            "removed": purged | (IN_FORCE & (pl.col("ended") == "doubtful")),
            "default": ended,
        },
        {
            "fin": pl.col("ended").replace_strict(ENDS, default="supprimé", return_dtype=pl.String),
            "fin_jour": french(pl.coalesce("purged_on", "ended_on")),
        },
        cells=("date",),
        dossier=True,
        noted=NO_DAY,
    )


@check("snp.D04", "day")
def d04(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_event"):
        return Ruling({}, missing=UNKNOWN)
    resolved = IN_FORCE & pl.col("resolved_on").is_not_null()
    return Ruling(
        {
            "before_resolution": resolved & (pl.col("at") < pl.col("resolved_on")),
            "default": IN_FORCE & (pl.col("at") >= pl.col("open_from")),
            "resolved": resolved,
        },
        {"demande_jour": french(pl.col("asked_on")), "resolution_jour": french(pl.col("resolved_on"))},
        cells=("date",),
        dossier=True,
        noted=NO_DAY,
    )


@check("snp.D05", "day")
def d05(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "member"):
        return Ruling({}, missing=UNKNOWN)
    nobody_knows = pl.col("document_unique").is_null() & pl.col("piece_missing").is_null() & pl.col("piece_pending").is_null()
    return Ruling(
        {
            "default": IN_FORCE & ~pl.col("document_unique"),
            "member": IN_FORCE & pl.col("piece_missing"),
            "scan": IN_FORCE & pl.col("piece_pending"),
        },
        cells=("rpps", "delegate"),
        dossier=True,
        noted=NO_DAY,
        missing=IN_FORCE & nobody_knows,
    )


@check("snp.D06", "day")
def d06(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "member"):
        return Ruling({}, missing=UNKNOWN)
    return Ruling(
        {"default": IN_FORCE & pl.col("contradictory")},
        {"depot_jour": french(pl.col("deposited_on"))},
        dossier=True,
        noted=NO_DAY,
    )


@check("snp.D07", "day")
def d07(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "member"):
        return Ruling({}, missing=UNKNOWN)
    carried = IN_FORCE & pl.col("carried_over") & (pl.col("effective_on") < pl.col("version_from"))
    return Ruling(
        {"team_changed": carried & (pl.col("exit_on") <= pl.col("at")), "default": carried},
        {"depot_jour": french(pl.col("deposited_on"))},
        dossier=True,
        noted=NO_DAY,
    )


@check("snp.D08", "day")
def d08(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_protocol"):
        return Ruling({}, missing=UNKNOWN)
    changed = pl.col("has_team") & (pl.col("deposited_on") <= pl.col("at")) & (pl.col("at") < pl.col("changed_on"))
    return Ruling(
        {"default": changed},
        {
            "modification_jour": french(pl.col("changed_on")),
            "protocoles": pl.col("protocols_dated"),
        },
        cells=("date",),
        dossier=True,
        noted=NO_DAY,
    )


@check("snp.D09", "day")
def d09(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier"):
        return Ruling({}, missing=UNKNOWN)
    only = ~pl.col("declared") & pl.col("sibling").is_not_null()
    form = pl.col("sibling_form").replace_strict(FORMS, default="autre démarche", return_dtype=pl.String)
    return Ruling(
        {"names_protocol": only & (pl.col("sibling_names").list.len() > 0), "default": only},
        {
            "dossier": pl.col("sibling"),
            "dispositif": pl.concat_str(form, pl.lit(", démarche "), pl.col("sibling_demarche").fill_null("inconnue")),
            "nommes": pl.col("sibling_names").list.join(", "),
        },
    )


@check("snp.D10", "day")
def d10(law: Law, facts: Facts) -> Ruling:
    if not facts.has("dossier", "dossier_protocol"):
        return Ruling({}, missing=UNKNOWN)
    gap = law.gap("GAP1")
    before = (pl.col("effective_on") < gap.valid_from) & (pl.col("at") >= gap.valid_to)
    return Ruling(
        {"default": IN_FORCE & (pl.col("kind") == "CPTS") & before},
        {"depot_jour": french(pl.col("deposited_on"))},
        cells=("date",),
        dossier=True,
        noted=NO_DAY,
    )
