"""Prefect's lineage graph: deliveries → heads → products, as assets that runs materialize.

For people who look at Prefect's pages; the event log is the record, and a run that loses its lineage loses nothing. Keys hold
scopes (source, field, FINESS of the establishment, year), recipients and products; metadata holds counts, never a row.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from prefect.assets import Asset, AssetProperties, materialize
from prefect.assets.core import add_asset_metadata
from prefect.cache_policies import NO_CACHE
from prefect.settings.context import get_current_settings

FROM_THE_RUN = 10
"""Resources that Prefect adds to each event: run, flow, deployment, work pool, tags."""


def delivery(scope: str, delivery_id: str) -> str:
    """The key of a delivery: the start of its id, as people name it."""
    return f"ecluse://delivery/{scope}/{delivery_id[:12]}"


def head(scope: str) -> str:
    """The key of what stands for a scope."""
    return f"ecluse://head/{scope}"


def product(recipient: str, product_id: str) -> str:
    """The key of what a recipient gets."""
    return f"ecluse://product/{recipient}/{product_id}"


def record(key: str, label: str, facts: Mapping[str, Any], upstream: Iterable[str] = ()) -> None:
    """Tell Prefect, inside of a flow, that this asset was made from those; ``facts`` are counts and names of states.

    An event that names more resources than Prefect's setting allows is refused whole, so what exceeds it is left out.
    """
    room = get_current_settings().server.events.maximum_related_resources - FROM_THE_RUN

    def lineage() -> None:
        add_asset_metadata(key, dict(facts))

    made_from: list[Asset | str] = [*upstream]
    materialize(
        Asset(key=key, properties=AssetProperties(name=label)),
        asset_deps=made_from[:room],
        by="ecluse",
        name="lineage",
        cache_policy=NO_CACHE,
        persist_result=False,
    )(lineage)()
