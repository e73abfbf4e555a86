"""What a campaign is worth, centre by centre: a graph of nodes from the law and the entries to what may be paid, and why not.

An amount is payable only when it is made of official and attested values alone; else it stays under reserve, and what a missing
prerequisite or another rule stops is blocked. computed = payable + under_reserve + blocked, to the cent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from checks.cds import achievement, forfait
from checks.cds.examine import Examination
from checks.cds.facts import ADVANCES
from checks.cds.figures import Figure, Figures, is_firm, status_of
from checks.cds.forfait import MISSING_RANK, half_up
from checks.cds.ruling import FIRED
from checks.cds.scene import NOT_RECEIVED, UNKNOWN_DELAY, UNMAPPED
from contracts_schema.ecds import indicators
from contracts_schema.parameters import Attestation
from contracts_schema.parameters.record import STATUSES_FR

POINTS_REGIME = 2015
ITEMS = pl.Schema(
    {
        "finess_et": pl.String(),
        "scheme": pl.String(),
        "indicator": pl.String(),
        "computed_cents": pl.Int64(),
        "payable_cents": pl.Int64(),
        "under_reserve_cents": pl.Int64(),
        "blocked_cents": pl.Int64(),
        "neutralised": pl.Boolean(),
        "status": pl.String(),
        "firm": pl.Boolean(),
        "reason_fr": pl.String(),
    }
)
"""One row a centre, scheme (rfs, rosp) and indicator that counts; cents are null where a figure of the law is not known."""
CENTRES = pl.Schema(
    {
        "finess_et": pl.String(),
        "scheme": pl.String(),
        "regime": pl.Int64(),
        "complete": pl.Boolean(),
        "computed_cents": pl.Int64(),
        "payable_cents": pl.Int64(),
        "under_reserve_cents": pl.Int64(),
        "blocked_cents": pl.Int64(),
        "advance_cents": pl.Int64(),
        "advance_paid_cents": pl.Int64(),
        "balance_cents": pl.Int64(),
        "recovery_cents": pl.Int64(),
        "status": pl.String(),
        "firm": pl.Boolean(),
        "rules": pl.String(),
        "reason_fr": pl.String(),
    }
)
"""One row a centre and scheme. ``complete``: every indicator that counts could be worked out. ``rules``: those that block."""


@dataclass(frozen=True)
class Remuneration:
    """``nodes``: ``forfait.NODES``; ``items``: ``ITEMS``; ``centres``: ``CENTRES``; the regime that was applied."""

    nodes: pl.DataFrame
    items: pl.DataFrame
    centres: pl.DataFrame
    regime: int


def remunerate(
    examination: Examination,
    attested: Iterable[Attestation] = (),
    *,
    simulation: bool = True,
    advances: pl.DataFrame | None = None,
) -> Remuneration:
    """What a campaign is worth by the rules of its reference year. ``simulation``: a missing figure may be tried out with
    that of a neighbouring agreement (never firm). ``advances``: ``ADVANCES``, what was paid before (None: not known)."""
    law = Figures(examination.scene.last_day, tuple(attested), simulation)
    regime = law.one("cds.regime")
    if regime.value == POINTS_REGIME:
        parts, base = forfait.parts(examination, law)
        rfs, nodes = _forfait(examination, (*forfait.formula(law), regime, law.one("cds.rfs.prorata")), parts, base)
    else:
        rfs, nodes = _unknown_amounts(examination, regime)
    found = achievement.achievements(examination, law)
    rosp = _rosp_items(found)
    condition = law.one("cds.rfs.prerequisites_condition")
    blocked = _blocked(examination, condition)
    items = _split(pl.concat([rfs, rosp]), blocked)
    centres = _centres(examination, items, blocked, regime.value or 0)
    centres, told = _advances(examination, centres, rfs, law, advances)
    nodes = pl.concat([nodes, _rosp_nodes(found), _ends(centres, (regime, condition), found), told])
    shown = items.with_columns(status=status_of(pl.col("rank")), firm=is_firm(pl.col("rank"))).select(ITEMS.names())
    return Remuneration(nodes, shown, centres.select(CENTRES.names()), regime.value or 0)


ROWS = pl.Schema(
    {"finess_et": pl.String(), "scheme": pl.String(), "indicator": pl.String(), "cents": pl.Int64()}
    | {"rank": pl.Int64(), "neutralised": pl.Boolean(), "unverifiable": pl.Boolean(), "unmet": pl.Boolean()}
)


def _forfait(
    examination: Examination, figures: tuple[Figure, Figure, Figure, Figure], parts: pl.DataFrame, base: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The cents of each indicator of the forfait, which sum to the total rounded once; and the nodes. ``figures``: formula,
    value of the point, regime, prorata."""
    point, sure = figures[1], figures[:3]
    rows = parts.group_by("finess_et", "code", maintain_order=True).agg(
        points=pl.when(pl.col("points").is_null().any()).then(None).otherwise(pl.col("points").sum()),
        rank=pl.col("rank").max(),
        unverifiable=pl.col("unverifiable").any(),
        unmet=pl.col("unmet").any(),
    )
    order = {code: place for place, code in enumerate(indicators())}
    rows = rows.sort("finess_et", pl.col("code").replace_strict(order, return_dtype=pl.Int64))
    rows = rows.join(_prorata(examination, figures[3]), on="finess_et", how="left", maintain_order="left")
    worth = pl.col("points") * pl.lit(point.value, pl.Int64) * pl.col("days")
    running = worth.fill_null(0).cum_sum().over("finess_et")
    below = base * pl.col("year_days")
    cents = half_up(running, below) - half_up(running - worth.fill_null(0), below)
    weak = pl.max_horizontal("rank", pl.lit(max(figure.rank for figure in sure)), "prorata_rank")
    told = rows.with_columns(cents=pl.when(worth.is_not_null()).then(cents), rank=weak)
    items = told.select(
        "finess_et",
        scheme=pl.lit("rfs"),
        indicator="code",
        cents="cents",
        rank=pl.when(pl.col("cents").is_null()).then(MISSING_RANK).otherwise("rank"),
        neutralised=pl.lit(value=False),
        unverifiable="unverifiable",
        unmet="unmet",
    )
    return items.cast(ROWS), pl.concat([forfait.part_nodes(parts, base), _total_nodes(told, base, sure)])


def _prorata(examination: Examination, prorata: Figure) -> pl.DataFrame:
    """The days of the year from the agreement on, when it began in the year (rule cds.CDS14), by ``cds.rfs.prorata``."""
    scene = examination.scene
    days = (scene.last_day - scene.first_day).days + 1
    since = pl.col("agreement_from")
    begun = ((since > scene.first_day) & (since <= scene.last_day)).fill_null(value=False)
    due = begun & pl.lit(prorata.value != 0)
    left = (pl.lit(scene.last_day) - since).dt.total_days() + 1
    return scene.centres.select(
        "finess_et",
        days=pl.when(due).then(left).otherwise(days),
        year_days=pl.lit(days),
        prorata_rank=pl.when(begun).then(prorata.rank).otherwise(0),
        prorata=pl.when(begun).then(pl.lit(prorata.told)),
    )


def _total_nodes(told: pl.DataFrame, base: int, figures: tuple[Figure, ...]) -> pl.DataFrame:
    """Points of a centre, then its amount before any condition."""
    by = told.group_by("finess_et", maintain_order=True).agg(
        pl.col("points").sum(),
        pl.col("cents").sum(),
        pl.col("rank").max(),
        pl.col("days", "year_days", "prorata").first(),
        inputs=pl.format("rfs.{}", "code").str.join(" + "),
    )
    words = " ; ".join(figure.told for figure in figures)
    share = (
        pl.when(pl.col("days") < pl.col("year_days"))
        .then(pl.format(" × {}/{} jours", "days", "year_days"))
        .otherwise(pl.lit(""))
    )
    points = _node(
        by, "rfs.points", pl.col("points"), base, "points", pl.col("inputs"), pl.lit(""), pl.lit("somme des indicateurs")
    )
    text = pl.concat_str(pl.lit("points × valeur du point"), share, pl.lit(", arrondi une fois, la demie vers le haut"))
    used = pl.concat_str(pl.lit(words), pl.concat_str(pl.lit(" ; "), "prorata").fill_null(""))
    amount = _node(by, "rfs.amount", pl.col("cents"), 1, "cents", pl.lit("rfs.points"), used, text)
    return pl.concat([points, amount])


def _node(
    rows: pl.DataFrame,
    name: str,
    numerator: pl.Expr,
    denominator: int,
    unit: str,
    inputs: pl.Expr,
    used: pl.Expr,
    text: pl.Expr,
    indicator: pl.Expr | None = None,
) -> pl.DataFrame:
    return rows.select(
        "finess_et",
        node=pl.lit(name) if indicator is None else pl.concat_str(pl.lit(f"{name}."), indicator),
        indicator=pl.lit(None, pl.String) if indicator is None else indicator,
        numerator=numerator.cast(pl.Int64),
        denominator=pl.lit(denominator, pl.Int64),
        value=forfait.decimal(numerator, pl.lit(denominator)),
        unit=pl.lit(unit),
        status=status_of(pl.col("rank")),
        firm=is_firm(pl.col("rank")),
        inputs=inputs,
        parameters=used,
        text_fr=text,
    )


def _unknown_amounts(examination: Examination, regime: Figure) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The accord of 2025 pays in euros: its amounts and their formula were not found, so nothing is worked out."""
    rows = examination.scene.centres.select("finess_et", rank=pl.lit(MISSING_RANK))
    text = pl.lit("accord du 28/08/2025 : montants et formule non trouvés, rien n'est calculé")
    nodes = _node(rows, "rfs.amount", pl.lit(None, pl.Int64), 1, "cents", pl.lit(""), pl.lit(regime.told), text)
    return pl.DataFrame(schema=ROWS), nodes


def _rosp_items(found: pl.DataFrame) -> pl.DataFrame:
    rows = achievement.shared_cents(found)
    return rows.select(
        "finess_et",
        scheme=pl.lit("rosp"),
        indicator="code",
        cents="cents",
        rank="rank",
        neutralised="neutralised",
        unverifiable="unverifiable",
        unmet=pl.lit(value=False),
    ).cast(ROWS)


def _rosp_nodes(found: pl.DataFrame) -> pl.DataFrame:
    def node(name: str, above: str, below: str, unit: str, inputs: str, words: str) -> pl.DataFrame:
        return found.select(
            "finess_et",
            node=pl.format(f"rosp.{{}}.{name}", "code"),
            indicator="code",
            numerator=above,
            denominator=below,
            value=forfait.decimal(pl.col(above), pl.col(below)),
            unit=pl.lit(unit),
            status=status_of(pl.col("rank")),
            firm=is_firm(pl.col("rank")),
            inputs=pl.format(inputs, "code"),
            parameters="told",
            text_fr=pl.when("neutralised").then(pl.lit("neutralisé : effectif sous le minimum")).otherwise(pl.lit(words)),
        )

    rate = node("rate", "rate_num", "rate_den", "taux", "entrée de rosp pour {}", "taux d'atteinte de l'objectif")
    amount = node(
        "amount", "worth_num", "worth_den", "cents", "rosp.{}.rate", "points × taux × patients / référence × valeur du point"
    )
    return pl.concat([rate, amount])


OF_PREREQUISITES = ("cds.CDS22", "cds.CDS23", "cds.CDS24")


def _blocked(examination: Examination, condition: Figure) -> pl.DataFrame:
    """What stops a scheme of a centre: finess_et, scheme, rules, why. A hold found in a section stops that scheme, any other
    both; a prerequisite that could not be read (not received, delay not verifiable, code without mapping) stops the forfait
    without any rule.
    ``condition``: whether a prerequisite that is not met stops the whole forfait (whoever attests it is followed)."""
    found = examination.findings.filter(status=FIRED).filter(pl.col("effect").is_in(["payment_hold", "reject_centre"]))
    if condition.value == 0:
        found = found.filter(~pl.col("rule").is_in(OF_PREREQUISITES))
    held = found.with_columns(
        scheme=pl.when(pl.col("section").is_in(["rfs", "rosp"]))
        .then(pl.concat_list("section"))
        .otherwise(pl.lit(["rfs", "rosp"]))
    )
    told = held.explode("scheme").select("finess_et", "scheme", "rule", "reason_fr")
    unread = examination.prerequisites.filter(pl.col("outcome").is_in([NOT_RECEIVED, UNKNOWN_DELAY, UNMAPPED])).select(
        "finess_et", scheme=pl.lit("rfs"), rule=pl.lit(""), reason_fr=pl.format("{} : {}.", "code", "outcome")
    )
    both = pl.concat([told, unread]).sort("finess_et", "scheme", "rule", maintain_order=True)
    return both.group_by("finess_et", "scheme", maintain_order=True).agg(
        rules=pl.col("rule").filter(pl.col("rule") != "").unique(maintain_order=True).str.join(", "),
        why=pl.col("reason_fr").str.join(" "),
    )


def _split(rows: pl.DataFrame, blocked: pl.DataFrame) -> pl.DataFrame:
    """The cents of each row as payable, under reserve or blocked."""
    told = rows.join(blocked, on=["finess_et", "scheme"], how="left", maintain_order="left")
    stopped, firm = pl.col("why").is_not_null() | pl.col("unverifiable") | pl.col("unmet"), is_firm(pl.col("rank"))
    cents = pl.col("cents")
    zero = pl.when(cents.is_not_null()).then(0)
    reason = (
        pl.when("neutralised").then(pl.lit("neutralisé : effectif sous le minimum, ni payé ni zéro"))
        .when(pl.col("why").is_not_null()).then(pl.col("why"))
        .when("unverifiable").then(pl.lit("délai de saisie non vérifiable"))
        .when("unmet").then(pl.lit("prérequis non satisfait : non dû"))
        .when(cents.is_null()).then(pl.lit(UNKNOWN_FR))
        .when(~firm).then(pl.format(TRIED_FR, _status_fr(pl.col("rank"))))
        .otherwise(pl.lit("ferme"))
    )  # fmt: skip
    return told.with_columns(
        computed_cents=cents,
        payable_cents=pl.when(~stopped & firm).then(cents).otherwise(zero),
        under_reserve_cents=pl.when(~stopped & ~firm).then(cents).otherwise(zero),
        blocked_cents=pl.when(stopped).then(cents).otherwise(zero),
        reason_fr=reason,
    )


UNKNOWN_FR = "non calculable : une valeur du droit ou un effectif est inconnu, ou invraisemblable"
TRIED_FR = "simulation, sous réserve : une valeur utilisée est de statut « {} »"


def _status_fr(rank: pl.Expr) -> pl.Expr:
    return status_of(rank).replace_strict(STATUSES_FR, return_dtype=pl.String)


AMOUNTS = ("computed_cents", "payable_cents", "under_reserve_cents", "blocked_cents")


def _centres(examination: Examination, items: pl.DataFrame, blocked: pl.DataFrame, regime: int) -> pl.DataFrame:
    """One row a centre and scheme, the centres without any indicator included."""
    keys = examination.scene.centres.select("finess_et").join(pl.DataFrame({"scheme": ["rfs", "rosp"]}), how="cross")
    live = items.filter(~pl.col("neutralised"))
    sums = live.group_by("finess_et", "scheme").agg(
        pl.col(AMOUNTS).sum(), pl.col("rank").max(), complete=pl.col("cents").is_not_null().all()
    )
    told = keys.join(sums, on=["finess_et", "scheme"], how="left", maintain_order="left")
    told = told.join(blocked, on=["finess_et", "scheme"], how="left", maintain_order="left")
    scene = examination.scene
    received = pl.lit(scene.rosp is not None) & (pl.col("scheme") == "rosp") | pl.lit(scene.rfs is not None) & (
        pl.col("scheme") == "rfs"
    )
    known = (pl.lit(regime == POINTS_REGIME) | (pl.col("scheme") == "rosp")) & received
    waiting = _waiting(examination)
    rank = pl.when(known & ~(waiting & pl.col("rank").is_null())).then(pl.col("rank").fill_null(0)).otherwise(MISSING_RANK)
    amounts = [pl.when(known).then(pl.col(name).fill_null(0)).alias(name) for name in AMOUNTS]
    reason = (
        pl.when(~received).then(pl.format("section {} non reçue ({})", "scheme", pl.lit(NOT_RECEIVED)))
        .when(~known).then(pl.lit("montants de l'accord de 2025 non trouvés"))
        .when(pl.col("why").is_not_null()).then("why")
        .when(~pl.col("complete")).then(pl.lit("incomplet : un indicateur au moins n'est pas calculable"))
        .when(waiting).then(pl.lit("incomplet : une saisie au moins a un code sans correspondance (cds.CDS54)"))
        .when(~is_firm(rank)).then(pl.format(TRIED_FR, _status_fr(rank)))
        .otherwise(pl.lit("ferme"))
    )  # fmt: skip
    return told.with_columns(
        *amounts,
        regime=pl.lit(regime, pl.Int64),
        complete=known & pl.col("complete").fill_null(value=True) & ~waiting,
        rank=rank,
        status=status_of(rank),
        firm=is_firm(rank),
        rules=pl.col("rules").fill_null(""),
        reason_fr=reason,
    )


def _waiting(examination: Examination) -> pl.Expr:
    """Whether entries of the centre in the section of a scheme wait for the mapping of their code, whatever they are worth."""
    told = pl.lit(value=False)
    for scheme in ("rfs", "rosp"):
        found = examination.scene.journal(scheme)
        if found is not None and found.unmapped.height:
            own = found.unmapped["finess_et"].unique().implode()
            told = told | (pl.lit(scheme) == pl.col("scheme")) & pl.col("finess_et").is_in(own)
    return told


def _advances(
    examination: Examination, centres: pl.DataFrame, rfs: pl.DataFrame, law: Figures, paid: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The advance that the core indicators would open, what one already paid leaves to pay or to recover, and their nodes.

    A proposal: share and minimum are those of a neighbouring agreement until attested. Never a negative payment; nothing is to
    be paid or recovered on a final amount that is not settled (see ``_settled``).
    """
    share, least = law.one("cds.rfs.advance_percent"), law.one("cds.rfs.advance_minimum")
    core = [code for code, one in indicators().items() if one.kind in forfait.CORE]
    cents = pl.col("cents")
    sums = (
        rfs.filter(pl.col("indicator").is_in(core))
        .group_by("finess_et", maintain_order=True)
        .agg(
            core=pl.when(cents.is_not_null().all()).then(cents.sum()),
            core_rank=pl.col("rank").max(),
            core_nodes=pl.format("rfs.{}", "indicator").str.join(" + "),
        )
    )
    sums = sums.with_columns(scheme=pl.lit("rfs"))
    told = centres.join(sums, on=["finess_et", "scheme"], how="left", maintain_order="left")
    advance = pl.lit(None, pl.Int64)
    if share.value is not None and least.value is not None:
        advance = pl.max_horizontal(half_up(pl.col("core") * share.value, pl.lit(100)), pl.lit(least.value, pl.Int64))
    given = pl.DataFrame(schema=ADVANCES) if paid is None else paid
    given = given.select("finess_et", paid="advance_cents", scheme=pl.lit("rfs"))
    told = told.join(given, on=["finess_et", "scheme"], how="left", maintain_order="left")
    final, before = pl.col("payable_cents") + pl.col("under_reserve_cents"), pl.col("paid")
    settled = _settled(examination) & before.is_not_null()
    told = told.with_columns(
        advance_cents=pl.when(pl.col("core").is_not_null()).then(advance),
        advance_paid_cents=before,
        balance_cents=pl.when(settled).then(pl.max_horizontal(pl.lit(0), final - before)),
        recovery_cents=pl.when(settled).then(pl.max_horizontal(pl.lit(0), before - final)),
    )
    return told, _advance_nodes(told, (share, least))


def _settled(examination: Examination) -> pl.Expr:
    """Whether the final amount of the forfait of a centre is known: the extraction is later than the last day, every indicator
    could be worked out, no entry waits for its code, and no rule holds the payment, unless a prerequisite that is not met makes
    it zero."""
    last = examination.scene.deadlines.last_day("rfs")
    closed = last is not None and examination.scene.campaign.extracted_on > last
    is_zero = pl.col("rules").str.contains(r"\bcds\.CDS22\b")
    return pl.lit(closed) & pl.col("complete") & (pl.col("why").is_null() | is_zero)


def _advance_nodes(told: pl.DataFrame, figures: tuple[Figure, Figure]) -> pl.DataFrame:
    """The advance as a proposal, and what is left of it once the final amount is settled."""
    weak = max(figure.rank for figure in figures)
    words = pl.lit(" ; ".join(figure.told for figure in figures))
    open_to = told.filter(pl.col("core_nodes").is_not_null())
    opened = open_to.with_columns(
        rank=pl.when(pl.col("advance_cents").is_null()).then(MISSING_RANK).otherwise(pl.max_horizontal("core_rank", weak))
    )
    text = pl.lit("proposition : part du montant des indicateurs socles, avec un minimum")
    advance = _node(opened, "rfs.advance", pl.col("advance_cents"), 1, "cents", pl.col("core_nodes"), words, text)
    left = told.filter(pl.col("balance_cents").is_not_null())
    rest = pl.col("balance_cents") - pl.col("recovery_cents")
    said = pl.format("proposition : montant final moins avance versée ({} centimes) ; un reste négatif est à récupérer", "paid")
    inputs = pl.lit("rfs.amount + entrée de centre_advances")
    return pl.concat([advance, _node(left, "rfs.settlement", rest, 1, "cents", inputs, pl.lit(""), said)])


def _ends(centres: pl.DataFrame, figures: tuple[Figure, Figure], found: pl.DataFrame) -> pl.DataFrame:
    """What may be paid of each scheme, the last node of the graph. ``figures``: regime, condition on prerequisites;
    ``found``: ``achievement.ROSP``."""
    regime, condition = figures
    used = {"rfs": f"{regime.told} ; {condition.told}", "rosp": regime.told}
    parts = []
    amounts = found.group_by("finess_et", maintain_order=True).agg(of_rosp=pl.format("rosp.{}.amount", "code").str.join(" + "))
    centres = centres.join(amounts, on="finess_et", how="left", maintain_order="left")
    inputs = {"rfs": pl.lit("rfs.amount"), "rosp": pl.col("of_rosp").fill_null("")}
    for scheme in ("rfs", "rosp"):
        rows = centres.filter(pl.col("scheme") == scheme)
        text, payable = pl.col("reason_fr"), pl.col("payable_cents")
        known = pl.col("complete") | (payable != 0)  # nothing computed is not nothing to pay
        parts.append(
            _node(
                rows,
                f"{scheme}.payable",
                pl.when(known).then(payable),
                1,
                "cents",
                inputs[scheme],
                pl.lit(used[scheme]),
                text,
            )
        )
    return pl.concat(parts)
