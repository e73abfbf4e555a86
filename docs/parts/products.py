"""What a recipient gets, column by column: the dictionary of the products of each maker."""

from collections.abc import Iterable

from contracts_schema.products import Product, products
from parts.markdown import code, table_of


def dictionary(made_by: str) -> str:
    """The products that this maker computes."""
    return "\n".join(part for product in products().values() if product.made_by == made_by for part in _product(product))


def _product(product: Product) -> Iterable[str]:
    territory = "region" if product.recipient_kind == "ars" else "caisse"
    yield f"### `{product.recipient_kind}-<{territory}>/{product.id}`\n\n{product.label_fr}. {product.description_fr}"
    for table in product.tables:
        rows = ((f"`{c.name}`", c.type, c.classification, c.label_fr) for c in table.columns)
        yield f"#### {table.name}\n\n{table.label_fr}, from `{table.view}`. One row per {code(table.keys)}.\n"
        yield table_of(("column", "type", "classification", "label"), rows)
        for mask in table.mask:
            beside = f", and where {code(mask.only_with, ' or ')} is empty" if mask.only_with else ""
            yield f"- {code(mask.hides)}: empty where {code(mask.counts, ' or ')} is under the threshold{beside}."
        yield ""
