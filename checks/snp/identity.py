"""Who a bordereau is about: the structure behind its keys, its declarations, its register entry, and near misses.

An exact key links, a confirmed alias links; a likeness never does: it is only told.
"""

import polars as pl

from checks.snp.facts import Facts
from checks.snp.law import Law
from checks.snp.likeness import edits, name_key
from contracts_schema import identifiers

ALIAS_STEPS = 3
"""How many confirmed links are followed from one key to the next."""
SNP = "snp"


def bordereaux(facts: Facts, law: Law) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The bordereaux with what is known of their structure, in the order of reception, and the links to dossiers.

    Adds to the frame of the facts: ``b`` (place), ``skey`` (one key a structure), ``cherche`` (its keys as text), ``live``,
    ``known``, ``closed_on``, ``kind``, ``declared``, ``declared_kinds``, ``sibling`` (number of a dossier of another scheme,
    when there is no other) and what it names, ``near_key`` and ``near`` (the nearest dossier, as text), ``aliased``,
    ``discordant``, ``bad_key`` and ``proven`` (absence of a declaration can be trusted).
    Links: skey, number, one row for each dossier of the SNP form that is linked by an exact key.
    """
    dossiers = keyed(facts.frame("dossier"), facts, "number")
    found = keyed(
        facts.bordereau.sort("received_on", "period_from", "bordereau_id", nulls_last=True).with_row_index("b"),
        facts,
        "bordereau_id",
    )
    gone = found.filter(pl.col("replaces").is_not_null())["replaces"]
    found = found.with_columns(live=pl.col("superseded_by").is_null() & ~pl.col("bordereau_id").is_in(gone.implode()))
    links = _links(found, dossiers)
    found = _with_register(found, facts)
    found = _with_declarations(found, links)
    found = _with_near(found, dossiers.filter(pl.col("form") == SNP), law)
    found = found.with_columns(
        kind=pl.coalesce("register_kind", pl.col("declared_kinds").list.last(), "structure_kind", pl.lit("")),
        **_synchronisation(facts),
    )
    return found, links.filter(pl.col("form") == SNP).select("skey", "number").unique()


def structure_keys(frame: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Rows that name a structure by ``siret`` (adhesions, attachments, indicators), with its ``skey``."""
    return _resolved(frame.with_columns(raw_key="siret"), facts)


def keyed(frame: pl.DataFrame, facts: Facts, place: str) -> pl.DataFrame:
    """Rows with the key of their structure: SIRET, else FINESS, else name; ``place`` names a row that has none of them."""
    register = facts.frame("structure").filter(pl.col("finess").is_not_null(), pl.col("siret").is_not_null())
    by_finess = register.sort("siret").select("finess", known_siret="siret").unique("finess", keep="first", maintain_order=True)
    named = frame.join(by_finess, on="finess", how="left", maintain_order="left").with_columns(
        raw_key=pl.coalesce(
            "siret", "known_siret", "finess", pl.format("nom:{}", "structure_name"), pl.format("sans clé:{}", place)
        ),
    )
    return _resolved(named, facts)


def _resolved(frame: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Follow the confirmed links from ``raw_key`` to ``skey``."""
    links = facts.frame("alias").filter(pl.col("kind") == "structure").select(skey="from_key", next_key="to_key")
    links = links.sort("skey", "next_key").unique("skey", keep="last", maintain_order=True)
    found = frame.with_columns(skey="raw_key")
    for _ in range(ALIAS_STEPS if links.height else 0):
        found = found.join(links, on="skey", how="left", maintain_order="left")
        found = found.with_columns(skey=pl.coalesce("next_key", "skey")).drop("next_key")
    return found


def _links(found: pl.DataFrame, dossiers: pl.DataFrame) -> pl.DataFrame:
    """Dossiers of each structure: the same key, or the same FINESS under another SIRET (``other_siret``)."""
    keys = found.select("skey", "finess").unique()
    columns = ["number", "form", "demarche", "deposited_at", "structure_kind", "named_families", "siret", "raw_key"]
    told = dossiers.select(*columns, "skey", dossier_finess="finess")
    same = keys.select("skey").unique().join(told, on="skey")
    by_finess = keys.drop_nulls("finess").join(
        told.rename({"skey": "dossier_key"}), left_on="finess", right_on="dossier_finess", coalesce=False
    )
    other = by_finess.filter(pl.col("dossier_key") != pl.col("skey")).drop("finess", "dossier_key")
    return pl.concat(
        [same.with_columns(other_siret=False), other.with_columns(other_siret=True)],
        how="diagonal",
    ).sort("skey", "deposited_at", "number")


def _with_register(found: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    register = facts.frame("structure").sort("siret", "finess", "opened_on", "closed_on", "kind")
    told = {"register_kind": pl.col("kind"), "closed_on": pl.col("closed_on"), "known": pl.lit(value=True)}
    by_siret = register.drop_nulls("siret").select("siret", **told).unique("siret", keep="last", maintain_order=True)
    by_finess = register.drop_nulls("finess").select("finess", **told).unique("finess", keep="last", maintain_order=True)
    found = found.join(by_siret, on="siret", how="left", maintain_order="left")
    found = found.join(by_finess, on="finess", how="left", maintain_order="left", suffix="_2")
    right = {name: identifiers.key_is_right(name, pl.col(name)) for name in ("siret", "finess")}
    unknown = {"siret": pl.col("known").is_null(), "finess": pl.col("known_2").is_null()}
    wrong = [~right[name].fill_null(value=True) & unknown[name] for name in right]
    columns = {name: pl.coalesce(name, f"{name}_2") for name in told}
    found = found.with_columns(bad_key=pl.any_horizontal(wrong), **columns).drop([f"{name}_2" for name in told])
    return found.with_columns(
        pl.col("known").fill_null(value=False),
        cherche=pl.when(pl.col("siret").is_null() & pl.col("finess").is_null())
        .then(pl.concat_str(pl.lit("la structure « "), pl.col("structure_name").fill_null("sans nom"), pl.lit(" »")))
        .otherwise(
            pl.concat_str(
                pl.concat_str(pl.lit("SIRET "), "siret"),
                pl.concat_str(pl.lit("FINESS "), "finess"),
                separator=", ",
                ignore_nulls=True,
            )
        ),
    )


def _with_declarations(found: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    of_form = links.filter(pl.col("form") == SNP)
    declared = of_form.group_by("skey", maintain_order=True).agg(
        declared=pl.lit(value=True),
        declared_kinds=pl.col("structure_kind").drop_nulls(),
        declared_finess=pl.col("dossier_finess").drop_nulls(),
        other_siret=pl.col("other_siret").all(),
        dossier_aliased=(~pl.col("other_siret") & (pl.col("raw_key") != pl.col("skey"))).any(),
    )
    siblings = (
        links.filter(pl.col("form") != SNP)
        .group_by("skey", maintain_order=True)
        .agg(
            sibling=pl.col("number").last(),
            sibling_form=pl.col("form").last(),
            sibling_demarche=pl.col("demarche").last(),
            sibling_names=pl.col("named_families").list.explode(keep_nulls=False, empty_as_null=False).unique().sort(),
        )
    )
    found = found.join(declared, on="skey", how="left", maintain_order="left")
    found = found.join(siblings, on="skey", how="left", maintain_order="left")
    declares = pl.col("declared_finess").list.len() > 0
    other_finess = declares & pl.col("finess").is_not_null() & ~pl.col("finess").is_in(pl.col("declared_finess"))
    return found.with_columns(
        pl.col("declared").fill_null(value=False),
        sibling=pl.when(pl.col("declared").is_null()).then("sibling"),
        aliased=(pl.col("raw_key") != pl.col("skey")) | pl.col("dossier_aliased").fill_null(value=False),
        discordant=(pl.col("other_siret") | other_finess).fill_null(value=False),
    )


def _with_near(found: pl.DataFrame, dossiers: pl.DataFrame, law: Law) -> pl.DataFrame:
    """The nearest dossier of the structures that have none: same SIREN, FINESS or name much alike."""
    lost = found.filter(~pl.col("declared")).select("skey", "siret", "finess", name=name_key(pl.col("structure_name"))).unique()
    known = dossiers.select("number", "siret", "finess", "structure_name", name=name_key(pl.col("structure_name")))
    siren = pl.col("siret").str.slice(0, 9)
    by_siren = (
        lost.drop_nulls("siret")
        .with_columns(siren=siren)
        .join(known.drop_nulls("siret").with_columns(siren=siren), on="siren", suffix="_d")
    )
    by_siren = by_siren.filter(pl.col("siret") != pl.col("siret_d")).select(
        "skey",
        by_key=pl.lit(value=True),
        near=pl.format("dossier n° {} sous le SIRET {} (même SIREN)", "number", "siret_d"),
    )
    alike = [
        _alike(lost, known, "finess", law.number("near_finess_max_edits") or 0),
        _alike(lost, known, "name", law.number("similar_name_min") or 100),
    ]
    near = pl.concat([by_siren, *alike]).sort("skey", "by_key", "near", descending=[False, True, False])
    near = near.group_by("skey", maintain_order=True).agg(
        near_key=pl.col("by_key").any(), near=pl.col("near").head(3).str.join(" ; ")
    )
    return found.join(near, on="skey", how="left", maintain_order="left")


def _alike(lost: pl.DataFrame, known: pl.DataFrame, column: str, limit: int) -> pl.DataFrame:
    """Dossiers whose FINESS is within ``limit`` edits, or whose name is like at ``limit`` percent: skey, by_key, near."""
    of_key = column == "finess"
    length, other = (pl.col(name).str.len_chars().cast(pl.Int64) for name in (column, "found"))
    low, high = (length - limit, length + limit) if of_key else (length * limit // 100, length * 100 // limit)
    rows = lost.select("skey", column).drop_nulls().unique().with_columns(low=low, high=high)
    others = known.select("number", "structure_name", found=column).drop_nulls("found").with_columns(length=other)
    pairs = rows.join_where(others, pl.col("length") >= pl.col("low"), pl.col("length") <= pl.col("high"))
    pairs = pairs.with_columns(edits=edits(pairs[column], pairs["found"]), longest=pl.max_horizontal(length, "length"))
    near = pl.col("edits") <= (limit if of_key else pl.col("longest") * (100 - limit) // 100)
    likeness = (100 - 100 * pl.col("edits") / pl.col("longest")).round().cast(pl.Int64)
    text = (
        pl.format("dossier n° {} sous le FINESS {} ({} caractère(s) d'écart)", "number", "found", "edits")
        if of_key
        else pl.format("dossier n° {}, « {} » (ressemblance {} %)", "number", pl.col("structure_name"), likeness)
    )
    return pairs.filter(near).select("skey", by_key=pl.lit(of_key), near=text)


def _synchronisation(facts: Facts) -> dict[str, pl.Expr]:
    """Whether the absence of a declaration proves anything: every démarche walked whole on the day of reception or later."""
    last = facts.frame("synchronisation").group_by("demarche").agg(pl.col("completed_on").max())["completed_on"].min()
    return {
        # the column first: polars 2.1 gives one row for a literal compared with a column that was made of one value
        "proven": (pl.col("received_on") <= pl.lit(last, pl.Date)).fill_null(value=False),
        "synchronisation": pl.lit(last, pl.Date).dt.strftime("%d/%m/%Y").fill_null("aucune"),
    }
