"""The words of actions, compared: the same but for their writing, or of one theme that the texts of the domain name."""

import polars as pl

from contracts_schema import cpts_facts


def plain(text: pl.Expr) -> pl.Expr:
    """Words without accents, capitals, punctuation nor what is between brackets; empty for none."""
    bare = text.str.replace_all(r"\([^)]*\)", " ").str.normalize("NFKD").str.replace_all(r"\p{M}", "")
    return bare.str.to_lowercase().str.replace_all("[^a-z0-9]+", " ").str.strip_chars().fill_null("")


def themes(text: pl.Expr) -> pl.Expr:
    """The themes that an action names, brackets included, as a list of their labels."""
    words = pl.concat_str(pl.lit(" "), plain(text.str.replace_all(r"[()]", " ")), pl.lit(" "))
    named = [
        pl.when(pl.any_horizontal(*(words.str.contains(f" {word}", literal=True) for word in one["words"]))).then(
            pl.lit(one["label_fr"])
        )
        for one in cpts_facts.themes()
    ]
    return pl.concat_list(named).list.drop_nulls()
