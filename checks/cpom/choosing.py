"""Rules about which indicators are chosen: how many (R10 to R17), by whom (R18 to R21), and when (R36, R37)."""

import polars as pl

from checks.cpom.days import cutoff
from checks.cpom.facts import held
from checks.cpom.ruling import NOBODY, Answer, check, french, joined, nothing_known
from checks.cpom.scene import Scene
from contracts_schema.cpom_catalogue import starred_objectives

GROUP_ONLY = ("CT_03_1_1", "CT_08_1_1")
HOME_CARE, SURGERY, ENTRIES, BREAST = "OS_14_1_1", "OS_13_1_1", "OS_11_1_1", "OS_12_1_1"
ACUTE = ("MCO", "MEDECINE", "CHIRURGIE", "OBSTETRIQUE")


def counts(scene: Scene) -> pl.DataFrame:
    """One row a contract: lists ``ct``, ``os``, ``hpr`` of chosen codes, then ``n_ct``, ``n_os``, ``n_hpr`` and ``total``."""
    chosen = scene.chosen
    lists = [
        pl.col("code").filter(pl.col("family") == family).unique().sort().alias(name)
        for family, name in (("CT", "ct"), ("OS", "os"), ("HPR", "hpr"))
    ]
    told = chosen.group_by("finess_ej").agg(
        *lists, objectives=pl.col("objective").filter(pl.col("family") == "HPR").unique().sort()
    )
    found = scene.contracts.join(told, on="finess_ej", how="left", maintain_order="left")
    none = pl.lit([], pl.List(pl.String))
    found = found.with_columns(pl.col("ct", "os", "hpr", "objectives").fill_null(none), annex=pl.lit("STRAT"))
    found = found.with_columns(pl.col(name).list.len().cast(pl.Int64).alias(f"n_{name}") for name in ("ct", "os", "hpr"))
    # what is said of the annex HPR is shown on its sheet
    near = scene.sheets.filter(pl.col("annex") == "HPR").group_by("finess_ej").agg(hpr_sheet=pl.col("sheet_id").first())
    found = found.join(near, on="finess_ej", how="left", maintain_order="left")
    return found.with_columns(total=pl.col("n_ct") + pl.col("n_os"), both=pl.concat_list("ct", "os"))


def _cases(found: pl.DataFrame, **more: pl.Expr) -> Answer:
    return Answer(found.select("sheet_id", "finess_ej", "annex", **more))


def _with_near(scene: Scene) -> pl.DataFrame:
    """The counts of contracts with an annex HPR. Left empty by an establishment that the list of labels does not name, it is
    none."""
    found = counts(scene).filter("has_hpr")
    if not scene.facts.has("hpr_label"):
        return found
    labelled = held(scene.facts.frame("hpr_label"), found)["finess_ej"]
    return found.filter((pl.col("n_hpr") > 0) | pl.col("finess_ej").is_in(labelled.implode()))


def _of_near(found: pl.DataFrame) -> pl.DataFrame:
    return found.with_columns(annex=pl.lit("HPR"), sheet_id=pl.coalesce("hpr_sheet", "sheet_id"))


@check("cpom.R10")
def too_few_territorial(scene: Scene) -> Answer:
    least = scene.law.known("choice.min_ct")
    few = counts(scene).filter(pl.col("n_ct") < least)
    return _cases(few, nombre=pl.col("n_ct"), minimum=pl.lit(least), liste=joined(pl.col("ct")))


@check("cpom.R11")
def too_few_strategic(scene: Scene) -> Answer:
    least = scene.law.known("choice.min_os")
    few = counts(scene).filter(pl.col("n_os") < least)
    return _cases(few, nombre=pl.col("n_os"), minimum=pl.lit(least), liste=joined(pl.col("os")))


@check("cpom.R12")
def too_few_in_all(scene: Scene) -> Answer:
    least = scene.law.known("choice.min_total")
    few = counts(scene).filter(pl.col("total") < least)
    return _cases(few, nombre=pl.col("total"), minimum=pl.lit(least), liste=joined(pl.col("both")))


@check("cpom.R13")
def too_many_in_all(scene: Scene) -> Answer:
    most, with_hpr = scene.law.known("choice.max_total"), scene.law.yes("hpr_counts_in_max")
    told = counts(scene)
    if with_hpr:
        told = told.with_columns(total=pl.col("total") + pl.col("n_hpr"), both=pl.concat_list("both", "hpr"))
    many = told.filter(pl.col("total") > most)
    return _cases(many, nombre=pl.col("total"), maximum=pl.lit(most), liste=joined(pl.col("both")))


@check("cpom.R14")
def more_strategic_than_asked(scene: Scene) -> Answer:
    asked, most = scene.law.known("choice.min_os"), scene.law.known("choice.max_total")
    more = counts(scene).filter((pl.col("n_os") > asked) & (pl.col("total") <= most))
    variant = None if scene.law.yes("os_six_is_a_floor") else "exact"
    return _cases(
        more,
        variant=pl.lit(variant, pl.String),
        nombre=pl.col("n_os"),
        minimum=pl.lit(asked),
        maximum=pl.lit(most),
        liste=joined(pl.col("os")),
    )


@check("cpom.R15")
def starred_objective_without_indicator(scene: Scene) -> Answer:
    unmet = [pl.when(~pl.col("objectives").list.contains(one)).then(pl.lit(one)) for one in starred_objectives()]
    absent = pl.concat_list(unmet).list.drop_nulls()
    told = _of_near(_with_near(scene)).with_columns(absent=absent)
    wrong = pl.col("absent").list.len() > (0 if scene.law.yes("hpr_each_starred_objective") else len(starred_objectives()) - 1)
    return _cases(told.filter(wrong), objectifs=pl.format("les objectifs {}", joined(pl.col("absent"))))


@check("cpom.R16")
def too_many_near(scene: Scene) -> Answer:
    most = scene.law.known("choice.max_hpr")
    many = _of_near(counts(scene).filter(pl.col("n_hpr") > most))
    return _cases(many, nombre=pl.col("n_hpr"), maximum=pl.lit(most), liste=joined(pl.col("hpr")))


@check("cpom.R17")
def too_few_near(scene: Scene) -> Answer:
    most = scene.law.known("choice.max_hpr")
    few = _with_near(scene).filter((pl.col("n_hpr") < most) & pl.lit(scene.law.yes("hpr_exactly_six")))
    return _cases(_of_near(few), nombre=pl.col("n_hpr"), maximum=pl.lit(most))


# --- by whom


@check("cpom.R18")
def near_annex_without_label(scene: Scene) -> Answer:
    filled = _of_near(counts(scene).filter(pl.col("n_hpr") > 0))
    if not scene.facts.has("hpr_label"):
        return _cases(filled, variant=pl.lit("no_reference"), date=french(pl.col("as_of")))
    labelled = held(scene.facts.frame("hpr_label"), filled)["finess_ej"]
    return _cases(filled.filter(~pl.col("finess_ej").is_in(labelled.implode())), date=french(pl.col("as_of")))


def _chosen(scene: Scene, *codes: str) -> pl.DataFrame:
    return scene.chosen.filter(pl.col("code").is_in(codes))


def _row_cases(rows: pl.DataFrame, **more: pl.Expr) -> pl.DataFrame:
    return rows.select("sheet_id", "row", "finess_ej", "annex", "code", cell="code_cell", date=french(pl.col("as_of")), **more)


@check("cpom.R19")
def group_indicator_outside_a_group(scene: Scene) -> Answer:
    rows = _chosen(scene, *GROUP_ONLY)
    if not scene.facts.has("hospital_group"):
        return Answer(_row_cases(rows, variant=pl.lit("no_reference")))
    members = held(scene.facts.frame("hospital_group"), rows)["finess_ej"]
    return Answer(_row_cases(rows.filter(~pl.col("finess_ej").is_in(members.implode()))))


def _unauthorised(scene: Scene, rows: pl.DataFrame, activities: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of legal entities of which no establishment holds one of these authorisations, as of the day of the rows; and
    those that nothing can tell, since no list of authorisations, or no establishment of theirs, is known."""
    if not scene.facts.has("authorisation", "establishment"):
        return rows.clear(), rows
    links = held(scene.facts.frame("establishment"), rows).select("finess_ej", "finess_et", "as_of")
    own = scene.facts.frame("authorisation").filter(pl.col("activity").str.to_uppercase().is_in(activities))
    found = held(own, links.select("finess_et", "as_of"), "finess_et").select("finess_et", "as_of")
    authorised = links.join(found, on=["finess_et", "as_of"], how="semi")["finess_ej"]
    known = pl.col("finess_ej").is_in(links["finess_ej"].implode())
    return rows.filter(known & ~pl.col("finess_ej").is_in(authorised.implode())), rows.filter(~known)


@check("cpom.R20")
def home_care_without_authorisation(scene: Scene) -> Answer:
    without, untold = _unauthorised(scene, _chosen(scene, HOME_CARE), ("HAD",))
    none = pl.lit(None, pl.String)
    return Answer(pl.concat([_row_cases(without, variant=none), _row_cases(untold, variant=pl.lit("no_reference"))]))


@check("cpom.R21")
def choice_against_the_authorisations(scene: Scene) -> Answer:
    found, unknown = [], []
    listed = scene.facts.has("authorisation", "establishment")
    for code, activities, told in (
        (SURGERY, ("CHIRURGIE",), "aucune autorisation de chirurgie n'est connue"),
        (ENTRIES, ACUTE, "aucune autorisation de médecine, chirurgie ou obstétrique n'est connue"),
    ):
        without, untold = _unauthorised(scene, _chosen(scene, code), activities)
        unknown.append(untold.select("finess_ej") if listed else NOBODY)  # a list that nobody gave is told once
        found.append(_row_cases(without, constat=pl.lit(told)))
    rows = _chosen(scene, BREAST)
    said = held(scene.facts.frame("activity").filter(pl.col("activity") == "IMAGERIE_MAMMAIRE"), rows)
    absent = said.filter(~pl.col("present"))["finess_ej"]
    is_absent = pl.col("finess_ej").is_in(absent.implode())
    found.append(_row_cases(rows.filter(is_absent), constat=pl.lit("l'imagerie mammaire est dite absente")))
    unsaid = rows.filter(~is_absent & ~pl.col("finess_ej").is_in(said["finess_ej"].implode()))
    return Answer(pl.concat(found), pl.concat([*unknown, unsaid.select("finess_ej")]))


# --- when


def complete(scene: Scene) -> pl.DataFrame:
    """finess_ej, ``complete``: whether the choice that stands passes R10 to R12."""
    least = {name: scene.law.known(f"choice.min_{name}") for name in ("ct", "os", "total")}
    enough = (pl.col("n_ct") >= least["ct"]) & (pl.col("n_os") >= least["os"]) & (pl.col("total") >= least["total"])
    return counts(scene).select("finess_ej", complete=enough)


def completed_at(scene: Scene) -> pl.DataFrame:
    """finess_ej, ``completed_at``: the first instant at which the journal shows a choice that passes R10 to R12."""
    least = {name: scene.law.known(f"choice.min_{name}") for name in ("ct", "os", "total")}
    entries = scene.facts.frame("entry").filter(pl.col("annex") == "STRAT").sort("entered_at", maintain_order=True)
    before = pl.col("chosen").shift(1).over("finess_ej", "code").fill_null(value=False)
    step = entries.with_columns(
        step=pl.col("chosen").cast(pl.Int64) - before.cast(pl.Int64), kind=pl.col("code").str.slice(0, 2)
    )
    running = step.with_columns(
        pl.when(pl.col("kind") == kind).then("step").otherwise(0).cum_sum().over("finess_ej").alias(name)
        for kind, name in (("CT", "ct"), ("OS", "os"))
    )
    last = running.unique(["finess_ej", "entered_at"], keep="last", maintain_order=True)
    whole = (pl.col("ct") >= least["ct"]) & (pl.col("os") >= least["os"]) & (pl.col("ct") + pl.col("os") >= least["total"])
    return last.filter(whole).group_by("finess_ej").agg(completed_at=pl.col("entered_at").min())


@check("cpom.R36")
def choice_came_late(scene: Scene) -> Answer:
    due = scene.law.day("choice_due_on")
    contracts = scene.contracts
    if due is None or not scene.facts.has("entry"):
        return nothing_known()
    told = contracts.join(completed_at(scene), on="finess_ej", how="left", maintain_order="left")
    whole = complete(scene).filter("complete")["finess_ej"]  # of a choice that lacks something, lateness is not judged
    late = told.filter((pl.col("completed_at") >= cutoff(pl.lit(due))) & pl.col("finess_ej").is_in(whole.implode()))
    local = pl.col("completed_at").dt.convert_time_zone("Europe/Paris").dt.strftime("%d/%m/%Y à %H:%M")
    journal = scene.facts.frame("entry")["finess_ej"]
    return Answer(
        late.select("sheet_id", "finess_ej", annex=pl.lit("STRAT"), instant=local, limite=pl.lit(f"{due:%d/%m/%Y}")),
        contracts.filter(~pl.col("finess_ej").is_in(journal.implode())).select("finess_ej"),
    )


@check("cpom.R37")
def choice_changed_after_validation(scene: Scene) -> Answer:
    if not scene.facts.has("validated_choice", "amendment"):
        return nothing_known()
    validated = scene.facts.frame("validated_choice")
    before = validated.group_by("finess_ej", "annex").agg(
        before=pl.col("code").unique().sort(), validated_on=pl.col("validated_on").max()
    )
    now = scene.chosen.group_by("finess_ej", "annex", maintain_order=True).agg(
        now=pl.col("code").unique().sort(), sheet_id=pl.col("sheet_id").first(), as_of=pl.col("as_of").max()
    )
    held_by = scene.contracts.select("finess_ej", of_contract="sheet_id")
    both = before.join(held_by, on="finess_ej").join(now, on=["finess_ej", "annex"], how="left")
    none = pl.lit([], pl.List(pl.String))  # all that was validated of an annex may have been taken back
    both = both.with_columns(pl.col("now").fill_null(none), sheet_id=pl.coalesce("sheet_id", "of_contract"))
    signed = scene.facts.frame("amendment").select(
        "finess_ej", "signed_on", about=pl.col("annex").str.to_uppercase().str.replace("^STRATEGIQUE$", "STRAT")
    )
    signed = both.select("finess_ej", "annex", "validated_on").join(signed, on="finess_ej")
    about = pl.col("about").is_null() | (pl.col("about") == pl.col("annex"))
    covered = signed.filter(about & (pl.col("signed_on") >= pl.col("validated_on"))).select("finess_ej", "annex")
    changed = both.join(covered, on=["finess_ej", "annex"], how="anti").filter(pl.col("before") != pl.col("now"))
    cases = changed.sort("finess_ej", "annex").select(
        "sheet_id",
        "finess_ej",
        "annex",
        date=french(pl.col("validated_on")),
        ajoutes=joined(pl.col("now").list.set_difference("before").list.sort()),
        retires=joined(pl.col("before").list.set_difference("now").list.sort()),
    )
    waiting = now.filter(~pl.col("finess_ej").is_in(before["finess_ej"].implode()))
    return Answer(cases, waiting.select("finess_ej"))
