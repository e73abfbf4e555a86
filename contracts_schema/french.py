"""Numbers, counts, marks and what the system answers, as French readers write them. Knows words only, not what they tell of."""

import errno
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

THIN = "\u202f"

SYSTEM = {
    errno.EACCES: "accès refusé",
    errno.EPERM: "opération interdite",
    errno.ENOENT: "fichier ou dossier introuvable",
    errno.EISDIR: "c'est un dossier",
    errno.ENOTDIR: "ce n'est pas un dossier",
    errno.EEXIST: "existe déjà",
    errno.ENOSPC: "plus de place sur le disque",
    errno.EDQUOT: "quota de disque dépassé",
    errno.EFBIG: "fichier trop grand pour ce disque",
    errno.EROFS: "disque en lecture seule",
    errno.EIO: "erreur d'entrée-sortie du disque",
    errno.EMFILE: "trop de fichiers ouverts",
    errno.ENAMETOOLONG: "nom trop long",
    errno.ESTALE: "disque du réseau perdu",
    errno.ETIMEDOUT: "pas de réponse à temps",
    errno.ENOMEM: "plus de mémoire",
}
"""What the system's refusals mean, by number; any other is told in its own words."""

SQLITE_SAYS = {
    "locked": "occupé par un autre processus",
    "is full": "plus de place sur le disque",
    "readonly": "en lecture seule",
    "unable to open": "fichier impossible à ouvrir (dossier absent, ou accès refusé)",
    "not a database": "ce fichier n'est pas une base SQLite",
    "malformed": "fichier abîmé : à restaurer d'une sauvegarde",
    "disk I/O": "erreur d'entrée-sortie du disque",
}
"""What the messages of SQLite mean, by words of theirs; any other is told as it is."""


def system_error(error: OSError) -> str:
    """What the system refused, without the name of the file."""
    return SYSTEM.get(error.errno or 0) or error.strerror or type(error).__name__


def sqlite_error(said: str) -> str:
    """What a message of SQLite, which holds no value, means."""
    return next((told for words, told in SQLITE_SAYS.items() if words in said), said)


def number(value: int) -> str:
    """An integer with narrow spaces between thousands."""
    return f"{value:,}".replace(",", THIN)


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """A count and what is counted: ``0 ligne``, ``1 ligne``, ``2 lignes``; ``plural`` where no s makes it."""
    return f"{number(count)} {singular if count < 2 else plural or f'{singular}s'}"


def euros(cents: int) -> str:
    """An amount in cents as French readers write it: ``25,00 €``."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{number(whole)},{rest:02d} €"


def euros_of(cents: "pl.Expr") -> "pl.Expr":
    """The same of a column of cents; null where there is none."""
    import polars as pl

    sign = pl.when(cents < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    backwards = (cents.abs() // 100).cast(pl.String).str.reverse().str.replace_all(r"(\d{3})", f"${{1}}{THIN}")
    rest = (cents.abs() % 100).cast(pl.String).str.zfill(2)
    return pl.concat_str(sign, backwards.str.reverse().str.strip_chars_start(THIN), pl.lit(","), rest, pl.lit(" €"))


def bound(text: str) -> str:
    """A text whose marks (« » : ; ? !) and signs (%, €, n°) no end of line parts from their words."""
    return re.sub(r"(?<=«|°) | (?=[»:;?!%€])", "\u00a0", text)
