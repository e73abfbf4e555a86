"""Prefect's lineage graph: deliveries → heads → products, as assets that runs materialize.

For people who look at Prefect's pages; the event log is the record, and a run that loses its lineage loses nothing. Keys hold
scopes (source, field, FINESS of the establishment, year), recipients and products; metadata holds counts, never a row.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from prefect.assets import Asset, AssetProperties, materialize
from prefect.assets.core import add_asset_metadata
from prefect.cache_policies import NO_CACHE

AT_A_TIME = 80
"""What an event names of what an asset is made from. A server on SQLite loses, with an error in its log, an event that holds
more than 999 values: seven for each of these and for the resources that Prefect adds (run, flow, deployment, pool, tags)."""


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

    An asset made from many is told in several events, each of which names some.
    """
    made_from: list[Asset | str] = [*upstream]
    asset = Asset(key=key, properties=AssetProperties(name=label))

    def lineage() -> None:
        add_asset_metadata(key, dict(facts))

    for start in range(0, max(len(made_from), 1), AT_A_TIME):
        materialize(
            asset,
            asset_deps=made_from[start : start + AT_A_TIME],
            by="ecluse",
            name="lineage",
            cache_policy=NO_CACHE,
            persist_result=False,
        )(lineage)()
