"""What ``status`` says waits for a decision, and what no longer does."""

from pathlib import Path

from conftest import Ecluse, the

from connectors.synthetic import Recipe, fictional_finess, write_rsa
from flows import deliveries, state
from flows.hub import init_hub, open_hub


def test_a_held_delivery_waits_until_a_later_one_stands_for_its_scope(tmp_path: Path) -> None:
    init_hub(tmp_path / "hub")
    hub = open_hub(tmp_path / "hub")
    finess = fictional_finess()
    for month, stays in ((1, 40), (2, 5), (3, 40)):
        recipe = Recipe(finess, 2026, month, stays, seed=1)
        write_rsa(tmp_path / f"{finess}.2026.{month}.rsa", recipe)
    waiting = []
    for month in (1, 2, 3):
        deliveries.ingest(hub, the(tmp_path / f"{finess}.2026.{month}.rsa"))
        waiting.append([held["period"] for held in state.status(hub)["held"]])
    assert waiting == [[], [2], []]
    assert [held["period"] for held in state.status(hub, until=4)["held"]] == [2], "as it was known then"


def test_a_setting_that_does_not_exist_is_wrong_usage_and_never_a_default(home: Path, ecluse: Ecluse) -> None:
    settings = home / "ecluse.toml"
    settings.write_text('databse_url = "postgresql://x"\n' + settings.read_text())
    said = ecluse("status")
    assert (said.code, "réglage inconnu : databse_url" in said.err) == (2, True)
