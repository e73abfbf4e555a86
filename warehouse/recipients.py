"""Who products are for: a CPAM by its caisse code or an ARS by its region, with what it may be given and in which forms."""

from dataclasses import dataclass

from contracts_schema.geography import CAISSE as CAISSE
from contracts_schema.geography import region_label, regions
from contracts_schema.products import CLASSIFICATIONS, Product

KINDS = ("ars", "cpam")
FORMATS = ("parquet", "csv", "xlsx")
CLEARANCES = CLASSIFICATIONS[:-1]
"""What is restricted is cleared for nobody."""

USUAL = {"ars": "aggregate", "cpam": "individual"}
"""The clearance of a recipient whose settings say none: an ARS steers by counts, a CPAM pays acts one by one."""


class UnknownRecipient(Exception):
    """Not a recipient that can be; the message names the setting at fault and what it takes."""


class AboveClearance(Exception):
    """A product holds columns that its recipient is not cleared for; the message names them."""


@dataclass(frozen=True)
class Recipient:
    """One recipient: ``ars-76`` is the ARS of region 76, ``cpam-311`` the CPAM of caisse 311."""

    kind: str
    territory: str
    clearance: str = "aggregate"
    formats: tuple[str, ...] = FORMATS

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.territory}"

    @property
    def label_fr(self) -> str:
        return region_label(self.territory) if self.kind == "ars" else f"CPAM {self.territory}"

    @property
    def schema(self) -> str:
        """Its schema and its login role in PostgreSQL, its file in SQLite."""
        return self.name.replace("-", "_").lower()

    @property
    def staging_schema(self) -> str:
        """Where a publication waits for its gate in PostgreSQL: never readable by the recipient."""
        return f"{self.schema}_staging"


def recipient(name: str, clearance: str | None = None, formats: tuple[str, ...] = FORMATS) -> Recipient:
    """The recipient of this name: ``ars-<INSEE code of a region>`` or ``cpam-<three characters of the caisse>``.

    Without a clearance it has the usual one of its kind.
    UnknownRecipient when the name, the clearance or a format is not one.
    """
    kind, _, territory = name.partition("-")
    if kind not in KINDS:
        raise UnknownRecipient(": attendu ars-<région> ou cpam-<caisse>, par exemple ars-76 ou cpam-311")
    if kind == "ars" and territory not in regions():
        raise UnknownRecipient(f": région inconnue (codes INSEE : {', '.join(regions())})")
    if kind == "cpam" and not CAISSE.fullmatch(territory):
        raise UnknownRecipient(": code de caisse attendu en trois caractères, par exemple cpam-311")
    clearance = USUAL[kind] if clearance is None else clearance
    if clearance not in CLEARANCES:
        raise UnknownRecipient(f"clearance : attendu {', '.join(CLEARANCES)}")
    if not formats or not set(formats) <= set(FORMATS) or len(set(formats)) < len(formats):
        raise UnknownRecipient(f"formats : attendu au moins un de {', '.join(FORMATS)}, chacun une fois")
    return Recipient(kind, territory, clearance, formats)


def refuse_above_clearance(product: Product, recipient: Recipient) -> None:
    """AboveClearance when a column of the product is classified above what the recipient may be given."""
    highest = CLASSIFICATIONS.index(recipient.clearance)
    above = [
        f"{table.name}.{column.name} ({column.classification})"
        for table in product.tables
        for column in table.columns
        if CLASSIFICATIONS.index(column.classification) > highest
    ]
    if above:
        raise AboveClearance(f"{product.id} n'est pas pour {recipient.name} ({recipient.clearance}) : {', '.join(above)}")
