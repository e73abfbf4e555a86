"""Rules about the values of a chosen indicator from 2024 to its last target year: R22, R23, R27 to R35."""

import polars as pl

from checks.cpom.reading import missing_words
from checks.cpom.ruling import Answer, check, shown
from checks.cpom.scene import Scene
from contracts_schema.cpom_catalogue import BASELINE_YEAR

_KEYS = ["finess_ej", "annex", "code"]
UP, DOWN = pl.col("direction") == "up", pl.col("direction") == "down"


def _absent(scene: Scene) -> pl.DataFrame:
    """Chosen indicators and the years that have no accepted value and no rejected cell; ``missing``: what stands there."""
    years = scene.chosen.with_columns(
        year=pl.int_ranges(pl.lit(BASELINE_YEAR), pl.col("last_year") + 1, dtype=pl.Int64)
    ).explode("year")
    same = [*_KEYS, "year"]
    given = scene.planned.filter(pl.col("missing").is_null()).select(same)
    own = scene.facts.row.join(scene.choices, on="sheet_id").select("sheet_id", "row", *_KEYS)
    away = scene.rejected.filter(pl.col("rule") != "cpom.R24").join(own, on=["sheet_id", "row"]).select(same)
    absent = years.join(given, on=same, how="anti", maintain_order="left").join(
        away, on=same, how="anti", maintain_order="left"
    )
    words = scene.planned.drop_nulls("missing").group_by(same).agg(pl.col("missing").first(), value_cell=pl.col("cell").first())
    return absent.join(words, on=same, how="left", maintain_order="left")


def _rows(rows: pl.DataFrame, **more: pl.Expr) -> Answer:
    more = {"cell": pl.col("code_cell")} | more
    return Answer(rows.select("sheet_id", "row", "finess_ej", "annex", "code", **more))


@check("cpom.R22")
def initial_value_is_absent(scene: Scene) -> Answer:
    absent = _absent(scene).filter(pl.col("year") == BASELINE_YEAR)
    where = pl.coalesce("value_cell", "code_cell")
    return _rows(absent, year=pl.col("year"), cell=where, motif=missing_words(pl.col("missing")))


@check("cpom.R23")
def target_is_absent(scene: Scene) -> Answer:
    absent = _absent(scene).filter(pl.col("year") > BASELINE_YEAR)
    where = pl.coalesce("value_cell", "code_cell")
    return _rows(absent, year=pl.col("year"), cell=where, motif=missing_words(pl.col("missing")))


@check("cpom.R27")
def unit_of_a_rate_is_doubtful(scene: Scene) -> Answer:
    rates = scene.values.filter((pl.col("value_type") == "percent") & pl.col("points").is_not_null())
    marked = pl.col("percent").is_not_null()
    told = rates.group_by("sheet_id", "row", *_KEYS, maintain_order=True).agg(
        small=(pl.col("points").is_between(0, 1, closed="right") & ~marked).all(),
        mixed=marked.any() & ~marked.all(),
        cell=pl.col("cell").first(),
        serie=pl.col("text").str.join(" ; "),
    )
    why = pl.when("mixed").then(pl.lit("certaines valeurs ont le signe %, d'autres non"))
    cases = told.filter(pl.col("small") | pl.col("mixed")).select(
        "sheet_id",
        "row",
        *_KEYS,
        "cell",
        raw="serie",
        constat=why.otherwise(pl.lit("toutes les valeurs sont entre 0 et 1, sans signe %")),
        serie="serie",
    )
    return Answer(cases)


def _ends(scene: Scene) -> pl.DataFrame:
    """Series with both ends, as they are shown."""
    found = scene.series.filter(pl.col("initial").is_not_null() & pl.col("final").is_not_null())
    words = pl.col("value_type") == "yes_no"

    def told(name: str) -> pl.Expr:
        return (
            pl.when(words)
            .then(pl.when(pl.col(name) == 1).then(pl.lit("OUI")).otherwise(pl.lit("NON")))
            .otherwise(shown(pl.col(name)))
        )

    rated = pl.col("numeric") | words
    return found.filter(rated).with_columns(initiale=told("initial"), finale=told("final"))


def _ended(rows: pl.DataFrame) -> Answer:
    names = ("initiale", "finale", "serie")
    return _rows(rows, year=pl.col("last_year"), raw=pl.col("serie"), **{name: pl.col(name) for name in names})


@check("cpom.R28")
def final_target_is_worse(scene: Scene) -> Answer:
    worse = (UP & (pl.col("final") < pl.col("initial"))) | (DOWN & (pl.col("final") > pl.col("initial")))
    return _ended(_ends(scene).filter(worse))


@check("cpom.R29")
def already_reached(scene: Scene) -> Answer:
    reached = (UP & (pl.col("initial") >= pl.col("final"))) | (DOWN & (pl.col("initial") <= pl.col("final")))
    yes = (pl.col("value_type") == "yes_no") & (pl.col("basis") == "label_explicit") & (pl.col("initial") == 1)
    return _ended(_ends(scene).filter((pl.col("numeric") & reached) | yes))


@check("cpom.R30")
def trajectory_is_flat(scene: Scene) -> Answer:
    whole = scene.series.filter(pl.col("numeric") & pl.col("complete") & pl.col("initial").is_not_null())
    flat = whole.filter(
        (pl.col("targets").list.min() == pl.col("initial")) & (pl.col("targets").list.max() == pl.col("initial"))
    )
    return _rows(flat, raw=pl.col("serie"), initiale=shown(pl.col("initial")), serie=pl.col("serie"))


def _steps(series: pl.DataFrame, values: str, years: str) -> pl.DataFrame:
    """Values of consecutive years of numeric series: ``before``, ``value``, ``year``."""
    found = series.filter("numeric")
    steps = found.with_columns(value=pl.col(values), year=pl.col(years)).explode("value", "year")
    same = pl.struct(_KEYS)
    steps = steps.with_columns(before=pl.col("value").shift(1).over(same), year_before=pl.col("year").shift(1).over(same))
    return steps.filter(pl.col("year_before") == pl.col("year") - 1)


@check("cpom.R31")
def targets_go_back(scene: Scene) -> Answer:
    steps = _steps(scene.series.filter("complete"), "targets", "target_years")
    back = (UP & (pl.col("value") < pl.col("before"))) | (DOWN & (pl.col("value") > pl.col("before")))
    first = steps.filter(back).unique(_KEYS, keep="first", maintain_order=True)
    return _rows(first, year=pl.col("year"), raw=pl.col("serie"), serie=pl.col("serie"))


@check("cpom.R32")
def target_jumps(scene: Scene) -> Answer:
    steps = _steps(scene.series, "all", "all_years")
    before, value = pl.col("before"), pl.col("value")
    jumps = steps.filter((before > 0) & (value > before * 3) & (value - before >= 10))
    first = jumps.unique(_KEYS, keep="first", maintain_order=True)
    return _rows(first, year=pl.col("year"), raw=pl.col("serie"), serie=pl.col("serie"))


def _silent() -> pl.Expr:
    return pl.col("comment").is_null() | (pl.col("comment").str.strip_chars() == "")


@check("cpom.R33")
def comment_is_absent(scene: Scene) -> Answer:
    asked = scene.chosen.filter(pl.col("comment_required"))
    empty = asked.filter(pl.col("has_comments") & _silent())
    cases = [
        empty.select(
            "sheet_id", "row", *_KEYS, cell="code_cell", variant=pl.lit(None, pl.String), liste=pl.lit(None, pl.String)
        )
    ]
    if scene.law.choice("comment_without_column") == "info":
        without = asked.filter(~pl.col("has_comments")).group_by("sheet_id", "finess_ej", "annex", maintain_order=True)
        cases.append(without.agg(liste=pl.col("code").str.join(", ")).with_columns(variant=pl.lit("no_column")))
    return Answer(pl.concat(cases, how="diagonal"))


@check("cpom.R34")
def pharmacy_or_biology_is_not_told(scene: Scene) -> Answer:
    rows = scene.chosen.filter(pl.col("code") == "CT_03_1_1")
    texts = scene.values.filter(pl.col("code") == "CT_03_1_1").group_by(_KEYS).agg(said=pl.col("text").str.join(" "))
    told = pl.concat_str("said", "comment", separator=" ", ignore_nulls=True).str.to_lowercase()
    rows = rows.join(texts, on=_KEYS, how="left", maintain_order="left")
    return _rows(rows.filter(~told.str.contains("pharmacie|biologie").fill_null(value=False)))


@check("cpom.R35")
def composite_value_is_not_split(scene: Scene) -> Answer:
    composite = pl.col("value_type").is_in(["integer_composite", "yes_no_composite"])
    bare = pl.col("number").is_not_null() | pl.col("yes_no").is_not_null()
    alone = scene.values.filter(composite & bare).unique(["sheet_id", "row"], keep="first", maintain_order=True)
    told = alone.join(scene.chosen.filter(_silent()).select("sheet_id", "row"), on=["sheet_id", "row"], how="semi")
    return Answer(
        told.select("sheet_id", "row", *_KEYS, "cell", "year", raw="text", unite=pl.col("unit").fill_null("deux éléments"))
    )
