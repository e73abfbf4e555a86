"""Rules about the financial annex, subsidies, notices and the whole campaign: R40 to R45, R50 to R52."""

from datetime import date

import polars as pl

from checks.cpom.days import ceilings, notices, with_lapse
from checks.cpom.ruling import NOBODY, Answer, check, french, nobody, nothing_known, shown
from checks.cpom.scene import Scene, results_alone
from contracts_schema.cpom_catalogue import financial_lines
from contracts_schema.french import euros_of


def _lines(scene: Scene) -> pl.DataFrame:
    """Financial lines of the sheets in play."""
    of_sheet = scene.sheets.select("sheet_id", "finess_ej", "annex")
    return scene.facts.frame("financial_line").join(of_sheet, on="sheet_id", how="inner", maintain_order="left")


@check("cpom.R40")
def line_is_not_known(scene: Scene) -> Answer:
    known = pl.DataFrame(sorted(financial_lines()), schema={"envelope": pl.String(), "code": pl.String()}, orient="row")
    lines = _lines(scene).filter(~pl.col("is_total") & pl.col("code").is_not_null())
    new = lines.join(known, on=["envelope", "code"], how="anti", maintain_order="left")
    return Answer(new.select("sheet_id", "finess_ej", "annex", "cell", raw="label", enveloppe="envelope", code_ligne="code"))


@check("cpom.R41")
def total_is_not_the_sum(scene: Scene) -> Answer:
    lines = _lines(scene).filter(~pl.col("envelope").str.starts_with("DAF"))
    is_total, amount = pl.col("is_total"), pl.col("amount_cents")
    sums = lines.group_by("sheet_id", "finess_ej", "annex", "envelope", maintain_order=True).agg(
        total=amount.filter(is_total).first(),
        somme=amount.filter(~is_total).sum(),
        unread=(amount.is_null() & ~is_total).any(),
        cell=pl.col("cell").filter(is_total).first(),
        raw=pl.col("amount_raw").filter(is_total).first(),
    )
    wrong = sums.filter(
        pl.col("total").is_not_null()
        & ~pl.col("unread")
        & ((pl.col("total") - pl.col("somme")).abs() > scene.law.number("total_tolerance_cents"))
    )
    return Answer(
        wrong.select(
            "sheet_id", "finess_ej", "annex", "cell", "raw",
            enveloppe="envelope", total=euros_of(pl.col("total")), somme=euros_of(pl.col("somme")),
        )
    )  # fmt: skip


@check("cpom.R42")
def transition_grant_differs(scene: Scene) -> Answer:
    if not scene.facts.has("smr_base"):
        return nothing_known()
    bases = scene.facts.frame("smr_base")
    rates = {year: scene.law.figure("smr.transition_rate", date(year, 12, 31)) for year in bases["year"].unique()}
    told = bases.with_columns(rate=pl.col("year").replace_strict(rates, default=None, return_dtype=pl.Int64))
    told = told.with_columns(expected=pl.col("base_cents") * pl.col("rate"))
    far = (pl.col("amount_cents") * 100 - pl.col("expected")).abs() > 100 * scene.law.number("smr_tolerance_cents")
    cases = told.filter(far).select(
        "finess_ej", "year", montant=euros_of(pl.col("amount_cents")), base=euros_of(pl.col("base_cents")),
        taux=pl.col("rate"), attendu=euros_of(pl.col("expected") // 100),
    )  # fmt: skip
    given = told.drop_nulls("rate")["finess_ej"]
    without = scene.contracts.filter(~pl.col("finess_ej").is_in(given.implode())).select("finess_ej")
    return Answer(cases, pl.concat([without, told.filter(pl.col("rate").is_null()).select("finess_ej")]))


@check("cpom.R43")
def emergency_split_differs(scene: Scene) -> Answer:
    amounts = scene.facts.frame("emergency_region")
    part, cents = pl.col("part"), pl.col("amount_cents")
    told = amounts.group_by("year", maintain_order=True).agg(
        dgos=cents.filter(part == "DGOS").sum(), region=cents.sum(), parts=part.n_unique()
    ).filter((pl.col("parts") == 2) & (pl.col("region") > 0))  # fmt: skip
    if told.is_empty():
        return nothing_known()
    found = []
    for year, dgos, region in told.select("year", "dgos", "region").iter_rows():
        expected = scene.law.figure("su.dgos_share", date(year, 1, 1))
        if expected is not None and abs(100 * dgos - expected * region) * 2 > region:  # half a point
            found.append({"year": year, "part": round(1000 * dgos / region) / 10, "attendu": expected})
    if not found:
        return Answer(nobody())
    cases = pl.DataFrame(found, schema={"year": pl.Int64(), "part": pl.Float64(), "attendu": pl.Int64()})
    return Answer(cases.with_columns(part=shown(pl.col("part"))))


@check("cpom.R44")
def subsidy_lapses(scene: Scene) -> Answer:
    if not scene.facts.has("subsidy"):
        return nothing_known()
    found = with_lapse(scene.facts.frame("subsidy"), scene.law)
    waiting = found.filter(~(pl.col("documents_sent_on") <= pl.col("last_day")).fill_null(value=False))
    today = pl.lit(scene.on)
    near = pl.col("lapses_on").dt.offset_by(f"-{scene.law.number('lapse_alert_months')}mo") <= today
    lapsed = pl.when(pl.col("lapses_on") <= today).then(pl.lit("lapsed"))
    return Answer(
        waiting.filter(near).select(
            "finess_ej", variant=lapsed, subvention="subsidy_id", fonds="fund", notification=french(pl.col("notified_on")),
            dernier=french(pl.col("last_day")), decheance=french(pl.col("lapses_on")),
        )
    )  # fmt: skip


@check("cpom.R45")
def payment_without_amendment(scene: Scene) -> Answer:
    if not scene.facts.has("subsidy", "payment", "amendment"):
        return nothing_known()
    known = scene.facts.frame("amendment").select("finess_ej", "amendment_id").drop_nulls()
    paid = scene.facts.frame("payment").join(scene.facts.frame("subsidy"), on="subsidy_id", how="inner", maintain_order="left")
    without = paid.filter(pl.col("amendment_id").is_null())
    unsure = paid.drop_nulls("amendment_id").join(  # its table does not list that one
        known, on=["finess_ej", "amendment_id"], how="anti", maintain_order="left"
    )
    cases = without.select(
        "finess_ej",
        jour=french(pl.col("paid_on")),
        montant=euros_of(pl.col("paid_cents")),
        subvention="subsidy_id",
        fonds="fund",
    )
    return Answer(cases, unsure.select("finess_ej"))


@check("cpom.R50")
def penalties_pass_the_ceiling(scene: Scene) -> Answer:
    told = ceilings(scene.facts.frame("notice_event"), scene.facts.frame("insurance_income"), scene.law)
    over = told.filter(pl.col("penalties_cents") * 100 > pl.col("income_cents") * pl.col("percent"))
    cases = over.select(
        "finess_ej", "year", somme=euros_of(pl.col("penalties_cents")), plafond=euros_of(pl.col("cap_cents")), taux="percent",
        produits=euros_of(pl.col("income_cents")), exercice="exercise",
    )  # fmt: skip
    unknown = told.filter(pl.col("cap_cents").is_null()).select("finess_ej")
    if scene.facts.has("notice_event", "insurance_income"):
        return Answer(cases, unknown)
    return Answer(cases, pl.concat([unknown, NOBODY]))


@check("cpom.R51")
def sanction_before_the_end(scene: Scene) -> Answer:
    if not scene.facts.has("notice_event"):
        return nothing_known()
    found = notices(scene.facts.frame("notice_event"), scene.law)
    sanction = pl.min_horizontal("penalised_on", "terminated_on")
    early = sanction <= pl.col("ends_on")
    constat = (
        pl.when(pl.col("renewals") > 1)
        .then(pl.format("délai renouvelé {} fois", "renewals"))
        .when(early)
        .then(
            pl.format(
                "sanction du {}, alors que le délai court jusqu'au {} inclus", french(sanction), french(pl.col("ends_on"))
            )
        )
    )
    cases = found.with_columns(constat=constat).drop_nulls("constat").select("finess_ej", "constat", procedure="procedure_id")
    unsure = found.filter(sanction.is_not_null() & pl.col("ends_on").is_null() & (pl.col("renewals") <= 1))
    return Answer(cases, unsure.select("finess_ej"))


@check("cpom.R52")
def campaign_count_differs(scene: Scene) -> Answer:
    """The count beside the expected one; by the table of expected contracts, who lacks and who is there besides."""
    if not scene.closed:
        return nothing_known()
    have = scene.contracts.height if scene.received is None else scene.received
    expected = scene.law.number("expected_ej")
    told = scene.facts.frame("expected_contract")
    listed = told.height > 0
    cases = pl.DataFrame(
        {
            "nombre": [have],
            "attendu": [expected],
            "liste": [f" ; la table contrats_attendus en nomme {told['finess_ej'].n_unique()}" if listed else ""],
            "suite": ["Les constats par établissement disent qui manque ou est en trop." if listed else _NO_LIST],
        }
    )
    counted = cases.filter(pl.lit(have != expected))
    return Answer(pl.concat([counted, _differences(scene, told)], how="diagonal") if listed else counted)


_NO_LIST = "La table contrats_attendus, sans laquelle rien ne dit quels établissements manquent ou sont en trop."


def _differences(scene: Scene, told: pl.DataFrame) -> pl.DataFrame:
    """One row an entity that is expected and lacks, or is there and not expected."""
    choices = scene.facts.sheet.filter(~pl.col("sheet_id").is_in(results_alone(scene.facts).implode()))
    strategic = choices.filter(pl.col("annex") == "STRAT").unique("finess_ej", keep="first", maintain_order=True)
    received = strategic.select("finess_ej", fichier="file", seen="legal_name")
    stands = scene.contracts.select("finess_ej", stands=pl.lit(value=True))
    expected = told.unique("finess_ej", keep="first", maintain_order=True)
    both = expected.join(received.join(stands, on="finess_ej", how="left"), on="finess_ej", how="full", coalesce=True)
    both = both.join(expected.select("finess_ej", named=pl.lit(value=True)), on="finess_ej", how="left")
    named, here = (pl.col(name).fill_null(value=False) for name in ("named", "stands"))
    variant = (
        pl.when(named & pl.col("fichier").is_null())
        .then(pl.lit("absent"))
        .when(named & ~here)
        .then(pl.lit("set_aside"))
        .when(~named & here)
        .then(pl.lit("unexpected"))
    )
    who = pl.coalesce(pl.format("{} ({})", pl.coalesce("legal_name", "seen"), "finess_ej"), "finess_ej")
    whence = pl.coalesce(pl.format("table contrats_attendus : {}", "source"), pl.lit("table contrats_attendus"))
    found = both.with_columns(variant=variant, nom=who, origine=whence).drop_nulls("variant").sort("finess_ej")
    return found.select("finess_ej", "variant", "nom", "origine", "fichier")
