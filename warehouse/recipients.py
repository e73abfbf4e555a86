"""Who products are for: a CPAM by its caisse code or an ARS by its region, with what it may be given and in which forms."""

from dataclasses import dataclass

from contracts_schema.products import CLASSIFICATIONS, Product

KINDS = ("ars", "cpam")
FORMATS = ("parquet", "csv", "xlsx")
CLEARANCES = CLASSIFICATIONS[:-1]
"""What is restricted is cleared for nobody."""


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
    def schema(self) -> str:
        """Its schema and its login role in PostgreSQL, its file in SQLite."""
        return self.name.replace("-", "_")


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
