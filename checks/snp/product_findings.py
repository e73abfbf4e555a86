"""The findings as people read them: French words and texts made from the evidence, and the reason of each line.

Must never tell of a finding more than its evidence holds; notes, which stop nothing, are told once for each bordereau.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import polars as pl

from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.outcome import ASK, PAY, PRECEDENCE
from checks.snp.ruling import CHECKS
from contracts_schema.french import euros_of
from contracts_schema.rules import catalogue
from contracts_schema.yaml_files import read_yaml

LINE = ("bordereau_id", "line_number")
NO_OBJECTION = "Aucun contrôle ne s'y oppose."
DECISION = "decision"
"""Level of the rules about two judgements: they propose, and decide no line."""


@cache
def words(name: str) -> Any:
    """A file of words and tables of ``contracts_schema/snp``."""
    return read_yaml(files("contracts_schema").joinpath("snp", name))


@cache
def results() -> dict[str, str]:
    """What each outcome is called in French; ``REPLACED`` is that of a line whose bordereau was replaced."""
    told = words("reconciliation.yaml")["outcomes"]
    return {code: entry["label_fr"] for code, entry in told.items()} | {"REPLACED": words("words.yaml")["replaced"]}


def spoken(column: str, table: str) -> pl.Expr:
    """Codes as the French words of ``words.yaml``; a code that has none stays, null stays null."""
    return pl.col(column).replace(words("words.yaml")[table])


def told(findings: pl.DataFrame, facts: Facts, law: Law) -> pl.DataFrame:
    """The findings with texts: ``rank`` (of ``PRECEDENCE``), ``title``, ``result``, ``reason``, ``basis``, ``sources``,
    ``status``, ``seen`` (cells and values), ``dossier``, ``timeline``, ``asked_of``; ``place`` is the order of the catalogue.

    ``lines``: how many lines a row is about, null for a whole bordereau. Notes become one row a bordereau and rule.
    """
    rules = {rule.id: rule for rule in catalogue().values() if rule.id.startswith("snp.")}
    titles = {rule: found.label_fr for rule, found in rules.items()}
    proposals = [rule for rule, found in rules.items() if found.level == DECISION]
    silent = [rule for rule, found in rules.items() if found.effect_on_lines == "none"]
    names, statuses = words("words.yaml")["findings"], words("words.yaml")["statuses"]
    ranks = {outcome: place for place, outcome in enumerate(PRECEDENCE)}
    listed = pl.col("mention") | pl.col("note") | pl.col("rule").is_in([*proposals, *silent])
    rows = pl.concat([_with_evidence(findings.filter(~pl.col("note")), facts, law), _notes(findings, facts, law)])
    return rows.with_columns(
        rank=pl.when(listed).then(PAY).when("blocking").then(ASK).otherwise(_mapped("outcome", ranks, pl.Int64())),
        place=_mapped("rule", {rule: place for place, rule in enumerate(rules)}, pl.Int64()),
        title=_mapped("rule", titles),
        result=pl.when("note")
        .then(pl.lit(names["note"]))
        .when("mention")
        .then(pl.lit(names["mention"]))
        .when("blocking")
        .then(pl.lit(names["blocking"]))
        .otherwise(pl.col("outcome").replace(results())),
        basis=_mapped("rule", {rule: found.basis_fr for rule, found in rules.items()}),
        sources=_mapped("rule", {rule: _sources(found.source) for rule, found in rules.items()}),
        status=_mapped("rule", {rule: statuses[found.status] for rule, found in rules.items()}),
    )


def reasons(findings: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """One row a line: ``reason``, the sentences of what decides it, the strictest first, and ``change``, what would change it.

    ``findings`` as ``told`` gives them; ``lines`` with what is proposed. A line that nothing speaks against says so.
    """
    about = findings.filter(~pl.col("note"))
    own = about.drop_nulls("line_number")
    whole = about.filter(pl.col("line_number").is_null(), pl.col("rank") > PAY).drop("line_number")
    shared = lines.select(LINE).join(whole, on="bordereau_id")
    columns = [*LINE, "rank", "place", "reason", "change_fr"]
    rows = pl.concat([own.select(columns), shared.select(columns)]).sort(
        *LINE, "rank", "place", descending=[False, False, True, False]
    )
    stops = pl.col("rank") > PAY
    said = rows.group_by(LINE, maintain_order=True).agg(
        stops=pl.col("reason").filter(stops).unique(maintain_order=True).str.join(" "),
        notes=pl.col("reason").filter(~stops).unique(maintain_order=True).str.join(" "),
        change=pl.col("change_fr").filter(stops & (pl.col("change_fr") != "")).unique(maintain_order=True).str.join(" "),
    )
    texts = lines.join(said, on=LINE, how="left", maintain_order="left").with_columns(
        pl.col("stops", "notes", "change").replace("", None)
    )
    partly = pl.col("proposed_outcome") == "ADJUST"
    payable = pl.format(
        "Payable : {} sur {} demandés", euros_of(pl.col("proposed_payable_cents")), euros_of(pl.col("asked_cents"))
    )
    before = pl.format(", déjà payé : {}", euros_of(pl.col("paid_cents")))
    parts = [
        pl.coalesce("stops", pl.when(~partly).then(pl.lit(NO_OBJECTION))),
        pl.when(partly).then(
            pl.concat_str(payable, pl.when(pl.col("paid_cents") > 0).then(before), pl.lit("."), ignore_nulls=True)
        ),
        pl.format("À noter : {}", "notes"),
    ]
    return texts.select(*LINE, reason=pl.concat_str(parts, separator=" ", ignore_nulls=True), change="change")


def _notes(findings: pl.DataFrame, facts: Facts, law: Law) -> pl.DataFrame:
    """What could not be verified and stops nothing: the same words for many lines, so one row a bordereau and rule."""
    notes = findings.filter("note").with_columns(reason=pl.col("evidence").str.json_path_match("$.motif"))
    once = notes.group_by("bordereau_id", "rule", maintain_order=True).agg(
        pl.col("reason").unique(maintain_order=True).str.join(" "),
        lines=pl.when(pl.col("line_number").is_not_null().any()).then(pl.len().cast(pl.Int64)),
    )
    empty = _with_evidence(findings.clear(), facts, law)
    missing = [pl.lit(None, kind).alias(name) for name, kind in empty.schema.items() if name not in once.columns]
    flags = {"outcome": pl.lit("NOT_EVALUABLE"), "mention": pl.lit(False), "note": pl.lit(True), "blocking": pl.lit(False)}
    return once.with_columns(missing).with_columns(**flags).select(empty.columns)


def _with_evidence(findings: pl.DataFrame, facts: Facts, law: Law) -> pl.DataFrame:
    """The findings with the texts that only their evidence holds."""
    seen = _seen(facts, law)
    read = findings.with_columns(told=pl.col("evidence").str.json_decode(_evidence(seen))).with_row_index("finding")
    read = read.join(_cells(read), on="finding", how="left", maintain_order="left")
    field = pl.col("told").struct.field
    values = field("constate")
    shown = [pl.format(f"{_label(name)} : {{}}", values.struct.field(name)) for name in seen]
    dossier = field("dossier").struct.field
    return read.select(
        *findings.drop("evidence").columns,
        lines=pl.when(pl.col("line_number").is_not_null()).then(pl.lit(1, pl.Int64)),
        reason=field("motif"),
        asked_of=field("interlocuteur"),
        seen=pl.concat_str("cells", *shown, separator=" ; ", ignore_nulls=True).replace("", None),
        dossier=dossier("numero"),
        timeline=pl.concat_str(dossier("chronologie"), dossier("equipe"), separator=" ; ", ignore_nulls=True).replace("", None),
    )


def _cells(read: pl.DataFrame) -> pl.DataFrame:
    """The cells that each finding shows, as one text: ``finding``, ``cells``."""
    cell = pl.col("cell").struct.field
    shown = pl.format(
        "cellule {} ({}) : {}",
        cell("cellule"),
        cell("colonne").replace(words("words.yaml")["columns"]),
        pl.coalesce(pl.format("« {} »", cell("texte")), pl.lit("vide")),
    )
    rows = read.select("finding", cell=pl.col("told").struct.field("cellules")).explode("cell").drop_nulls("cell")
    return rows.group_by("finding", maintain_order=True).agg(cells=shown.str.join(" ; "))


def _seen(facts: Facts, law: Law) -> list[str]:
    """The names of the values that the evidence of any rule may hold."""
    return sorted({name for check in CHECKS.values() for name in check.judge(law, facts).fields})


def _evidence(seen: list[str]) -> pl.Struct:
    text = pl.String()
    cell = pl.Struct({"colonne": text, "cellule": text, "texte": text})
    dossier = pl.Struct({"numero": text, "depot": text, "chronologie": text, "equipe": text})
    values = pl.Struct(dict.fromkeys(seen, text))
    return pl.Struct({"motif": text, "interlocuteur": text, "cellules": pl.List(cell), "dossier": dossier, "constate": values})


def _label(name: str) -> str:
    return str(words("words.yaml")["evidence"].get(name, name.replace("_", " ")))


def _sources(ids: str) -> str | None:
    """The titles of the sources of a rule."""
    titles = {name: entry["title"] for name, entry in words("protocols.yaml")["sources"].items()} | words("words.yaml")[
        "sources"
    ]
    return " ; ".join(titles[name] for name in ids.split(", ")) if ids else None


def _mapped(column: str, table: dict[str, Any], kind: pl.DataType | None = None) -> pl.Expr:
    return pl.col(column).replace_strict(table, default=None, return_dtype=kind or pl.String())
