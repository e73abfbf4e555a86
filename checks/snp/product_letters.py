"""The questions to each structure, as one French text ready to paste into a letter.

Holds no fact of a patient and nothing that only the caisse can answer. A text stays short enough for a cell of a workbook.
"""

import polars as pl

from checks.snp.outcome import ASK
from checks.snp.product_findings import LINE
from checks.snp.ruling import french
from contracts_schema.french import euros_of

LONGEST = 24_000
"""Characters of questions in one letter; a cell of a workbook holds 32,767 characters."""
BY = ("caisse", "structure_key")
OPENING = """Objet : bordereaux de soins non programmés, {} {} en question

Madame, Monsieur,

Le contrôle de vos bordereaux laisse des questions. Les lignes ci-dessous ne sont ni payées ni rejetées : elles attendent \
votre réponse.

"""
CLOSING = """

Merci de répondre en rappelant le nom du fichier et le numéro de ligne.

Cordialement,"""


def letters(lines: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """One row a structure and caisse that has something to answer: ``lines_to_answer`` and ``questions``, the text.

    ``lines`` as the table of lines is made from them, ``findings`` as ``product_findings.told`` gives them.
    """
    asked = lines.filter(pl.col("outcome") == "ASK")
    questions = findings.filter(pl.col("rank") == ASK, pl.col("asked_of") == "structure")
    questions = questions.with_columns(question=_question(pl.col("reason"), pl.col("change_fr"))).sort("place")
    own = questions.drop_nulls("line_number").group_by(LINE, maintain_order=True).agg(pl.col("question").str.join("\n"))
    whole = questions.filter(pl.col("line_number").is_null()).group_by("bordereau_id", maintain_order=True)
    by_line = asked.join(own, on=LINE, how="left", maintain_order="left").with_columns(
        question=pl.concat_str("question", _of_person(), separator="\n", ignore_nulls=True).replace("", None)
    )
    shared = whole.agg(whole=pl.concat_str(pl.lit("Pour tout le bordereau :\n"), pl.col("question").str.join("\n")))
    rows = by_line.join(shared, on="bordereau_id", how="left", maintain_order="left")
    rows = rows.filter(pl.col("question").is_not_null() | pl.col("whole").is_not_null())
    rows = rows.sort(*BY, "received_on", *LINE).with_columns(
        item=pl.concat_str(_named(), pl.lit("\n"), "question"),
    )
    size = pl.col("item").str.len_chars().fill_null(0).cum_sum().over(BY)
    rows = rows.with_columns(kept=size <= LONGEST)
    return _letters(rows)


def _letters(rows: pl.DataFrame) -> pl.DataFrame:
    head = pl.format("Bordereau {}, reçu le {}", pl.col("file").fill_null("sans nom"), french(pl.col("received_on")))
    of_bordereau = rows.group_by(*BY, "received_on", "bordereau_id", maintain_order=True).agg(
        head=head.first(),
        whole=pl.col("whole").first(),
        items=pl.col("item").filter("kept").drop_nulls().str.join("\n"),
        lines=pl.len(),
        left=(~pl.col("kept") & pl.col("item").is_not_null()).sum(),
    )
    parts = pl.concat_str("head", "whole", pl.col("items").replace("", None), separator="\n", ignore_nulls=True)
    size = parts.str.len_chars().cum_sum().over(BY)
    fits = (size <= LONGEST + 4_000) | (pl.int_range(pl.len()).over(BY) == 0)
    made = of_bordereau.with_columns(part=parts).with_columns(fits=fits)
    found = made.group_by(BY, maintain_order=True).agg(
        text=pl.col("part").filter("fits").str.join("\n\n"),
        lines=pl.col("lines").sum(),
        left=pl.when("fits").then("left").otherwise("lines").sum(),
    )
    others = pl.when(pl.col("left") < 2).then(pl.lit("autre ligne")).otherwise(pl.lit("autres lignes"))
    rest = pl.format("\n\n… et {} {} de la table des lignes, de résultat « Question à poser ».", "left", others)
    word = pl.when(pl.col("lines") < 2).then(pl.lit("ligne")).otherwise(pl.lit("lignes"))
    return found.select(
        *BY,
        lines_to_answer=pl.col("lines").cast(pl.Int64),
        questions=pl.concat_str(
            pl.format(OPENING, "lines", word),
            "text",
            pl.when(pl.col("left") > 0).then(rest).otherwise(pl.lit("")),
            pl.lit(CLOSING),
        ),
    )


def _named() -> pl.Expr:
    """How a letter names a line: as the structure finds it in its own file."""
    when = pl.coalesce(
        pl.concat_str(pl.lit(" du "), french(pl.col("day"))), pl.concat_str(pl.lit(" du mois "), "month"), pl.lit("")
    )
    what = pl.coalesce("protocol", "label", pl.lit("protocole non lu"))
    act = pl.concat_str(pl.lit(", "), pl.col("act_fr").str.to_lowercase()).fill_null("")
    return pl.concat_str(
        pl.lit("Ligne "),
        pl.coalesce("row", "line_number").cast(pl.String),
        pl.lit(" ("),
        pl.concat_str(what, act, when, pl.lit(", "), euros_of(pl.col("claimed_cents")), pl.lit(") :")),
    )


def _question(reason: pl.Expr, change: pl.Expr) -> pl.Expr:
    """What was found, and what is expected; without the commands of the hub."""
    expected = change.str.replace_all(r" \((?:commande|politique) [^)]*\)", "").replace("", None)
    small = pl.concat_str(expected.str.slice(0, 1).str.to_lowercase(), expected.str.slice(1))
    return pl.concat_str(pl.lit("– "), reason, pl.concat_str(pl.lit(" Attendu : "), small).fill_null(""))


def _of_person() -> pl.Expr:
    """The question that a person asks by deciding to ask."""
    return pl.when(pl.col("decision") == "ask").then(pl.concat_str(pl.lit("– Question de l'agent : "), "decision_reason"))
