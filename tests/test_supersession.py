"""Supersession: which transmission stands for an establishment's year, whatever the order in which they came."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import the

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_families import DRUIDES_2023, DRUIDES_2025, GENRSA, Charter, transmission, write_archive, write_files
from contracts_schema.families import LAMDA, M999, SEJOURS
from flows import building, decisions, deliveries, publication
from flows.deliveries import Report
from flows.hub import Hub, WrongUsage, init_hub, open_hub
from warehouse.heads import Head, fold
from warehouse.log import Event

FINESS, OTHER = fictional_finess(number=1), fictional_finess(number=2)
SCOPE = f"pmsi/mco/{FINESS}/2025"
MONTHS = (1, 2, 3, 4, 5)
STAMP = {month: f"2025{12 - month:02d}01000000" for month in MONTHS}
DAY = {month: f"2025{month + 1:02d}20101500" if month < 12 else "20260120101500" for month in range(1, 13)}
"""When the archive of each month is built."""


def recipe(month: int, finess: str = FINESS, stays: int = 12, seed: int = 1) -> Recipe:
    return Recipe(finess, 2025, month, stays, seed)


def archive(
    folder: Path, month: int, stamp: str | None = None, charter: Charter = DRUIDES_2025, flow: str = SEJOURS, **more: Any
) -> Path:
    """An archive of RSA alone, in a folder of its own: what an archive holds is not what is told here."""
    folder = folder / f"{flow}_{month}_{stamp}"
    folder.mkdir(exist_ok=True, parents=True)
    files = {"rsa": transmission(recipe(month, **more))["rsa"]}
    return write_archive(folder, recipe(month), stamp or DAY[month], charter, flow=flow, files=files)


def ingest(hub: Hub, path: Path) -> Report:
    return deliveries.ingest(hub, the(path))


def head(hub: Hub) -> Head:
    return deliveries.heads(hub)[SCOPE]


# --- every order ------------------------------------------------------------------------------------------------------

Recorded = Mapping[Any, Event]
"""Decisions as the log recorded them, by what they are about."""


def recorded(folder: Path, paths: Mapping[Any, Path]) -> Recorded:
    init_hub(folder / "hub", test=True, recipients=["ars-99"])
    hub = open_hub(folder / "hub")
    reports = {name: ingest(hub, path) for name, path in paths.items()}
    assert {report.status for report in reports.values()} == {"accepted"}
    events = {event.data["delivery_id"]: event for event in hub.log.read(types={"DeliveryAccepted"})}
    return {name: events[str(report.delivery_id)] for name, report in reports.items()}


def heads_of(decided: Recorded, order: Iterable[Any]) -> Head:
    """The head after these were received and decided in that order."""
    events = [
        replace(decided[name], position=2 * place + 2, data=decided[name].data | {"reception": 2 * place + 1})
        for place, name in enumerate(order)
    ]
    return fold(events)[SCOPE]


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Five months, of which the earliest was built last."""
    folder = tmp_path_factory.mktemp("five")
    return recorded(folder, {month: archive(folder, month, STAMP[month]) for month in MONTHS})


def test_all_120_orders_of_five_monthly_transmissions_give_the_same_head_at_every_step(five: Recorded) -> None:
    for order in itertools.permutations(MONTHS):
        for step in range(1, 6):
            found = heads_of(five, order[:step])
            last = five[max(order[:step])]
            assert (found.period, found.delivery_id) == (max(order[:step]), last.data["delivery_id"])
            assert (found.tables, found.rows) == (last.data["tables"], last.data["rows_accepted"])


@pytest.mark.parametrize("order", [(5, 4, 3, 2, 1), (3, 5, 1, 4, 2)])
def test_a_month_received_late_is_kept_with_an_alert_and_never_displaces_a_later_one(
    hub: Hub, tmp_path: Path, five: Recorded, order: Sequence[int]
) -> None:
    for place, month in enumerate(order):
        report = ingest(hub, archive(tmp_path, month, STAMP[month]))
        late = month < max(order[: place + 1])
        assert (report.status, report.alerts) == ("accepted", ["pmsi.late_month"] if late else [])
        assert head(hub).period == max(order[: place + 1])
    expected = heads_of(five, order)
    assert (head(hub).tables, head(hub).delivery_id, head(hub).rows) == (expected.tables, expected.delivery_id, expected.rows)


def test_corrections_of_the_year_stand_after_every_month_in_any_order(tmp_path: Path) -> None:
    decided = recorded(
        tmp_path,
        {
            11: archive(tmp_path, 11, stays=3),
            12: archive(tmp_path, 12, stays=3),
            "again": archive(tmp_path, 12, "20270101000000", stays=3, seed=2),
            "lamda": archive(tmp_path, 12, "20260710101500", flow=LAMDA, stays=3, seed=3),
            "m999": archive(tmp_path, 12, "20260910101500", flow=M999, stays=3, seed=4),
        },
    )
    standing = ["m999", "lamda", "again", 12, 11]
    for order in itertools.permutations(decided):
        for step in range(1, 6):
            expected = next(name for name in standing if name in order[:step])
            assert heads_of(decided, order[:step]).delivery_id == decided[expected].data["delivery_id"]


@pytest.mark.parametrize("flow", [LAMDA, M999])
def test_corrections_are_never_displaced_by_a_month_received_after_them(hub: Hub, tmp_path: Path, flow: str) -> None:
    corrected = ingest(hub, archive(tmp_path, 12, "20260710101500", flow=flow, stays=3))
    month = ingest(hub, archive(tmp_path, 12, "20270101000000", stays=3, seed=2))
    assert (month.status, month.alerts) == ("accepted", ["pmsi.late_month"])
    assert head(hub).delivery_id == corrected.delivery_id


@pytest.mark.parametrize("corrections", [LAMDA, M999])
def test_figures_are_provisional_until_the_corrections_of_the_year_came(hub: Hub, tmp_path: Path, corrections: str) -> None:
    told = []
    for month, flow in ((11, SEJOURS), (12, SEJOURS), (12, corrections), (12, SEJOURS)):
        stamp = f"20260{len(told) + 2}01000000"
        report = ingest(hub, archive(tmp_path, month, stamp, flow=flow, stays=3, seed=len(told)))
        provisional = building.query(hub, "select provisional from int_pmsi__transmission").item()
        told.append((report.alerts, provisional))
    assert told == [([], True), ([], True), ([], False), (["pmsi.late_month"], False)]


def test_of_two_archives_of_a_month_the_one_built_last_stands_in_any_order_and_form_of_stamp(tmp_path: Path) -> None:
    decided = recorded(
        tmp_path,
        {
            "old form, 30 April": archive(tmp_path, 3, "20250430235959", GENRSA, seed=4),
            "new form, 1 May": archive(tmp_path, 3, "20250501000000", DRUIDES_2023, seed=5),
            "new charter, a second later": archive(tmp_path, 3, "20250501000001", seed=6),
        },
    )
    for order in itertools.permutations(decided):
        for step in range(1, 4):
            newest = max(decided[name].data["stamp"] for name in order[:step])
            assert heads_of(decided, order[:step]).data["stamp"] == newest


def test_files_without_a_stamp_count_as_built_just_after_what_their_month_already_has(hub: Hub, tmp_path: Path) -> None:
    ingest(hub, archive(tmp_path, 3, "20250420000000"))
    [loose] = write_files(tmp_path / "loose", recipe(3), files={"rsa": transmission(recipe(3, seed=7))["rsa"]})
    assert ingest(hub, loose).alerts == []
    assert head(hub).data["stamp"] is None
    before = ingest(hub, archive(tmp_path, 3, "20250419000000", seed=8))
    assert before.alerts == ["pmsi.late_month"]
    assert head(hub).data["stamp"] is None
    after = ingest(hub, archive(tmp_path, 3, "20250421000000", seed=9))
    assert (after.alerts, head(hub).delivery_id) == ([], after.delivery_id)


def test_years_and_establishments_have_heads_of_their_own(hub: Hub, tmp_path: Path) -> None:
    for finess, year in ((FINESS, 2025), (FINESS, 2024), (OTHER, 2025)):
        paths = write_files(tmp_path / f"{finess}_{year}", Recipe(finess, year, 2, 5, 1))
        assert deliveries.ingest(hub, deliveries.find(paths)[0][0]).alerts == []
    assert list(deliveries.heads(hub)) == [f"pmsi/mco/{FINESS}/2024", SCOPE, f"pmsi/mco/{OTHER}/2025"]


# --- taken back -------------------------------------------------------------------------------------------------------


def test_a_withdrawn_transmission_gives_its_place_back_and_its_bytes_do_not_bring_it_in_again(hub: Hub, tmp_path: Path) -> None:
    january, february = (ingest(hub, archive(tmp_path, month)) for month in (1, 2))
    before = building.query(hub, "select count(*) from core_pmsi__stay").item()
    withdrawn = decisions.withdraw(hub, str(february.delivery_id), "mauvais établissement")
    assert (head(hub).delivery_id, head(hub).period) == (january.delivery_id, 1)
    assert building.query(hub, "select count(*) from core_pmsi__stay").item() == january.rows_accepted < before
    event = list(hub.log.read())[-1]
    assert (event.type, event.position, event.data["reason"]) == (
        "DeliveryWithdrawn", withdrawn["position"], "mauvais établissement",
    )  # fmt: skip
    again = ingest(hub, archive(tmp_path, 2))
    assert (again.status, again.decision, again.delivery_id) == ("already_known", "withdrawn", february.delivery_id)
    assert hub.log.head()[0] == event.position
    assert head(hub).period == 1
    with pytest.raises(WrongUsage, match="rien à retirer"):
        decisions.withdraw(hub, str(february.delivery_id), "encore")
    assert deliveries.heads(hub, event.position - 1)[SCOPE].delivery_id == february.delivery_id


def test_a_transmission_withdrawn_without_another_leaves_nothing_to_read(hub: Hub, tmp_path: Path) -> None:
    report = ingest(hub, archive(tmp_path, 1))
    with pytest.raises(WrongUsage, match="motif"):
        decisions.withdraw(hub, str(report.delivery_id), "  ")
    decisions.withdraw(hub, str(report.delivery_id), "essai")
    assert deliveries.heads(hub) == {}
    with pytest.raises(WrongUsage, match="aucune transmission acceptée"):
        building.query(hub, "from core_pmsi__stay")
    assert publication.publish(hub) == []


# --- the same again ---------------------------------------------------------------------------------------------------


def test_the_same_bytes_under_another_name_change_nothing(hub: Hub, tmp_path: Path) -> None:
    path = archive(tmp_path, 3)
    first = ingest(hub, path)
    events, files = list(hub.log.read()), set((hub.settings.home / "store").rglob("*"))
    for name in (path.name, path.name.upper(), f"{FINESS}.2025.3.20250930101500.out.zip"):
        again = ingest(hub, path.rename(path.with_name(name)))
        path = path.with_name(name)
        assert (again.status, again.decision, again.delivery_id) == ("already_known", "accepted", first.delivery_id)
        known_as = first.files[0]["name"]
        assert again.notes == ([] if name == known_as else [f"{name} : mêmes octets que {known_as}"])
    assert list(hub.log.read()) == events
    assert set((hub.settings.home / "store").rglob("*")) == files


def test_the_same_bytes_under_the_name_of_another_month_are_another_transmission(hub: Hub, tmp_path: Path) -> None:
    path = archive(tmp_path, 3)
    ingest(hub, path)
    [march] = write_files(tmp_path / "loose", recipe(3), files={"rsa": transmission(recipe(3))["rsa"]})
    april = ingest(hub, march.rename(march.with_name(f"{FINESS}.2025.04.rsa")))
    assert (april.status, head(hub).period) == ("accepted", 4)


def test_the_same_content_under_other_bytes_is_accepted_and_recognised(hub: Hub, tmp_path: Path) -> None:
    files = transmission(recipe(3))
    first = deliveries.ingest(hub, the(write_archive(tmp_path, recipe(3), DAY[3], files=files)))
    unix = {family: content.replace(b"\r\n", b"\n") for family, content in files.items()}
    loose = [
        deliveries.find([write_files(tmp_path / name, recipe(3), charter, files=content)[0].parent])[0][0]
        for name, charter, content in (("dos", DRUIDES_2025, files), ("unix", GENRSA, unix))
    ]
    other = transmission(recipe(3, seed=10))
    reports = [deliveries.ingest(hub, one) for one in loose]
    reports += [deliveries.ingest(hub, the(write_archive(tmp_path, recipe(3), "20250930101500", files=other)))]
    accepted = {event.data["delivery_id"]: event.data for event in hub.log.read(types={"DeliveryAccepted"})}
    assert [report.status for report in reports] == ["accepted"] * 3
    assert accepted[str(first.delivery_id)]["same_content"] is None
    assert reports[0].notes == [
        f"même contenu, à la cellule près, que la livraison {str(first.delivery_id)[:8]} : seuls les octets diffèrent"
    ]
    assert first.notes == reports[2].notes == []
    assert accepted[str(reports[0].delivery_id)]["same_content"] == first.delivery_id
    assert accepted[str(reports[1].delivery_id)]["same_content"] in (first.delivery_id, reports[0].delivery_id)
    assert accepted[str(reports[2].delivery_id)]["same_content"] is None


def test_the_same_rows_in_another_order_or_on_other_lines_are_the_same_content_and_another_cell_is_not(
    hub: Hub, tmp_path: Path
) -> None:
    files = transmission(recipe(3))
    turned = {family: b"\r\n\r\n".join(content.split(b"\r\n")[:-1][::-1]) for family, content in files.items()}
    place = files["rsa"].index(b"\r\n") - 1
    other = files["rsa"][:place] + (b"2" if files["rsa"][place : place + 1] == b"1" else b"1") + files["rsa"][place + 1 :]
    told = []
    for number, sent in enumerate((files, turned, turned | {"rsa": other})):
        path = write_archive(tmp_path, recipe(3), f"2025042010150{number}", files=sent)
        report = deliveries.ingest(hub, the(path))
        told.append((report.status, report.rows_quarantined, len(report.notes)))
    assert told == [("accepted", 0, 0), ("accepted", 0, 1), ("accepted", 0, 0)]


# --- families ---------------------------------------------------------------------------------------------------------


def test_a_transmission_without_a_family_stands_whole_and_nothing_of_the_former_is_seen(hub: Hub, tmp_path: Path) -> None:
    def send(month: int, without: Iterable[str] = (), finess: str = FINESS) -> Report:
        files = transmission(recipe(month, finess))
        kept = {family: content for family, content in files.items() if family not in without}
        return deliveries.ingest(hub, the(write_archive(tmp_path, recipe(month, finess), DAY[month], files=kept)))

    send(3)
    assert building.query(hub, "select count(*) > 0 from segment_pmsi_ano").item()
    report = send(4, without=["ano", "tra"])
    assert (report.status, report.alerts) == ("accepted", ["pmsi.family_missing"])
    assert report.notes == ["familles absentes ou vides : ano, tra"]
    assert set(head(hub).tables) == {"pmsi_rsa", "pmsi_med", "pmsi_dmip", "pmsi_ium"}
    with pytest.raises(WrongUsage, match="table inconnue : segment_pmsi_ano"):
        building.query(hub, "from segment_pmsi_ano")
    send(4, finess=OTHER)
    seen = building.query(hub, "select distinct finess from segment_pmsi_ano")["finess"].to_list()
    assert seen == [OTHER]
    assert building.query(hub, "select count(distinct finess) from core_pmsi__stay").item() == 2
    assert send(5).alerts == []
    assert "pmsi_ano" in head(hub).tables


@pytest.mark.parametrize("family", ["ano", "tra"])
def test_a_family_that_comes_empty_after_a_filled_one_is_let_in_with_an_alert(hub: Hub, tmp_path: Path, family: str) -> None:
    def send(month: int, **changed: bytes) -> Report:
        files = transmission(recipe(month)) | changed
        return deliveries.ingest(hub, the(write_archive(tmp_path, recipe(month), DAY[month], files=files)))

    assert send(2, **{family: b""}).alerts == [], "there is nothing to compare it with"
    assert send(3).alerts == []
    emptied = send(4, **{family: b"\r\n"})
    assert (emptied.status, emptied.alerts) == ("accepted", ["pmsi.family_empty"])
    assert send(5, **{family: b""}).alerts == [], "it was empty before"
    assert send(1, **{family: b""}).alerts == ["pmsi.late_month"], "it displaces nothing"


def test_a_transmission_without_stays_waits_and_the_former_stands(hub: Hub, tmp_path: Path) -> None:
    whole = ingest(hub, archive(tmp_path, 3))
    files = transmission(recipe(4))
    del files["rsa"]
    report = deliveries.ingest(hub, the(write_archive(tmp_path, recipe(4), DAY[4], files=files)))
    assert (report.status, report.reasons) == ("held", ["pmsi.main_missing"])
    assert head(hub).delivery_id == whole.delivery_id
    assert deliveries.ingest(hub, the(write_archive(tmp_path, recipe(5), DAY[5]))).status == "accepted"
    assert head(hub).period == 5
