"""What ``status`` says waits for a decision, and what no longer does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import Ecluse, the

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_rsa import write_rsa
from flows import deliveries, display_status, state
from flows.hub import init_hub, open_hub, parse_instant
from warehouse.log import paris


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
    assert state.status(hub, until=0)["log"]["hash"] == "0" * 64, "before the first event there is no other"


def test_corrections_of_the_year_are_told_from_its_twelfth_month() -> None:
    found = [head("pmsi/mco/1/2026", 12, flow=flow) for flow in ("sejours", "lamda", "m999")]
    assert [period for _, _, period, *_ in display_status.heads(found, every=False)[0]] == ["12", "12 LAMDA", "12 M999"]


def test_the_day_of_a_past_state_is_the_one_asked_or_that_of_the_event(tmp_path: Path) -> None:
    init_hub(tmp_path / "hub")
    hub = replace(open_hub(tmp_path / "hub"), clock=lambda: parse_instant("2026-03-31T12:00"))
    recipe = Recipe(fictional_finess(), 2026, 1, 5, seed=1)
    path = tmp_path / f"{recipe.finess}.2026.1.rsa"
    write_rsa(path, recipe)
    deliveries.ingest(hub, the(path))
    later = replace(hub, clock=lambda: parse_instant("2026-06-15"))
    days = [state.day_of(later, as_of).isoformat() for as_of in (None, "0", "2", "2026-04-02", "2030-01-01")]
    assert days == ["2026-06-15", "2026-06-15", "2026-03-31", "2026-04-02", "2026-06-15"]


def test_the_day_of_an_event_is_the_one_in_paris() -> None:
    """Late in the evening the day of the log, in universal time, is the one before."""
    assert [f"{paris(f'2026-{day}T22:30:00.000000Z'):%d/%m}" for day in ("01-31", "03-31")] == ["31/01", "01/04"]


def head(scope: str, period: int | None = None, **more: Any) -> dict[str, Any]:
    told = {
        "delivery_id": scope[::-1],
        "file": None,
        "contracts": None,
        "rows": 2,
        "rows_quarantined": 1,
        "alerts": [],
        "waived": [],
    }
    return {**told, "scope": scope, "period": period, **more}


def test_many_deliveries_of_one_kind_and_period_are_one_line_and_each_a_line_when_asked() -> None:
    found = [head(f"pmsi/mco/{number:09}/2026", 3, alerts=["pmsi.row_loss"] * (number == 1)) for number in range(20)]
    found += [head(f"pmsi/mco/{number:09}/2026", 4) for number in range(20, 23)]
    found += [head("ecars/0123456789abcdef", file="contrat.xlsx", contracts=1)]
    lines, grouped = display_status.heads(found, every=False)
    assert grouped
    assert [line[1:5] for line in lines] == [
        ("pmsi/mco/…/2026 : 20 livraisons", "3", "40", "20"),
        *((f"pmsi/mco/{number:09}/2026", "4", "2", "1") for number in range(20, 23)),
        ("ecars : contrat.xlsx\n1 contrat", "", "2", "1"),
    ]
    assert lines[0][5].endswith(" : 1"), "an alert of one of them"
    lines, grouped = display_status.heads(found, every=True)
    assert (len(lines), grouped) == (24, False)
    assert [line[0] for line in lines] == [one["delivery_id"][:8] for one in found]


def test_many_bordereaux_of_a_caisse_and_month_are_counted_together() -> None:
    told = {"lines": 3, "rows_quarantined": 0, "claimed_cents": 100, "superseded_by": None}
    found = [{**told, "caisse": "311", "received_on": f"2026-03-{day:02}"} for day in range(1, 21)]
    found += [{**told, "caisse": "312", "received_on": "2026-03-01"}]
    found[0]["superseded_by"] = "bordereau/other"
    many, alone = display_status.bordereaux(found, every=False)
    assert many == [("caisse 311, reçus en 03/2026", 19, 1, 60, 0, 2000)]
    assert alone == found[20:]
    assert display_status.bordereaux(found, every=True) == ([], found)


def test_status_tells_of_one_kind_of_scope_alone(tmp_path: Path) -> None:
    init_hub(tmp_path / "hub")
    hub = open_hub(tmp_path / "hub")
    for finess in map(fictional_finess, ("99", "99"), (1, 2)):
        path = tmp_path / f"{finess}.2026.1.rsa"
        write_rsa(path, Recipe(finess, 2026, 1, 5, seed=1))
        deliveries.ingest(hub, the(path))
    one = f"pmsi/mco/{fictional_finess(number=2)}"
    assert [told["scope"] for told in state.status(hub, under=one)["heads"]] == [f"{one}/2026"]
    assert len(state.status(hub)["heads"]) == 2


def test_a_setting_that_does_not_exist_is_wrong_usage_and_never_a_default(home: Path, ecluse: Ecluse) -> None:
    settings = home / "ecluse.toml"
    settings.write_text('databse_url = "postgresql://x"\n' + settings.read_text())
    said = ecluse("status")
    assert (said.code, "réglage inconnu : databse_url" in said.err) == (2, True)
