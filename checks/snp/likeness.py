"""How near two identifiers or two names are: column against column, never row by row."""

import numpy as np
import polars as pl

KIND_PREFIX = (
    r"^(?:(?:la|le|les|l) )?(?:cpts|msp|cds|maison de sante(?: pluriprofessionnelle| pluridisciplinaire)?|centre de sante"
    r"|communaute professionnelle territoriale de sante)\b(?: (?:de la|de l|du|des|de|d|la|le|les|l)\b)?"
)


def edits(left: pl.Series, right: pl.Series) -> pl.Series:
    """Levenshtein distances between two columns of text of equal height."""
    if left.is_empty():
        return pl.Series([], dtype=pl.Int64)
    first, second = _letters(left), _letters(right)
    before = np.broadcast_to(np.arange(second.shape[1] + 1), (len(left), second.shape[1] + 1)).astype(np.int64)
    lengths = right.str.len_chars().to_numpy()
    ends = left.str.len_chars().to_numpy()
    distance = lengths.copy()
    for i in range(first.shape[1]):
        row = np.empty_like(before)
        row[:, 0] = i + 1
        for j in range(second.shape[1]):
            swap = before[:, j] + (first[:, i] != second[:, j])
            row[:, j + 1] = np.minimum(np.minimum(before[:, j + 1], row[:, j]) + 1, swap)
        before = row
        done = ends == i + 1
        distance[done] = row[done, lengths[done]]
    return pl.Series(distance.astype(np.int64))


def _letters(texts: pl.Series) -> "np.ndarray[tuple[int, int], np.dtype[np.uint32]]":
    """One row a text, one column a letter, padded with zeros."""
    fixed = np.array(texts.to_list(), dtype=np.str_)
    return fixed.view(np.uint32).reshape(len(texts), -1)


def name_key(name: pl.Expr) -> pl.Expr:
    """A structure's name without accents, case, punctuation and without the prefix of its kind; null when nothing is left."""
    plain = name.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase().str.replace_all(r"[.]", "")
    words = plain.str.replace_all(r"[^a-z0-9]+", " ").str.strip_chars()
    rest = words.str.replace(KIND_PREFIX, "").str.strip_chars()
    return pl.when(rest != "").then(rest)
