"""Transmissions as they arrive: what names say, what archives may hold, and what of them may never be read again."""

import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Ecluse, Export
from typer.testing import CliRunner

from connectors import transmissions
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_families import (
    DRUIDES_2023,
    DRUIDES_2025,
    GENRSA,
    Charter,
    archive_name,
    belonging,
    file_name,
    transmission,
    write_archive,
    write_files,
)
from connectors.transmissions import LAMDA, Refused, Stated, gather, parse_archive_name, parse_name
from contracts_schema.families import FAMILIES, M999, SEJOURS, formats, unstored_tail
from contracts_schema.layouts import DELIMITED, FIXED, layout
from contracts_schema.products import products
from flows import building, deliveries
from flows.cli import app
from flows.hub import Hub, WrongUsage, init_hub, open_hub
from warehouse import views
from warehouse.log import Event

FINESS, OTHER = fictional_finess(number=1), fictional_finess(number=2)
STAMP = "20250420101500"
RECIPE = Recipe(FINESS, 2025, 3, 20, seed=1)
CHARTERS = [pytest.param(charter, id=name) for name, charter in
            {"genrsa": GENRSA, "druides-2023": DRUIDES_2023, "druides-2025": DRUIDES_2025}.items()]  # fmt: skip
ARCHIVE = f"{FINESS}.2025.03.MCO.SEJOURS.SEJOURS.{STAMP}.out.zip"
SMALL = {"rsa": b"r\n", "ano": b"a\n"}
"""Files for what only looks at names."""


def ingest(hub: Hub, *paths: Path) -> list[deliveries.Report]:
    found, refused = deliveries.find(paths)
    return refused + [deliveries.ingest(hub, one) for one in found]


def kept(hub: Hub) -> list[str]:
    return [path.name for path in (hub.settings.home / "store").rglob("*") if path.is_file()]


def rules(path: Path) -> list[str | None]:
    """The rules that refuse a file at the door, or when its bytes are first read."""
    found, refused = gather([path])
    for one in found:
        try:
            for member in one.members:
                transmissions.fingerprint(member)
        except Refused as refusal:
            refused.append((path, refusal))
    return [refusal.rule for _, refusal in refused]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("charter", CHARTERS)
@pytest.mark.parametrize("period", [1, 9, 10, 12])
def test_the_name_of_an_archive_says_the_same_in_every_charter(charter: Charter, period: int) -> None:
    stated = Stated("MCO", FINESS, 2025, period, stamp=STAMP)
    for name in (archive_name(stated, charter), archive_name(stated, charter).upper()):
        assert parse_archive_name(name) == stated
        assert transmissions.is_known(name)
    for family in transmissions.FAMILIES:
        for name in (file_name(stated, family, charter), file_name(stated, family, charter).upper()):
            assert parse_name(name) == (Stated("MCO", FINESS, 2025, period), family)


def test_the_stamp_of_either_form_becomes_one_that_sorts_by_time() -> None:
    names = [f"{FINESS}.2023.3.20042023235959.out.zip", f"{FINESS}.2023.3.20230421000000.out.zip"]
    assert [parse_archive_name(name).stamp for name in names] == ["20230420235959", "20230421000000"]


@pytest.mark.parametrize(
    ("stamp", "year", "meant"),
    [
        ("20122012201212", 2011, "20121220201212"),  # a date in the old form only
        ("20120520101112", 2011, "20120520101112"),  # also 20/12/0520: not a year of this transmission
        ("01022026030405", 2025, "20260201030405"),
        ("20290115101010", 2025, "20290115101010"),  # late corrections: far from the year, in one form only
        ("15012029101010", 2025, "20290115101010"),
        ("20240229101010", 2024, "20240229101010"),
    ],
)
def test_a_stamp_is_read_in_the_form_that_gives_a_date_of_the_year_or_the_next(stamp: str, year: int, meant: str) -> None:
    assert parse_archive_name(f"{FINESS}.{year}.12.{stamp}.out.zip").stamp == meant


@pytest.mark.parametrize("stamp", ["20250230101500", "31022025101500", "20251301101500", "20250420101560", "00000000000000"])
def test_a_stamp_that_is_no_date_in_either_form_is_refused(stamp: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_archive_name(f"{FINESS}.2025.3.{stamp}.out.zip")
    assert refused.value.rule == "pmsi.file_name"


def test_a_corsican_finess_and_the_flow_of_corrections_are_read() -> None:
    name = f"2A0000012.2024.12.MCO.LAMDA.LAMDA.{STAMP}.OUT.ZIP"
    assert parse_archive_name(name) == Stated("MCO", "2A0000012", 2024, 12, LAMDA, STAMP)


@pytest.mark.parametrize("charter", CHARTERS)
def test_period_999_is_a_flow_of_corrections_of_the_whole_year(charter: Charter, tmp_path: Path) -> None:
    whole = replace(RECIPE, months=12)
    path = write_archive(tmp_path, whole, "20260910101500", charter, flow=M999)
    assert ".999." in path.name
    [found], _ = gather([path])
    assert found.stated == Stated("MCO", FINESS, 2025, 12, M999, "20260910101500")
    assert len(found.members) == len(transmissions.FAMILIES)
    for name in (path.name.replace(".999.", ".M999."), path.name.lower().replace(".999.", ".m999.")):
        assert transmissions.is_known(name)
        assert parse_archive_name(name) == found.stated
    stated = replace(found.stated, stamp=None)
    assert [parse_name(f"{FINESS}.2025.{period}.rsa") for period in ("999", "M999", "m999")] == [(stated, "rsa")] * 3


def test_month_12_and_period_999_are_never_taken_for_one_another(tmp_path: Path) -> None:
    both = {f"{FINESS}.2025.12.rsa": b"x\n", f"{FINESS}.2025.999.rsa": b"y\n"}
    for name, content in both.items():
        (tmp_path / name).write_bytes(content)
    loose, _ = gather(tmp_path.iterdir())
    assert [(one.stated.flow, one.name) for one in loose] == list(zip((SEJOURS, M999), both, strict=True))
    whole = replace(RECIPE, months=12)
    for flow, read in ((SEJOURS, 0), (M999, 1)):
        [found], _ = gather([write_archive(tmp_path, whole, STAMP, GENRSA, flow=flow, files={}, others=both)])
        assert ([member.name for member in found.members], found.unread) == ([list(both)[read]], {"rsa": 1})


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (f"{FINESS}.2025.3.txt.out.zip", "pmsi.file_name"),
        (f"copie de {ARCHIVE}", "pmsi.file_name"),
        (f"{FINESS}.2025.0.{STAMP}.out.zip", "pmsi.file_period"),
        (f"{FINESS}.2025.13.{STAMP}.out.zip", "pmsi.file_period"),
        (f"{FINESS}.2025.M12.{STAMP}.out.zip", "pmsi.file_name"),
        (f"{FINESS}.2025.998.{STAMP}.out.zip", "pmsi.file_period"),
        (f"{FINESS}.2025.03.SMR.SEJOURS.SEJOURS.{STAMP}.out.zip", "pmsi.field_of_care"),
        (f"{FINESS}.2025.03.MCO.RSFACE.RSFACE.{STAMP}.out.zip", "pmsi.field_of_care"),
        (f"{FINESS}.2025.3.rha", "pmsi.field_of_care"),
        (f"{FINESS}.2025.3.rsfa.txt", "pmsi.field_of_care"),
        (f"{FINESS}.2025.3.doc", "pmsi.file_family"),
        (f"{FINESS}.2025.3", "pmsi.file_name"),
        ("99000001.2025.3.rsa", "pmsi.file_name"),
    ],
)
def test_a_name_that_says_nothing_or_something_else_is_refused(tmp_path: Path, name: str, rule: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert rules(tmp_path / name) == [rule]


def test_month_1_is_never_taken_for_10_11_or_12(tmp_path: Path) -> None:
    names = [f"{FINESS}.2025.{month}.rsa" for month in (1, 10, 11, 12)]
    for name in names:
        (tmp_path / name).write_bytes(b"x\n")
    found, _ = gather(sorted(tmp_path.iterdir()))
    assert [(one.stated.period, one.name) for one in found] == list(zip((1, 10, 11, 12), names, strict=True))
    january = write_archive(
        tmp_path, Recipe(FINESS, 2025, 1, 3, 1), STAMP, GENRSA, files=SMALL, others=dict.fromkeys(names[1:], b"y\n")
    )
    [archive], _ = gather([january])
    assert [member.name for member in archive.members] == [names[0], f"{FINESS}.2025.1.ano"]
    assert archive.unread == {"rsa": 3}


# --- loose files ------------------------------------------------------------------------------------------------------


def test_loose_files_of_one_folder_are_one_transmission_and_those_of_another_folder_another(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_files(tmp_path / folder, RECIPE, files=SMALL)
    write_files(tmp_path / "a", Recipe(OTHER, 2025, 3, 1, 1), files=SMALL)
    (tmp_path / "a" / "lisezmoi.txt").write_text("")
    found, refused = deliveries.find([tmp_path])
    assert refused == []
    assert sorted((one.stated.finess, one.received[0].parent.name, [m.family for m in one.members]) for one in found) == [
        (FINESS, "a", ["rsa", "ano"]), (FINESS, "b", ["rsa", "ano"]), (OTHER, "a", ["rsa", "ano"]),
    ]  # fmt: skip


def test_a_file_and_its_folder_given_together_are_read_once(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "a", RECIPE, files=SMALL)
    found, refused = deliveries.find([paths[0], tmp_path / "a"])
    assert (len(found), len(found[0].members), refused) == (1, 2, [])


def test_two_files_of_one_family_and_month_are_refused_and_nothing_is_kept(hub: Hub, tmp_path: Path) -> None:
    for name in ("6.rsa", "06.rsa"):
        (tmp_path / f"{FINESS}.2025.{name}").write_bytes(b"x\n")
    reports = ingest(hub, *tmp_path.glob("*.rsa"))
    assert [report.reasons for report in reports] == [["pmsi.family_twice"]] * 2
    assert (hub.log.head()[0], kept(hub)) == (0, [])


def test_a_file_that_cannot_be_read_does_not_cost_the_others(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = write_archive(tmp_path, RECIPE, STAMP)
    whole = write_archive(tmp_path, Recipe(OTHER, 2025, 1, 20, 1), STAMP)

    def forbidden(path: Path, *arguments: Any) -> Any:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *arguments)

    original = zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", forbidden)
    refused, accepted = ingest(hub, locked, whole)
    assert (refused.status, refused.message) == ("rejected", "lecture impossible : accès refusé")
    assert accepted.status == "accepted"


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("charter", CHARTERS)
def test_an_archive_of_every_charter_is_read_family_by_family(hub: Hub, tmp_path: Path, charter: Charter) -> None:
    files = transmission(RECIPE, FIXED if charter is GENRSA else DELIMITED, uid="f00d" * 8)
    [report] = ingest(hub, write_archive(tmp_path, RECIPE, STAMP, charter, files=files))
    assert (report.status, report.alerts) == ("accepted", [])
    lines = {family: content.count(b"\n") for family, content in files.items()}
    assert {family: counts["rows_accepted"] for family, counts in report.families.items()} == lines
    assert all(lines.values())
    [head] = deliveries.heads(hub).values()
    assert (head.data["stamp"], head.period) == (STAMP, 3)
    assert head.data["uid"] == (None if charter is GENRSA else "f00d" * 8)
    joined = building.query(
        hub,
        """select count(*) from segment_pmsi_rsa r join segment_pmsi_ano a on a.stay_number = r.record_number
           left join segment_pmsi_med m on m.stay_number = r.record_number
           left join segment_pmsi_dmip d on d.stay_number = r.record_number""",
    )
    assert joined.item() == lines["rsa"]
    strangers = building.query(
        hub,
        """select count(*) from ref_pmsi__zone_field f inner join segment_pmsi_rsa r using (format_version),
           unnest(range(0, cast(r.rum_count as int))) as u(rank)
           where f.field = 'rum_unit_number'
           and substr(rum_zone, cast(rank * zone_width + start as int), 4) not in (select unit_number from segment_pmsi_ium)""",
    )
    assert strangers.item() == 0


@pytest.mark.parametrize("form", [FIXED, DELIMITED])
@pytest.mark.parametrize("version", ["224", "226", "229"])
def test_synthetic_files_belong_to_their_rsa_and_are_true_to_format(form: str, version: str) -> None:
    recipe = Recipe(FINESS, 2025, 2, 40, seed=2, version=version)
    files = transmission(recipe, form)
    assert files == transmission(recipe, form)
    numbers = [line[12:22] for line in files["rsa"].splitlines()]
    stay_number = layout("mco_fichcomp_med_06").field("stay_number")
    for family in ("med", "dmip"):
        cut = {line[stay_number.offset :][: stay_number.length] for line in files[family].splitlines()}
        assert cut
        assert cut < set(numbers)
    ano = layout("mco_ano_y2022").field("stay_number")
    assert [line[ano.offset :][: ano.length] for line in files["ano"].splitlines()] == numbers
    assert [line[:10] for line in files["tra"].splitlines()] == numbers
    for family in ("ano", "med", "dmip", "ium"):
        [of] = formats(FAMILIES[family]).values()
        assert {len(line) for line in files[family].splitlines()} <= {of.fixed_length}
    assert bool(files["ium"]) == (version != "224")


def test_a_stay_sent_again_keeps_its_local_number_and_its_chaining_key() -> None:
    first, second = (transmission(Recipe(FINESS, 2025, months, 40, seed=2, late=0.1)) for months in (2, 3))
    key, nda = slice(0, 32), slice(2, 3)

    def keys(files: Mapping[str, bytes]) -> set[tuple[bytes, bytes]]:
        lines = zip(files["ano"].splitlines(), files["tra"].splitlines(), strict=True)
        return {(ano[key], *tra.split(b";")[nda]) for ano, tra in lines}  # type: ignore[misc]

    assert len(keys(first)) == first["rsa"].count(b"\n")
    assert len(keys(first) & keys(second)) > 0.9 * len(keys(first))


def rezipped(path: Path, name: Callable[[str], str]) -> Path:
    """The archive with its entries under other names."""
    with zipfile.ZipFile(path) as archive:
        content = {name(entry): archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in content.items():
            archive.writestr(zipfile.ZipInfo(entry), data)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "export/2025/{}", "../../{}", "/etc/{}", "C:\\export\\{}", "..\\..\\{}", "a/../b/{}",
    ],
)  # fmt: skip
def test_a_folder_in_the_name_of_an_entry_is_passed_over_and_nothing_is_written_there(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    before = set(tmp_path.rglob("*"))
    path = rezipped(write_archive(tmp_path / "hub", RECIPE, STAMP), name.format)
    [report] = ingest(hub, path)
    assert (report.status, len(report.families)) == ("accepted", 6)
    new = set(tmp_path.rglob("*")) - before - {path}
    assert [made for made in new if not made.is_relative_to(tmp_path / "hub" / "store") and made.stem != "ecluse"] == []
    assert not Path("/etc", f"{FINESS}.2025.03.rsa").exists()


def test_upper_case_names_of_entries_are_read(tmp_path: Path) -> None:
    [found], _ = gather([rezipped(write_archive(tmp_path, RECIPE, STAMP), str.upper)])
    assert [member.family for member in found.members] == list(transmissions.FAMILIES)


def test_of_several_rsa_the_one_that_the_archive_is_named_for_is_read_and_the_others_are_counted(
    hub: Hub, tmp_path: Path
) -> None:
    others = {f"{OTHER}.2025.3.rsa": b"o\n", f"{FINESS}.2025.2.rsa": b"f\n", f"{FINESS}.2024.3.rsa": b"y\n", "sta/leg.txt": b""}
    [report] = ingest(hub, write_archive(tmp_path, RECIPE, STAMP, others=others))
    received, accepted = hub.log.read()
    assert report.status == "accepted"
    assert accepted.data["families"]["rsa"]["rows_accepted"] == transmission(RECIPE)["rsa"].count(b"\n")
    assert received.data["unread"] == {"other": 1, "rsa": 3}
    assert {file["name"] for file in received.data["files"]} == {
        file_name(Stated("MCO", FINESS, 2025, 3), family) for family in transmissions.FAMILIES
    }


def test_no_name_of_a_folder_or_of_a_file_that_is_not_read_is_kept_or_told(hub: Hub, tmp_path: Path) -> None:
    names = ["courrier de Jeanne PLANTEDNAME.doc", "PLANTEDNAME.Jeanne", f"{FINESS}.2025.3.plantedname", "PLANTEDNAME/sta",
             f"PLANTEDNAME/{FINESS}.2025.3.sta", f"{FINESS}.2025.3.ks_crypt"]  # fmt: skip
    folder = f"dossier PLANTEDNAME/{FINESS}.2025.03.rsa"
    files = {folder: transmission(RECIPE)["rsa"]}
    path = write_archive(tmp_path, RECIPE, STAMP, files={}, others=files | dict.fromkeys(names, b"x\n"))
    said = [told(hub, *command).output for command in (["ingest", path], ["ingest", path, "--json"], ["status", "--json"])]
    received, accepted = hub.log.read()
    assert (accepted.type, received.data["unread"]) == ("DeliveryAccepted", {"ks_crypt": 1, "other": 4, "sta": 1})
    assert [file["name"] for file in received.data["files"]] == [f"{FINESS}.2025.03.rsa"]
    everything = "".join(said) + str([event.data for event in (received, accepted)])
    assert "plantedname" not in everything.lower()
    again = deliveries.judge_again(hub, received, before=accepted)
    assert again.rows_accepted == accepted.data["rows_accepted"] > 0, "kept bytes are found again without the folder's name"


@pytest.mark.parametrize("second", [f"{FINESS}.2025.3.rsa", f"copie/{FINESS}.2025.03.rsa", f"{FINESS}.2025.03.RSA"])
def test_two_rsa_that_both_bear_the_archives_name_are_refused(tmp_path: Path, second: str) -> None:
    assert rules(write_archive(tmp_path, RECIPE, STAMP, others={second: b"x\n"})) == ["pmsi.family_twice"]


def test_an_archive_that_holds_another_establishment_only_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path, Recipe(OTHER, 2025, 3, 5, 1), STAMP)
    assert rules(path.rename(tmp_path / ARCHIVE)) == ["pmsi.archive_empty"]


def test_an_archive_without_entries_or_without_files_to_read_is_refused(tmp_path: Path) -> None:
    assert rules(write_archive(tmp_path, RECIPE, STAMP, files={})) == ["pmsi.archive_empty"]
    assert rules(write_archive(tmp_path, RECIPE, STAMP, files={}, others={"x.sta": b"", "d/": b""})) == ["pmsi.archive_empty"]


def test_an_archive_truncated_anywhere_is_refused_and_nothing_is_kept(hub: Hub, tmp_path: Path) -> None:
    path = write_archive(tmp_path, RECIPE, STAMP)
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 50):
        path.write_bytes(data[:place])
        assert rules(path) == ["pmsi.archive_damaged"]
    assert [report.reasons for report in ingest(hub, path)] == [["pmsi.archive_damaged"]]
    assert (hub.log.head()[0], kept(hub)) == (0, [])


def test_an_archive_with_a_flipped_bit_is_read_as_it_was_or_refused_in_words(tmp_path: Path) -> None:
    path = write_archive(tmp_path, Recipe(FINESS, 2025, 3, 2, 1), STAMP)
    data, dice = path.read_bytes(), random.Random(5)
    headers = [at + shift for at in range(len(data)) if data[at : at + 2] == b"PK" for shift in range(50)]
    outcomes = set()
    for _ in range(400):
        place = min(dice.choice([dice.choice(headers), dice.randrange(len(data))]), len(data) - 1)
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :])
        outcomes.update(rules(path) or ["read"])
    assert {"pmsi.archive_damaged", "read"} <= outcomes
    assert outcomes <= {
        "read", "pmsi.archive_damaged", "pmsi.archive_locked", "pmsi.archive_size", "pmsi.archive_empty", "pmsi.family_twice",
    }  # fmt: skip


def test_a_sound_archive_that_changes_before_it_is_kept_is_refused(hub: Hub, tmp_path: Path) -> None:
    path = write_archive(tmp_path, RECIPE, STAMP)
    [found], _ = deliveries.find([path])
    path.write_bytes(path.read_bytes()[:-40])
    assert deliveries.ingest(hub, found).reasons == ["pmsi.archive_damaged"]
    assert hub.log.head()[0] == 0


def with_header(path: Path, offset: int, form: str, value: int) -> Path:
    """The archive whose first central header says another thing at that offset."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)
    return path


def test_an_archive_under_password_is_refused(tmp_path: Path) -> None:
    assert rules(with_header(write_archive(tmp_path, RECIPE, STAMP), 8, "<H", 1)) == ["pmsi.archive_locked"]


def test_an_archive_that_would_inflate_beyond_measure_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {f"{number}.sta": b"" for number in range(transmissions.MAX_ENTRIES)}
    assert rules(write_archive(tmp_path, RECIPE, STAMP, files=SMALL, others=entries)) == ["pmsi.archive_size"]
    bomb = {"rsa": bytes(101 << 20)}
    assert rules(write_archive(tmp_path, RECIPE, STAMP, files=bomb)) == ["pmsi.archive_size"]
    assert rules(with_header(write_archive(tmp_path, RECIPE, STAMP), 24, "<I", 0xFFFFFFFE)) == ["pmsi.archive_size"]
    whole = sum(map(len, transmission(RECIPE).values()))
    for most, refused in ((whole, []), (whole - 1, ["pmsi.archive_size"])):
        monkeypatch.setattr(transmissions, "MAX_INFLATED", most)
        assert rules(write_archive(tmp_path, RECIPE, STAMP)) == refused


def test_an_entry_that_inflates_to_more_than_it_states_is_not_inflated_further(tmp_path: Path) -> None:
    path = with_header(write_archive(tmp_path, RECIPE, STAMP, files={"rsa": bytes(50 << 20)}), 24, "<I", 1000)
    [found], _ = gather([path])
    seen = 0
    with pytest.raises(Refused):  # noqa: PT012
        for chunk in transmissions.chunks(found.members[0]):
            seen += len(chunk)
    assert seen <= 1000


# --- input archives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [f"{FINESS}.2025.3.{STAMP}.in.zip", f"{FINESS}.2025.03.MCO.SEJOURS.SEJOURS.{STAMP}.IN.ZIP",
     f"{FINESS}.2025.03.SMR.SEJOURS.SEJOURS.{STAMP}.in.zip", "renommée.in.zip"],
)  # fmt: skip
def test_an_input_archive_is_refused_before_any_byte_is_kept_or_any_event_written(
    hub: Hub, ecluse: Ecluse, tmp_path: Path, name: str
) -> None:
    write_archive(tmp_path, RECIPE, STAMP).rename(tmp_path / name)
    said = ecluse("ingest", tmp_path / name, "--json")
    [report] = said.json["deliveries"]
    assert (said.code, report["status"], report["reasons"]) == (1, "rejected", ["pmsi.input_archive"])
    assert (hub.log.head()[0], kept(hub)) == (0, [])


@pytest.mark.parametrize("inside", [f"{FINESS}.2025.3.rss.ini.txt", "RSS.TXT", f"{FINESS}.2025.3.rss", "dossier/entree.IN.zip"])
def test_input_files_under_the_name_of_an_out_archive_are_refused_before_any_byte_is_kept(
    hub: Hub, tmp_path: Path, inside: str
) -> None:
    files = {"rsa": transmission(RECIPE)["rsa"]}
    [report] = ingest(hub, write_archive(tmp_path, RECIPE, STAMP, files=files, others={inside: b"x"}))
    assert (report.status, report.reasons) == ("rejected", ["pmsi.input_archive"])
    assert (hub.log.head()[0], kept(hub)) == (0, [])


@pytest.mark.parametrize("name", [ARCHIVE.replace(".out.", ".in."), "Copie de l'entrée.IN.zip"])
def test_an_input_archive_in_a_folder_is_told_and_does_not_cost_the_others(hub: Hub, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    write_archive(folder, RECIPE, STAMP)
    (folder / name).write_bytes(b"PK")
    assert [(report.status, report.reasons) for report in ingest(hub, folder)] == [
        ("rejected", ["pmsi.input_archive"]), ("accepted", []),
    ]  # fmt: skip
    assert len([name for name in kept(hub) if name.endswith(".zst")]) == 1


# --- what is kept apart -----------------------------------------------------------------------------------------------

PLANTED = {
    "ano": {"link_index": "LINKOFAPATIENT0000000000000000AB", "birth_date": "29071931", "stay_entry_date": "13051907",
            "stay_exit_date": "14051907", "anonymous_hospitalisation_id": "HOSPID77", "accident_number_or_date": "ACC765432",
            "billing_start": "15051907", "amo_billed_on": "16051907"},
    "tra": {"rss_number": "RSSOFAPATIENT", "admin_stay_number": "NDAOFAPATIENT", "stay_entry_date": "17051907",
            "stay_exit_date": "18051907"},
}  # fmt: skip
SPOILT = {"ano": {"link_index": "LINKOFASPOILTLINE", "refund_rate": "ZZZZZ"}, "tra": {"admin_stay_number": "NDAOFASPOILTLINE;"}}
"""Values of lines that are quarantined: their raw text lies in the restricted quarantine segment, and nowhere else."""

ENCRYPTED = "ENCRYPTEDOFAPATIENT"


def spellings(text: str) -> list[str]:
    """A value as written, and a date as a program would write it."""
    return [text, f"{text[4:]}-{text[2:4]}-{text[:2]}"] if text.isdecimal() and len(text) == 8 else [text]


def planted(content: bytes, format_id: str, line: int, values: Mapping[str, str]) -> bytes:
    """The file with these values written over the fields of one line (from 0)."""
    lines = content.split(b"\r\n")
    of = layout(format_id)
    for name, value in values.items():
        field = of.field(name)
        if of.fixed_length:
            text = value.ljust(field.length).encode()
            lines[line] = lines[line][: field.offset] + text + lines[line][field.offset + field.length :]
        else:
            cells = lines[line].split(b";")
            cells[of.fields.index(field)] = value.encode()
            lines[line] = b";".join(cells)
    return b"\r\n".join(lines)


@dataclass(frozen=True)
class Sealed:
    """A hub where patients' values were planted in a transmission, and all that its commands said."""

    hub: Hub
    said: str
    accepted: Event


def told(hub: Hub, *arguments: object) -> Any:
    return CliRunner().invoke(app, ["--home", str(hub.settings.home), *map(str, arguments)])


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    folder = tmp_path_factory.mktemp("sealed")
    files = transmission(RECIPE)
    for values, line in ((PLANTED, 5), (SPOILT, 9)):
        files["ano"] = planted(files["ano"], "mco_ano_y2022", line, values["ano"] | {"encrypted_zone": ENCRYPTED})
        files["tra"] = planted(files["tra"], "mco_tra_csv", line, values["tra"])
    path = write_archive(folder, RECIPE, STAMP, files=files)
    init_hub(folder / "hub", test=True, recipients=["ars-99"])
    hub = open_hub(folder / "hub")
    finess = f"finess={FINESS}"
    commands: list[list[object]] = [
        ["ingest", path, "--json"], ["ingest", path], ["status", "--json"], ["status"], ["quarantine", "--json"],
        ["quarantine"], ["build", "--json"], ["publish", "--json"], ["missing", "--year", 2025, "--month", 3, "--json"],
        ["explain", "ars-99/pmsi-activity", "activity", finess, "exit_year=2025", "exit_month=2", "--json"], ["verify"],
    ]  # fmt: skip
    said = [told(hub, *command) for command in commands]
    [accepted] = hub.log.read(types={"DeliveryAccepted"})
    said += [told(hub, "reject-report", accepted.data["delivery_id"], "--json")]
    open_tables = [table for table in accepted.data["tables"] if not table.startswith("restricted_")]
    for table in [*views.views(), *(f"segment_{name}" for name in open_tables), "ref_pmsi__head"]:
        said.append(told(hub, "query", f"from {table}", "--json"))
    assert {answer.exit_code for answer in said} == {0}, [answer.output for answer in said if answer.exit_code]
    return Sealed(hub, "\n".join(answer.output for answer in said), accepted)


def texts(path: Path) -> Iterator[str]:
    """All that a file says; the bytes as received are packed, and hold everything."""
    yield path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet":
        yield pl.read_parquet(path).write_ndjson()
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as workbook:
            yield from (workbook.read(name).decode() for name in workbook.namelist())


def test_restricted_values_lie_in_restricted_segments_and_nowhere_else(sealed: Sealed) -> None:
    store = sealed.hub.settings.home / "store"
    closed = {sealed.hub.blobs.segment_path(sha) for table, sha in sealed.accepted.data["tables"].items()
              if table.startswith("restricted_")}  # fmt: skip
    assert sealed.accepted.data["quarantine"] is None, "no line of another family is set aside"
    quarantine = sealed.hub.blobs.segment_path(sealed.accepted.data["restricted_quarantine"])
    apart = "".join(text for path in closed for text in texts(path))
    set_aside = "".join(texts(quarantine))
    elsewhere = [path for path in sealed.hub.settings.home.rglob("*") if path.is_file() and path not in {*closed, quarantine}]
    suffixes = {path.suffix for path in elsewhere} - {"", ".db-shm", ".db-wal"}
    assert suffixes == {".zst", ".parquet", ".db", ".sqlite", ".csv", ".json", ".toml", ".xlsx", ".yaml", ".html", ".lock"}
    everywhere = {path: "".join(texts(path)) for path in elsewhere} | {Path("said"): sealed.said}
    for family, values in PLANTED.items():
        for name, value in values.items():
            assert any(spelling in apart for spelling in spellings(value)), f"{family}.{name} is not kept"
            assert not any(spelling in set_aside for spelling in spellings(value))
    for value in ("LINKOFASPOILTLINE", "NDAOFASPOILTLINE"):
        assert value in set_aside
        assert value not in apart
    assert not any(ENCRYPTED in text for text in (apart, set_aside, *everywhere.values()))
    values = [text for planted in (PLANTED, SPOILT) for of in planted.values() for text in of.values()]
    forbidden = [spelling for text in values for spelling in spellings(text)]
    assert [(path, value) for path, text in everywhere.items() for value in forbidden if value in text] == []
    assert (store / "tmp").is_dir()
    assert list((store / "tmp").iterdir()) == []


def test_the_tables_of_ano_part_its_columns_and_tra_is_closed_whole(sealed: Sealed) -> None:
    def columns(table: str) -> set[str]:
        return set(pl.read_parquet_schema(sealed.hub.blobs.segment_path(sealed.accepted.data["tables"][table])))

    assert set(sealed.accepted.data["tables"]) == {
        "pmsi_rsa", "pmsi_ano", "pmsi_med", "pmsi_dmip", "pmsi_ium", "restricted_pmsi_ano", "restricted_pmsi_tra",
    }  # fmt: skip
    assert columns("pmsi_ano") & columns("restricted_pmsi_ano") == {"line_number", "stay_number"}
    of = layout("mco_ano_y2022")
    dates = {field.name for field in of.fields if field.type == "date_ddmmyyyy" and field.length == 8}
    assert len(dates) == 12
    assert {*dates, *PLANTED["ano"]} <= columns("restricted_pmsi_ano")
    assert columns("pmsi_ano") | columns("restricted_pmsi_ano") == {
        "line_number", "padded", *(field.name for field in of.fields if not field.is_filler)
    }  # fmt: skip


def test_no_view_and_no_product_is_made_of_a_restricted_table() -> None:
    read = {name for view in views.views().values() for name in view.inputs}
    assert any(name.startswith("segment_pmsi_") for name in read)
    assert [name for name in read if "restricted" in name] == []
    for product in products().values():
        for table in product.tables:
            made_of = {name for view in views.closure([table.view]) for name in views.views()[view].inputs}
            assert not any("restricted" in name for name in made_of)


@pytest.mark.parametrize(
    "sql",
    [
        "from segment_restricted_pmsi_tra",
        "select * from SEGMENT_RESTRICTED_PMSI_ANO",
        "select r.* from segment_pmsi_rsa r join segment_restricted_pmsi_tra t using (record_number)",
        "with a as (from segment_restricted_pmsi_ano) from a",
        "select (select max(link_index) from segment_restricted_pmsi_ano) from ref_pmsi__head",
        "from query_table('segment_restricted_pmsi_ano')",
        "from read_parquet('{path}')",
        "from '{path}'",
        "from segment_pmsi_rsa, read_parquet('{store}/segments/*/*.parquet')",
        "from read_text('{home}/ecluse.db')",
    ],
)
def test_a_query_cannot_read_what_is_restricted(sealed: Sealed, sql: str) -> None:
    path = sealed.hub.blobs.segment_path(sealed.accepted.data["tables"]["restricted_pmsi_ano"])
    home = sealed.hub.settings.home
    with pytest.raises(WrongUsage) as refused:
        building.query(sealed.hub, sql.format(path=path, store=home / "store", home=home))
    assert not any(value in str(refused.value) for value in PLANTED["ano"].values())


def test_the_lines_set_aside_of_restricted_families_are_told_by_number_and_rule_and_read_by_no_query(sealed: Sealed) -> None:
    [report] = json.loads(told(sealed.hub, "quarantine", "--json").output)["deliveries"]
    expected = [("ano", 10, "pmsi.invalid_value"), ("tra", 10, "pmsi.line_length")]
    assert [(line["family"], line["line_number"], line["rule"]) for line in report["lines"]] == expected
    rows = json.loads(told(sealed.hub, "reject-report", report["delivery_id"], "--json").output)["lines"]
    assert [(row["ligne"], row["regle"]) for row in rows] == [line[1:] for line in expected]
    checked = json.loads(told(sealed.hub, "verify", "--json").output)["checked"]
    assert checked["segments"] == len(sealed.accepted.data["tables"]) + 1
    path = sealed.hub.blobs.segment_path(sealed.accepted.data["restricted_quarantine"])
    for sql in (f"from '{path}'", "from segment_quarantine", "from segment_restricted_quarantine"):
        with pytest.raises(WrongUsage):
            building.query(sealed.hub, sql)


@pytest.mark.parametrize("fault", ["none", "short", "shifted left", "shifted right", "longer", "stripped"])
def test_the_end_that_must_not_be_stored_is_cut_from_a_line_set_aside_wherever_it_has_moved(
    fault: str, hub: Hub, tmp_path: Path
) -> None:
    tail = unstored_tail(FAMILIES["ano"])
    assert tail == (759, 344)
    files, finess = transmission(RECIPE), FINESS.encode()
    lines = files["ano"].split(b"\r\n")
    line = lines[4][:759].replace(finess, OTHER.encode()) + b"Z" * 344
    lines[4] = {
        "none": line, "short": line[:-100], "shifted left": line[:300] + line[310:],
        "shifted right": line[:300] + b"!" + line[300:], "longer": line + b"!", "stripped": line[:759].rstrip(),
    }[fault]  # fmt: skip
    [report] = ingest(hub, write_archive(tmp_path, RECIPE, STAMP, files=files | {"ano": b"\r\n".join(lines)}))
    assert report.families["ano"]["rows_quarantined"] == 1
    [decided] = hub.log.read(types={"DeliveryAccepted"})
    [raw] = pl.read_parquet(hub.blobs.segment_path(decided.data["restricted_quarantine"]))["raw"]
    assert "Z" * 3 not in raw
    assert len(raw) > 200


def test_the_uid_of_the_build_is_kept_when_the_file_has_one(sealed: Sealed, hub: Hub, tmp_path: Path) -> None:
    rsa = transmission(RECIPE)["rsa"]
    assert sealed.accepted.data["uid"]
    mixed = belonging(rsa, 3, uid="b" * 32)["tra"][:500] + belonging(rsa, 3, uid="c" * 32)["tra"][500:]
    ingest(hub, write_archive(tmp_path, RECIPE, STAMP, files={"rsa": rsa, "tra": mixed}))
    [accepted] = hub.log.read(types={"DeliveryAccepted"})
    assert accepted.data["uid"] is None


def test_an_amount_or_a_date_that_the_source_masks_is_left_empty_and_counted(hub: Hub, tmp_path: Path) -> None:
    files = transmission(RECIPE)
    hidden = {"amount_copay": "X" * 10, "billing_end": "X" * 8, "amo_paid_on": "X" * 8}
    masked = files | {"ano": planted(files["ano"], "mco_ano_y2022", 7, hidden)}
    ingest(hub, write_archive(tmp_path, RECIPE, STAMP, files=files))
    ingest(hub, write_archive(tmp_path, RECIPE, "20250421101500", files=masked))
    before, after = (event.data["families"]["ano"] for event in hub.log.read(types={"DeliveryAccepted"}))
    assert after["rows_quarantined"] == 0
    counts = before["warnings"]["pmsi.masked_value"]
    expected = {name: counts.get(name, 0) + (name in hidden) for name in {*counts, *hidden}}
    assert after["warnings"]["pmsi.masked_value"] == expected


def test_files_of_a_folder_whose_names_say_nothing_are_told(ecluse: Ecluse, export: Export) -> None:
    path = export()
    for name in (f"{path.stem} (1).rsa", "RSA_990000028.txt", ".hidden"):
        (path.parent / name).write_bytes(path.read_bytes())
    said = ecluse("ingest", path.parent)
    assert f"nom non reconnu, non lu (2 fichiers) : {path.stem} (1).rsa, RSA_990000028.txt" in said.out
    assert ecluse("ingest", path.parent, "--json").json["passed_over"] == [f"{path.stem} (1).rsa", "RSA_990000028.txt"]
