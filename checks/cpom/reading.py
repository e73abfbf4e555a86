"""Rules about sheets, rows and cells as typed: R01 to R09, R24 to R26, R38, R39. What they set aside, nothing else sees."""

import difflib
import unicodedata

import polars as pl

from checks.cpom.facts import held
from checks.cpom.ruling import Answer, check, french, nothing_known
from checks.cpom.scene import Scene
from contracts_schema.cpom_catalogue import indicators, plain_label
from contracts_schema.identifiers import finess_check_digit, finess_key, well_formed

_KEYS = ["finess_ej", "annex", "code", "year", "role"]
_EXPECTED = {
    "yes_no": "un OUI ou un NON",
    "integer": "un nombre entier",
    "file_active": "un nombre entier de personnes",
    "percent": "un taux",
}
_WORDS = {
    "CHU": "CENTRE HOSPITALIER UNIVERSITAIRE", "CH": "CENTRE HOSPITALIER",
    "CLIN": "CLINIQUE", "POLYCLIN": "POLYCLINIQUE", "HOP": "HOPITAL", "ST": "SAINT", "STE": "SAINTE",
}  # fmt: skip


# --- the sheet


@check("cpom.R01", "sheet")
def finess_is_malformed(scene: Scene) -> Answer:
    number = pl.col("finess_ej")
    formed = well_formed("finess", number).fill_null(value=False)
    sheets = scene.sheets.with_columns(formed=formed, key=finess_key(number).fill_null(value=False))
    sheets = sheets.with_columns(known=_known(scene, sheets), loaded=pl.lit(_registers(scene)))
    wrong_key = pl.col("formed") & ~pl.col("key")
    tolerated = wrong_key & (pl.col("known") | ~pl.col("loaded"))
    missing = pl.col("finess_raw").is_null() | (pl.col("finess_raw") == "")
    cases = sheets.filter(~pl.col("formed") | wrong_key).select(
        "sheet_id",
        "finess_ej",
        "annex",
        cell="finess_cell",
        raw=pl.coalesce("finess_raw", pl.lit("vide")),
        variant=pl.when(tolerated).then(pl.lit("key_known")),
        defaut=pl.when(missing)
        .then(pl.lit("est absent"))
        .when(~pl.col("formed"))
        .then(pl.lit("est mal formé (9 caractères : chiffres, A ou B en deuxième place)"))
        .otherwise(pl.lit("a une clé fausse et n'est dans aucun référentiel")),
        cle=finess_check_digit(number.str.slice(0, 8)),
        registre=pl.when("loaded")
        .then(pl.lit("le numéro est au référentiel"))
        .otherwise(pl.lit("les référentiels ne sont pas chargés")),
    )
    return Answer(cases)


def _registers(scene: Scene) -> bool:
    """Both are loaded: a number that one alone lacks may stand in the other."""
    return scene.facts.has("legal_entity", "establishment")


def _known(scene: Scene, sheets: pl.DataFrame) -> pl.Expr:
    legal, site = _in_registers(scene, sheets)
    return pl.col("finess_ej").is_in([*legal, *site])


def _in_registers(scene: Scene, sheets: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Numbers of these sheets that are in the register of legal entities, then of establishments, as of their day."""
    on = sheets.select("finess_ej", "as_of").drop_nulls()
    legal = held(scene.facts.frame("legal_entity"), on)["finess_ej"].to_list()
    sites = scene.facts.frame("establishment")
    found = held(sites, on.rename({"finess_ej": "finess_et"}), "finess_et")["finess_et"].to_list()
    return legal, found


def _well_formed(scene: Scene) -> pl.DataFrame:
    """Sheets that R01 did not quarantine."""
    found = finess_is_malformed(scene).cases.filter(pl.col("variant").is_null())["sheet_id"]
    return scene.sheets.filter(~pl.col("sheet_id").is_in(found.implode()))


@check("cpom.R02", "sheet")
def finess_is_unknown(scene: Scene) -> Answer:
    if not (scene.facts.has("legal_entity") and scene.facts.has("establishment")):
        return nothing_known()
    sheets = _well_formed(scene)
    legal, sites = _in_registers(scene, sheets)
    names = scene.facts.frame("legal_entity").unique("finess_ej", keep="first", maintain_order=True)
    cases = sheets.filter(~pl.col("finess_ej").is_in([*legal, *sites])).select(
        "sheet_id", "finess_ej", "annex", "legal_name", cell="finess_cell", raw="finess_raw", date=french(pl.col("as_of"))
    )
    near = [_nearest(row["finess_ej"], row["legal_name"], names) for row in cases.iter_rows(named=True)]
    return Answer(cases.drop("legal_name").with_columns(pl.Series("proche", near, dtype=pl.String)))


def _nearest(number: str, name: str | None, known: pl.DataFrame) -> str:
    """The entity of the same département whose name is nearest, in words; empty when there is none."""
    same = known.filter(pl.col("finess_ej").str.starts_with(number[:2]), pl.col("legal_name").is_not_null())
    told = dict(zip(same["legal_name"], same["finess_ej"], strict=True))
    found = difflib.get_close_matches(name or "", told, 1, 0.5)
    return f" ; le plus proche par le nom est {told[found[0]]}, {found[0]}" if found else ""


@check("cpom.R03", "sheet")
def finess_is_a_site(scene: Scene) -> Answer:
    if not (scene.facts.has("legal_entity") and scene.facts.has("establishment")):
        return nothing_known()
    sheets = _well_formed(scene)
    legal, sites = _in_registers(scene, sheets)
    found = sheets.filter(pl.col("finess_ej").is_in(sites) & ~pl.col("finess_ej").is_in(legal))
    links = scene.facts.frame("establishment").rename({"finess_ej": "juridique"})
    of_site = held(links, found.select("as_of", finess_et="finess_ej"), "finess_et")
    of_site = of_site.sort("finess_et", "valid_from", "juridique").unique("finess_et", keep="first")
    cases = found.join(of_site.select("finess_et", "juridique"), left_on="finess_ej", right_on="finess_et", how="left")
    return Answer(cases.select("sheet_id", "finess_ej", "annex", "juridique", cell="finess_cell", raw="finess_raw"))


@check("cpom.R04")
def name_differs(scene: Scene) -> Answer:
    if not scene.facts.has("legal_entity"):
        return nothing_known()
    sheets = scene.sheets.drop_nulls("legal_name")
    names = held(scene.facts.frame("legal_entity"), sheets).sort("finess_ej", "valid_from", maintain_order=True)
    names = names.unique("finess_ej", keep="first").select("finess_ej", attendu="legal_name")
    told = sheets.join(names, on="finess_ej", how="left", maintain_order="left")
    likeness = [
        int(100 * difflib.SequenceMatcher(None, plain_name(have), plain_name(want)).ratio()) if want else 100
        for have, want in told.select("legal_name", "attendu").iter_rows()
    ]
    told = told.with_columns(ressemblance=pl.Series(likeness, dtype=pl.Int64))
    cases = told.filter(pl.col("ressemblance") < scene.law.number("min_similarity")).select(
        "sheet_id", "finess_ej", "annex", "attendu", "ressemblance", cell="name_cell", raw="legal_name"
    )
    return Answer(cases, told.filter(pl.col("attendu").is_null()).select("finess_ej"))


def plain_name(name: str) -> str:
    """A legal name in capitals, without accents and punctuation, its usual abbreviations written out."""
    bare = "".join(
        letter for letter in unicodedata.normalize("NFKD", name.upper().replace(".", "")) if not unicodedata.combining(letter)
    )
    words = "".join(letter if letter.isalnum() else " " for letter in bare).split()
    return " ".join(_WORDS.get(word, word) for word in words)


@check("cpom.R38")
def synthesis_has_no_date(scene: Scene) -> Answer:
    sheets = scene.choices.filter(pl.col("annex") == "STRAT", pl.col("synthesis_on").is_null()).unique(
        "finess_ej", keep="first"
    )
    return Answer(
        sheets.select("sheet_id", "finess_ej", "annex", cell="synthesis_cell", raw=pl.col("synthesis_raw").fill_null("vide"))
    )


# --- the row


@check("cpom.R05", "row")
def code_is_unknown(scene: Scene) -> Answer:
    rows = scene.rows.filter(pl.col("id").is_null() & pl.col("annex").is_in(["STRAT", "HPR"]))
    codes = sorted({code for _, code in indicators()})
    near = {code: difflib.get_close_matches(code, codes, 3, 0.8) for code in rows["code"].drop_nulls().unique()}
    texts = {code: f" (codes proches : {', '.join(found)})" if found else "" for code, found in near.items()}
    cases = rows.select(
        "sheet_id",
        "row",
        "finess_ej",
        "annex",
        "code",
        cell="code_cell",
        raw=pl.coalesce("code", "label_raw", pl.lit("vide")),
        variant=pl.when("date_in_code").then(pl.lit("date_cell")),
        proche=pl.col("code").replace_strict(texts, default="", return_dtype=pl.String),
    )
    return Answer(cases)


@check("cpom.R09", "row")
def codes_disagree(scene: Scene) -> Answer:
    near = pl.col("annex") == "HPR"
    under_objective = pl.col("code").str.starts_with(pl.concat_str("objective_code", pl.lit("_")))
    under_line = pl.col("objective_code").str.starts_with(pl.concat_str("line_code", pl.lit("_")))
    wrong = ~under_objective.fill_null(value=True) | (~near & ~under_line.fill_null(value=True))
    codes = pl.concat_str("line_code", "objective_code", "code", separator=" | ", ignore_nulls=True)
    rows = scene.rows.filter(wrong & pl.col("id").is_not_null())
    return Answer(rows.select("sheet_id", "row", "finess_ej", "annex", "code", cell="code_cell", raw=codes, codes=codes))


@check("cpom.R08")
def label_differs(scene: Scene) -> Answer:
    rows = scene.rows.drop_nulls("label")
    plain = {text: plain_label(text) for name in ("label", "reference_label") for text in rows[name].drop_nulls().unique()}
    same = [pl.col(name).replace_strict(plain, default=None, return_dtype=pl.String) for name in ("label", "reference_label")]
    cases = rows.filter(same[0] != same[1])
    return Answer(
        cases.select("sheet_id", "row", "finess_ej", "annex", "code", cell="code_cell", raw="label", attendu="reference_label")
    )


# --- the cell


def _cells(values: pl.DataFrame, **more: pl.Expr) -> pl.DataFrame:
    place = ("sheet_id", "row", "finess_ej", "annex", "code", "year", "cell")
    return values.select(*place, raw="stored", texte="text", **more)


@check("cpom.R39", "cell")
def cell_is_an_error(scene: Scene) -> Answer:
    lines = scene.facts.frame("financial_line").filter("error").join(scene.sheets, on="sheet_id", how="inner")
    of_lines = lines.select("sheet_id", "finess_ej", "annex", "cell", raw="amount_raw", texte="amount_raw")
    return Answer(pl.concat([_cells(scene.values.filter("error")), of_lines], how="diagonal"))


@check("cpom.R24", "cell")
def target_after_the_annex(scene: Scene) -> Answer:
    last = scene.law.number("hpr_last_target_year")
    late = scene.values.filter((pl.col("annex") == "HPR") & (pl.col("year") > last))
    return Answer(_cells(late, derniere=pl.lit(str(last))))


@check("cpom.R25", "cell")
def value_has_the_wrong_type(scene: Scene) -> Answer:
    kind, number = pl.col("value_type"), pl.col("number")
    whole = number.is_not_null() & (number == number.floor()) & (number >= 0) & pl.col("percent").is_null()
    wrong = (
        pl.when(kind == "yes_no")
        .then(pl.col("yes_no").is_null())
        .when(kind.is_in(["integer", "file_active"]))
        .then(~whole)
        .when(kind == "percent")
        .then(number.is_null())
        .otherwise(pl.lit(value=False))
    )
    values = scene.values.filter(wrong & pl.col("missing").is_null() & ~pl.col("error"))
    expected = kind.replace_strict(_EXPECTED, default="", return_dtype=pl.String)
    return Answer(
        _cells(
            values,
            variant=pl.when((kind == "yes_no") & (pl.col("basis") == "reading")).then(pl.lit("by_reading")),
            attendu=expected,
            attendu_phrase=pl.concat_str(expected.str.slice(0, 1).str.to_uppercase(), expected.str.slice(1), pl.lit(".")),
        )
    )


@check("cpom.R26", "cell")
def rate_is_out_of_bounds(scene: Scene) -> Answer:
    return Answer(_cells(scene.values.filter((pl.col("value_type") == "percent") & ~pl.col("points").is_between(0, 100))))


def _twice(scene: Scene) -> pl.DataFrame:
    """Cells that say a year of an indicator again; ``differ``: not all alike. Empty and missing ones say nothing."""
    values = scene.values.filter(pl.col("missing").is_null() & ~pl.col("error"))
    yes_no = pl.when(pl.col("yes_no")).then(pl.lit("OUI")).when(~pl.col("yes_no")).then(pl.lit("NON"))
    number = pl.coalesce("points", "number").cast(pl.String)
    said = pl.coalesce(yes_no, number, pl.col("text").str.replace_all(r"\s+", " ").str.strip_chars())
    group = values.join(scene.sheets.select("sheet_id", "sheet"), on="sheet_id", how="left", maintain_order="left")
    group = group.with_columns(said=said, times=pl.len().over(_KEYS), kinds=said.n_unique().over(_KEYS))
    sheets = pl.col("sheet").n_unique().over(_KEYS)
    in_sheet = pl.format("« {} » {}", pl.col("sheet").fill_null("fichier"), "cell")
    group = group.with_columns(where=pl.when(sheets > 1).then(in_sheet).otherwise("cell"))
    return group.filter(pl.col("times") > 1).with_columns(
        differ=pl.col("kinds") > 1,
        cellules=pl.col("where").unique(maintain_order=True).str.join(", ").over(_KEYS),
        valeurs=pl.col("text").unique(maintain_order=True).str.join(" ; ").over(_KEYS),
        place=pl.int_range(pl.len()).over(_KEYS),
    )


@check("cpom.R06", "cell")
def two_values_for_one_year(scene: Scene) -> Answer:
    found = _twice(scene).filter("differ")
    return Answer(_cells(found, cellules=pl.col("cellules"), valeurs=pl.col("valeurs")))


@check("cpom.R07")
def the_same_value_twice(scene: Scene) -> Answer:
    found = _twice(scene).filter(~pl.col("differ") & (pl.col("place") == 0))
    return Answer(_cells(found, cellules=pl.col("cellules")))


def missing_words(missing: pl.Expr) -> pl.Expr:
    """Why a value is missing, in words that end a sentence."""
    return (
        pl.when(missing == "FORMULE")
        .then(pl.lit(" (formule sans valeur enregistrée)"))
        .when(missing.is_not_null())
        .then(pl.format(" (« {} »)", missing.replace("TIRET", "-")))
        .otherwise(pl.lit(""))
    )
