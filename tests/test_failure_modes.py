"""Every case of the list of malformed inputs that a reader must survive, by its number: ``test_case_07_…`` is case 7.

A line is judged by the reader and the gate, a delivery by a small hub. Whatever is done to one line, the counts add up and the
other lines live, cell for cell.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Program
from oracle_rsa import physical_lines

from checks import rows
from checks.deliveries import Tally
from checks.rows import Gate
from connectors import pmsi
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_damage import DEFECTS
from connectors.synthetic_families import DRUIDES_2025, GENRSA, TRA, belonging, transmission, write_archive
from connectors.synthetic_rsa import records, write_rsa
from connectors.transmissions import LAMDA
from contracts_schema.families import FAMILIES, formats
from contracts_schema.layouts import DELIMITED, FIXED, Layout, layout
from flows import building, decisions, deliveries, publication
from flows.deliveries import Report
from flows.hub import Hub, WrongUsage

YEAR, PERIOD = 2025, 3
FINESS, OTHER = fictional_finess(number=1), fictional_finess(number=2)
RECIPE = Recipe(FINESS, YEAR, PERIOD, 20, seed=4, changed=0.0, vanished=0.0, late=0.0)
STAMP = "20250420101500"
FILES = transmission(RECIPE)
LAYOUT = {
    "rsa": "mco_rsa_229", "ano": "mco_ano_y2022", "med": "mco_fichcomp_med_06", "dmip": "mco_fichcomp_dmip_02",
    "ium": "mco_ium_90", "tra": "mco_tra_csv",
}  # fmt: skip
AT = 7
"""Index of the line that is changed: a stay with diagnoses and acts in the RSA."""

Change = Callable[[bytes], bytes]


# --- a line, through the reader and the gate --------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """What the gate made of a file."""

    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    tally: Tally


@dataclass(frozen=True)
class Outcome:
    """What became of the line that was changed: the rule that set it aside and its fields, or its row and that of before."""

    rule: str | None
    fields: list[str]
    row: dict[str, Any] | None
    before: dict[str, Any]
    tally: Tally


def sound(family: str = "rsa") -> list[bytes]:
    return FILES[family].split(b"\r\n")[:-1]


def joined(lines: list[bytes], end: bytes = b"\r\n") -> bytes:
    return b"".join(line + end for line in lines)


def read(data: bytes, family: str = "rsa", period: int = PERIOD) -> Read:
    """Read a file in chunks so small that lines straddle them; each physical line must be counted once."""
    gate, stream = Gate(FAMILIES[family], YEAR, period), io.BytesIO(data)
    blocks = pmsi.read(iter(lambda: stream.read(1 << 15), b""), FAMILIES[family], FINESS)
    parts = [gate.judge(block.cut, block.refused, block.ignored) for block in blocks]
    accepted, quarantined = (pl.concat(frames) for frames in zip(*parts, strict=True))
    tally = gate.tally
    assert tally.lines == tally.accepted + sum(tally.quarantined.values()) + tally.ignored == len(physical_lines(data))
    assert (accepted.height, quarantined.height) == (tally.accepted, sum(tally.quarantined.values()))
    return Read(accepted, quarantined, tally)


@cache
def untouched(family: str) -> pl.DataFrame:
    """The rows of a sound file."""
    found = read(FILES[family], family).accepted
    assert found.height == len(sound(family))
    return found


def outcome(change: Change, family: str = "rsa") -> Outcome:
    """Change one line of a sound file; all the others must live as they did."""
    lines, others = sound(family), pl.col("line_number") != AT + 1
    new = change(lines[AT])
    assert new != lines[AT]
    assert b"\n" not in new
    whole, spoilt = untouched(family), read(joined([*lines[:AT], new, *lines[AT + 1 :]]), family)
    assert spoilt.accepted.filter(others).equals(whole.filter(others))
    assert spoilt.quarantined.filter(others).is_empty()
    [before] = whole.filter(~others).to_dicts()
    found = spoilt.accepted.filter(~others).to_dicts()
    for aside in spoilt.quarantined.to_dicts():
        assert aside["raw"].encode("latin-1") == new
        assert aside["byte_offset"] == len(joined(lines[:AT]))
        return Outcome(aside["rule"], aside["fields"], None, before, spoilt.tally)
    return Outcome(None, [], found[0] if found else None, before, spoilt.tally)


def refused(change: Change, family: str = "rsa") -> tuple[str | None, list[str]]:
    found = outcome(change, family)
    return found.rule, found.fields


def put(family: str = "rsa", /, **values: str) -> Change:
    """Write these texts over fields of a line, each as long as its field where fields have a length."""
    of = layout(LAYOUT[family])

    def change(line: bytes) -> bytes:
        for name, text in values.items():
            field = of.field(name)
            if of.fixed_length:
                assert len(text) == field.length
                line = line[: field.offset] + text.encode("latin-1") + line[field.offset + field.length :]
            else:
                cells = line.split(b";")
                cells[of.fields.index(field)] = text.encode("latin-1")
                line = b";".join(cells)
        return line

    return change


def in_filler(new: bytes, instead_of: int = 1) -> Change:
    """These bytes in a filler of an RSA line that fields follow."""
    at = layout(LAYOUT["rsa"]).field("filler_143").offset
    return lambda line: line[:at] + new + line[at + instead_of :]


def defect(name: str) -> Change:
    """A defect that changes a line and adds none."""

    def change(line: bytes) -> bytes:
        [changed] = DEFECTS[name](line)
        return changed

    return change


def number(line: bytes, rank: int) -> bytes:
    """An RSA line under another record number."""
    return line[:12] + b"%010d" % rank + line[22:]


def of_format(version: str, count: int = 60) -> list[bytes]:
    """Sound lines of another format, as many as asked at most, numbered from 1."""
    recipe = Recipe(FINESS, YEAR, PERIOD, 20, seed=9, version=version, changed=0.0, vanished=0.0, late=0.0)
    return b"".join(records(recipe)).split(b"\r\n")[:-1][:count]


# --- a delivery, through a hub ----------------------------------------------------------------------------------------


def ingest(hub: Hub, *paths: Path) -> list[Report]:
    """The report of each file; the counts of a decision must be those of the bytes kept, of the segments and of the report."""
    found, reports = deliveries.find(paths)
    for one in found:
        report = deliveries.ingest(hub, one)
        if report.delivery_id:
            assert_counted(hub, report)
        reports.append(report)
    return reports


def assert_counted(hub: Hub, report: Report) -> None:
    data = decided(hub, report)
    for file in data["files"]:
        counts = data["families"][file["family"]]
        assert counts["lines"] == counts["rows_accepted"] + counts["rows_quarantined"] + counts["lines_ignored"]
        assert counts["lines"] == len(physical_lines(kept(hub, data, file)))
        assert counts["rows_quarantined"] == sum(counts["quarantined"].values())
        assert counts["rows_accepted"] == segment(hub, data["tables"][FAMILIES[file["family"]].table]).height
    for name in ("rows_in", "rows_accepted", "rows_quarantined", "lines_ignored"):
        assert getattr(report, name) == data[name] == sum(counts[name] for counts in data["families"].values())
    assert deliveries.set_aside(hub, data).height == report.rows_quarantined


def decided(hub: Hub, report: Report) -> dict[str, Any]:
    """What the log says of a delivery."""
    event = deliveries.decision(hub, str(report.scope), str(report.delivery_id))
    assert event
    return event.data


def kept(hub: Hub, data: dict[str, Any], file: dict[str, Any]) -> bytes:
    """The bytes of a file of a delivery, as the hub keeps them."""
    with hub.blobs.open_raw(file["sha256"] if file["entry"] is None else data["received"][0]["sha256"]) as raw:
        content = raw.read()
    if file["entry"] is None:
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as holder:
        return holder.read(holder.infolist()[file["entry"]])


def segment(hub: Hub, sha: str) -> pl.DataFrame:
    return pl.read_parquet(hub.blobs.segment_path(sha))


def rsa_file(folder: Path, data: bytes, name: str = f"{FINESS}.{YEAR}.{PERIOD}.rsa") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path


def deliver(hub: Hub, folder: Path, data: bytes, name: str = f"{FINESS}.{YEAR}.{PERIOD}.rsa") -> Report:
    [report] = ingest(hub, rsa_file(folder, data, name))
    return report


def standing(hub: Hub) -> list[str]:
    """The ids of the deliveries that stand."""
    return [head.delivery_id for head in deliveries.heads(hub).values()]


def assert_nothing_stands(hub: Hub) -> None:
    assert standing(hub) == []
    with pytest.raises(WrongUsage):
        publication.publish(hub)
    assert not hub.products_folder.exists()


def assert_no_trace(hub: Hub) -> None:
    """No event, and no byte kept."""
    assert hub.log.head()[0] == 0
    assert [path for path in (hub.settings.home / "store").rglob("*") if path.is_file()] == []


# --- cases 1 to 12: characters, line ends, lengths --------------------------------------------------------------------


def test_case_01_a_comma_in_a_filler_is_no_separator() -> None:
    """1: a comma in a filler, or in a text field of each family."""
    found = outcome(defect("comma"))
    assert found.row == found.before
    for family in ("ano", "med"):
        filler = next(field.name for field in layout(LAYOUT[family]).fields if field.is_filler and field.length > 3)
        width = layout(LAYOUT[family]).field(filler).length
        found = outcome(put(family, **{filler: "a,b".ljust(width)}), family)
        assert found.row == found.before
    assert outcome(put("tra", rss_number="1,2"), "tra").row["rss_number"] == "1,2"


def test_case_02_a_quote_opens_no_quoted_text() -> None:
    """2: a double quote in a filler, and in the first column (of an RSA, that makes it another FINESS)."""
    found = outcome(defect("quote"))
    assert found.row == found.before
    assert outcome(put("ano", link_index='"' + "A" * 31), "ano").row["link_index"] == '"' + "A" * 31
    assert outcome(put("tra", rss_number='"12'), "tra").row["rss_number"] == '"12'
    assert refused(lambda line: b'"' + line[1:]) == ("pmsi.finess_mismatch", [])


def test_case_03_one_byte_of_latin_1_is_one_column() -> None:
    """3: é as the byte 0xE9, and the bytes that Unicode calls a line end or a blank, anywhere in the line."""
    for byte in (0xE9, 0x85, 0xA0, 0xFF):
        found = outcome(in_filler(bytes([byte])))
        assert found.row == found.before
    found = outcome(put(main_diagnosis="Zé5 à "))
    assert found.row == found.before | {"main_diagnosis": "Zé5 à"}
    found = outcome(put("ano", management_code="éé"), "ano")
    assert found.row == found.before | {"management_code": "éé"}
    assert outcome(put("tra", admin_stay_number="é1"), "tra").row["admin_stay_number"] == "é1"


def test_case_04_an_accent_in_utf_8_shifts_no_column_silently() -> None:
    """4: é as two bytes: the line is one byte too long."""
    assert refused(defect("e_acute_in_utf8")) == ("pmsi.line_length", [])
    assert refused(lambda line: in_filler("é".encode())(line) + b"  ") == ("pmsi.line_length", [])


def test_case_05_blank_lines_are_passed_over_and_counted() -> None:
    """5: blank lines between the others, and several at the end."""
    lines = sound()
    found = read(joined([*lines[:3], b"", b" \t  ", *lines[3:], b"", b"   ", b""]))
    assert (found.tally.ignored, found.tally.lines) == (5, len(lines) + 5)
    assert found.accepted.drop("line_number").equals(untouched("rsa").drop("line_number"))
    assert found.accepted["line_number"].to_list() == [1, 2, 3, *range(6, len(lines) + 3)]


def test_case_06_a_closing_ctrl_z_is_no_stay() -> None:
    """6: a 0x1A alone on the last line, or glued to the last line."""
    lines = sound()
    whole = untouched("rsa")
    alone, glued = read(joined(lines) + b"\x1a"), read(joined(lines).rstrip(b"\r\n") + b"\x1a")
    assert alone.accepted.equals(whole)
    assert glued.accepted.equals(whole)
    assert (alone.tally.ignored, glued.tally.ignored) == (1, 0)


def test_case_07_a_byte_order_mark_is_taken_off_and_noted_of_its_file(hub: Hub, tmp_path: Path) -> None:
    """7: a UTF-8 BOM at the start."""
    assert read(b"\xef\xbb\xbf" + FILES["rsa"]).accepted.equals(read(FILES["rsa"]).accepted)
    report = deliver(hub, tmp_path / "marked", b"\xef\xbb\xbf" + FILES["rsa"])
    assert (report.status, report.rows_accepted, report.rules["pmsi.byte_order_mark"]) == ("accepted", len(sound()), 1)
    assert decided(hub, report)["families"]["rsa"]["warnings"]["pmsi.byte_order_mark"] == {"file": 1}
    plain = deliver(hub, tmp_path / "plain", FILES["rsa"])
    assert "pmsi.byte_order_mark" not in plain.rules
    assert decided(hub, plain)["same_content"] == report.delivery_id


def test_case_08_lines_may_end_as_they_like() -> None:
    """8: LF, CRLF, both in one file; no end on the last line."""
    lines = sound()
    whole = untouched("rsa")
    mixed = b"".join(line + (b"\n" if rank % 3 else b"\r\n") for rank, line in enumerate(lines))
    for data in (joined(lines, b"\n"), mixed, joined(lines)[:-2], joined(lines, b"\n")[:-1]):
        assert read(data).accepted.equals(whole)
        assert read(data).tally.ignored == 0


def test_case_09_blanks_stripped_from_the_end_are_given_back_and_the_line_is_marked() -> None:
    """9: trailing blanks stripped: at most 20 before zones, any number where no zone follows."""
    found = outcome(defect("blanks_stripped"))
    assert found.row["padded"]
    assert found.row | {"padded": False, "act_zone": ""} == found.before | {"act_zone": ""}
    assert found.row["act_zone"] == found.before["act_zone"][:-1] + " "
    assert found.tally.padded == 1
    stripped = [line.rstrip(b" ") for line in sound("ano")]
    whole, found = read(joined(sound("ano")), "ano"), read(joined([line[:565] for line in stripped]), "ano")
    assert found.tally.padded == found.tally.accepted == len(stripped)
    assert found.accepted.drop("padded").equals(whole.accepted.drop("padded"))


def test_case_10_a_line_cut_in_its_zones_is_set_aside() -> None:
    """10: more than 20 bytes missing, or fewer that a required field of a zone lay in."""
    assert refused(defect("cut_in_variable_part")) == ("pmsi.line_length", [])
    assert refused(lambda line: line[:-3]) == ("pmsi.line_length", [])


def test_case_11_a_line_cut_in_its_fixed_part_is_set_aside() -> None:
    """11: cut in the fixed part; where no zone follows, before the last field that a line must have, or inside a number."""
    assert refused(defect("cut_in_fixed_part")) == ("pmsi.line_too_short", [])
    assert refused(lambda line: line[:12]) == ("pmsi.line_too_short", [])
    for family in ("ano", "med", "dmip"):
        assert refused(lambda line: line[:24], family) == ("pmsi.line_too_short", [])
    assert refused(lambda line: line[:16], "ium") == ("pmsi.line_too_short", [])
    assert refused(lambda line: line[:24], "ium") == ("pmsi.invalid_value", ["unit_number"])
    for family, inside in (("ano", 329), ("med", 70), ("dmip", 60), ("ium", 44)):
        assert refused(lambda line, inside=inside: line[:inside], family) == ("pmsi.line_length", [])


def test_case_12_bytes_too_many_are_refused_unless_they_are_blanks() -> None:
    """12: extra bytes at the end; extra blanks."""
    assert refused(defect("extra_bytes")) == ("pmsi.line_length", [])
    found = outcome(defect("extra_blanks"))
    assert found.row == found.before
    for family in ("ano", "med", "dmip", "ium"):
        assert refused(lambda line: line + b"X", family)[0] == "pmsi.line_length"
        found = outcome(lambda line: line + b"   ", family)
        assert found.row == found.before
    assert refused(lambda line: line + b";", "tra")[0] == "pmsi.line_length"


# --- cases 13 to 15: formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("few", "many"), [("228", "229"), ("229", "228")])
def test_case_13_a_line_of_another_format_is_read_under_its_own_layout(few: str, many: str, hub: Hub, tmp_path: Path) -> None:
    """13: one line of format 228 in a 229 file, and the reverse."""
    lines, [stranger] = of_format(many), of_format(few, 1)
    lines[AT] = number(stranger, AT + 1)
    report = deliver(hub, tmp_path, joined(lines))
    data = decided(hub, report)
    assert (report.status, data["families"]["rsa"]["formats"]) == ("accepted", {few: 1, many: len(lines) - 1})
    apart = ("line_number", "record_number")
    found = segment(hub, data["tables"]["pmsi_rsa"]).filter(pl.col("line_number") == AT + 1)
    assert found.drop(apart).equals(read(joined([stranger])).accepted.drop(apart))


def test_case_14_a_whole_file_in_last_years_format_is_read(hub: Hub, tmp_path: Path) -> None:
    """14: January and February still in last year's format: the number in the record decides."""
    report = deliver(hub, tmp_path, joined(of_format("228", 40)), f"{FINESS}.{YEAR}.2.rsa")
    assert (report.status, report.alerts, report.rows_accepted) == ("accepted", [], 40)
    assert decided(hub, report)["families"]["rsa"]["formats"] == {"228": 40}
    counted = building.query(hub, "select cast(sum(stays + sessions) as integer) as n from out_ars__pmsi_activity")
    assert counted["n"].item() > 30


@contextmanager
def before_format(monkeypatch: pytest.MonkeyPatch, version: str) -> Iterator[None]:
    """The hub as it was before it knew a format."""

    def known(family: Any) -> dict[str, Layout]:
        return {number: of for number, of in formats(family).items() if number != version}

    with monkeypatch.context() as past:
        for module in (pmsi, rows):
            past.setattr(module, "formats", known)
        for module in (deliveries, decisions):
            past.setattr(module, "fingerprint", lambda: "before")
        yield


def test_case_15_lines_of_an_unknown_format_are_set_aside_and_read_once_it_is_known(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15: a format number never seen on some lines."""
    for unknown in ("230", "999", "   ", "22é"):
        assert refused(put(format_version=unknown)) == ("pmsi.unknown_format", [])
    for family in ("med", "dmip"):
        assert refused(put(family, provision_type="77"), family) == ("pmsi.unknown_format", [])
    lines = [*of_format("229", 57), *(number(line, 58 + rank) for rank, line in enumerate(of_format("228", 3)))]
    with before_format(monkeypatch, "228"):
        first = deliver(hub, tmp_path, joined(lines))
    before = decided(hub, first)
    assert (first.status, first.rows_accepted, first.rules["pmsi.unknown_format"]) == ("accepted", 57, 3)
    [second] = decisions.redecide(hub)
    assert_counted(hub, second)
    after = decided(hub, second)
    assert (second.status, second.rows_accepted, second.rows_quarantined) == ("accepted", 60, 0)
    rows_before, rows_after = (segment(hub, data["tables"]["pmsi_rsa"]) for data in (before, after))
    assert rows_after.filter(pl.col("format_version") == "229").equals(rows_before)
    assert segment(hub, before["quarantine"])["rule"].to_list() == ["pmsi.unknown_format"] * 3
    assert [event.data["rows_quarantined"] for event in hub.log.read(types={"DeliveryAccepted"})] == [3, 0]


def test_case_15_a_file_of_an_unknown_format_waits_for_its_layout(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15: a format number never seen on more than half of the lines."""
    lines = sound()
    half = [put(format_version="230")(line) for line in lines[:30]] + lines[30:]
    assert deliver(hub, tmp_path / "half", joined(half)).reasons == ["pmsi.quarantine_rate"]
    over = [put(format_version="230")(line) for line in lines[:31]] + lines[31:]
    assert deliver(hub, tmp_path / "over", joined(over)).reasons == ["pmsi.new_format", "pmsi.quarantine_rate"]
    with before_format(monkeypatch, "229"):
        report = deliver(hub, tmp_path / "all", joined(lines))
        assert (report.status, report.rows_accepted) == ("held", 0)
        assert "pmsi.new_format" in report.reasons
    assert_nothing_stands(hub)
    [again] = decisions.redecide(hub, report.delivery_id)
    assert (again.status, again.rows_accepted) == ("accepted", len(lines))
    assert standing(hub) == [report.delivery_id]


# --- cases 16 to 22: what a line says ---------------------------------------------------------------------------------


def test_case_16_a_count_that_is_no_number_is_refused_and_a_blank_one_is_zero() -> None:
    """16: counts of zones that are not numeric, or blank."""
    assert refused(defect("count_not_numeric")) == ("pmsi.invalid_count", ["das_count"])
    assert refused(put(das_count="  +1", act_count="-0001")) == ("pmsi.invalid_count", ["das_count", "act_count"])
    found = outcome(put(pgv_auth_count=" ", radiotherapy_zone_count=" "))
    assert (found.before["pgv_auth_count"], found.before["radiotherapy_zone_count"]) == (0, 0)
    assert found.row == found.before | {"pgv_auth_count": None, "radiotherapy_zone_count": None}
    assert refused(put(das_count="    ")) == ("pmsi.line_length", []), "the diagnoses that are there are too many"


def test_case_17_units_that_do_not_add_up_to_the_stay_are_refused() -> None:
    """17: the sum of the units' acts is not the total, the length being right."""
    assert refused(defect("sum_mismatch")) == ("pmsi.count_mismatch", ["act_count"])


def test_case_18_a_control_byte_is_refused_wherever_it_stands() -> None:
    """18: NUL or another byte under 0x20, in a filler, in a field, in a zone."""
    lines, controls = sound(), sorted({*range(0x20)} - {0x0A})
    spoilt = [in_filler(bytes([byte]))(line) for byte, line in zip(controls, lines, strict=False)]
    found = read(joined(spoilt + lines[len(spoilt) :]))
    assert found.tally.quarantined == {"pmsi.control_character": len(controls)}
    assert found.accepted.equals(untouched("rsa")[len(controls) :])
    for place in (0, 10, 214, -2):
        assert refused(lambda line, place=place: line[:place] + b"\x00" + line[place:][1:]) == ("pmsi.control_character", [])
    for family in ("ano", "med", "dmip", "ium", "tra"):
        assert refused(lambda line: line[:5] + b"\x00" + line[6:], family) == ("pmsi.control_character", [])


def test_case_19_a_line_of_another_establishment_is_set_aside() -> None:
    """19: the FINESS of another establishment on one line of each file that names one."""
    for family in ("rsa", "ano", "med", "dmip", "ium"):
        assert refused(put(family, finess=OTHER), family) == ("pmsi.finess_mismatch", [])


@pytest.mark.parametrize("family", ["rsa", "ano", "med"])
def test_case_19_a_file_of_another_establishment_is_held(family: str, hub: Hub, tmp_path: Path) -> None:
    """19: the FINESS of another establishment on all lines: the name of the file is wrong."""
    foreign = joined([put(family, finess=OTHER)(line) for line in sound(family)])
    [report] = ingest(hub, write_archive(tmp_path, RECIPE, STAMP, files=FILES | {family: foreign}))
    assert report.status == "held"
    assert "pmsi.finess_file" in report.reasons
    assert report.families[family]["rows_accepted"] == 0
    assert_nothing_stands(hub)


def test_case_20_an_impossible_value_is_refused_and_every_faulty_field_is_named() -> None:
    """20: month 13, age A5, date 30021994, in each family that has such a field."""
    assert refused(put(exit_month="13")) == ("pmsi.invalid_value", ["exit_month"])
    assert refused(put(exit_month="13", age_years=" A5", los_nights="1.5 ")) == (
        "pmsi.invalid_value", ["age_years", "exit_month", "los_nights"],
    )  # fmt: skip
    assert refused(put("ano", stay_entry_date="30021994", refund_rate="ABCDE"), "ano") == (
        "pmsi.invalid_value", ["refund_rate", "stay_entry_date"],
    )  # fmt: skip
    assert refused(put("tra", stay_exit_date="30021994"), "tra") == ("pmsi.invalid_value", ["stay_exit_date"])
    assert refused(put("ium", effective_from="31042020"), "ium") == ("pmsi.invalid_value", ["effective_from"])
    for family in ("med", "dmip", "ium"):
        assert refused(put(family, period_month="13"), family) == ("pmsi.invalid_value", ["period_month"])


def counted_stays(hub: Hub) -> dict[int, int]:
    """Stays and sessions counted by year of exit."""
    found = building.query(
        hub, "select exit_year, cast(sum(stays + sessions) as integer) as n from out_ars__pmsi_activity group by 1"
    )
    return dict(found.iter_rows())


def test_case_21_a_stay_of_another_year_is_let_in_with_a_warning_and_never_counted(hub: Hub, tmp_path: Path) -> None:
    """21: exit year other than the file's, in a monthly transmission."""
    found = outcome(put(exit_year="2024"))
    assert found.row == found.before | {"exit_year": 2024}
    assert found.tally.warnings["pmsi.out_of_period"] == {"exit_year": 1}
    deliver(hub, tmp_path / "sound", FILES["rsa"])
    [(year, before)] = counted_stays(hub).items()
    lines = sound()
    report = deliver(hub, tmp_path / "late", joined([*lines[:AT], put(exit_year="2024")(lines[AT]), *lines[AT + 1 :]]))
    assert (report.status, report.rows_accepted, report.rules["pmsi.out_of_period"]) == ("accepted", len(lines), 1)
    assert standing(hub) == [report.delivery_id]
    assert counted_stays(hub) == {year: before - 1}


def test_case_21_corrections_of_a_year_stand_for_it_and_those_of_another_are_warned_of(hub: Hub, tmp_path: Path) -> None:
    """21: a LAMDA archive, named for the year that it corrects; a stay of the year before in it."""
    year = Recipe(FINESS, YEAR, 12, 5, seed=4, changed=0.0, vanished=0.0, late=0.0)
    lines = b"".join(records(year)).split(b"\r\n")[:-1]
    ingest(hub, write_archive(tmp_path, year, "20260120101500", files={"rsa": joined(lines)}))
    [(_, before)] = counted_stays(hub).items()
    corrected = joined([put(exit_year="2024")(lines[0]), *lines[1:]])
    [report] = ingest(hub, write_archive(tmp_path, year, "20260920101500", flow=LAMDA, files={"rsa": corrected}))
    assert (report.status, report.rules["pmsi.out_of_period"]) == ("accepted", 1)
    assert standing(hub) == [report.delivery_id]
    assert counted_stays(hub) == {YEAR: before - 1}


def test_case_22_the_second_line_of_a_record_number_is_set_aside_and_compared() -> None:
    """22: the same record number twice, with the same bytes or others, side by side or far apart."""
    lines = sound()
    whole = untouched("rsa")
    for again, told in ((lines[2], "identical"), (put(sex="9")(lines[2]), "different")):
        for place in (3, len(lines)):
            found = read(joined([*lines[:place], again, *lines[place:]]))
            [aside] = found.quarantined.to_dicts()
            assert (aside["line_number"], aside["rule"], aside["fields"]) == (
                place + 1, "pmsi.duplicate_record", [f"record_number:{told}"],
            )  # fmt: skip
            assert found.accepted.drop("line_number").equals(whole.drop("line_number"))
    for family, key in (("ano", "stay_number"), ("tra", "record_number")):
        found = read(joined([*sound(family), sound(family)[AT]]), family)
        assert found.quarantined["fields"].to_list() == [[f"{key}:identical"]]


# --- cases 23 and 24: too little --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\r\n \r\n\t\n\x1a", b"\xef\xbb\xbf"], ids=["0 byte", "blank lines", "only a BOM"])
def test_case_23_an_empty_file_replaces_nothing_until_someone_confirms(content: bytes, hub: Hub, tmp_path: Path) -> None:
    """23: 0 byte, or only blank lines."""
    before = deliver(hub, tmp_path / "before", FILES["rsa"], f"{FINESS}.{YEAR}.{PERIOD}.rsa")
    report = deliver(hub, tmp_path / "empty", content, f"{FINESS}.{YEAR}.{PERIOD + 1}.rsa")
    assert (report.status, report.rows_in) == ("held", 0)
    assert "pmsi.empty" in report.reasons
    assert standing(hub) == [before.delivery_id]
    waived = decisions.waive(hub, str(report.delivery_id), "service fermé", hub.today() + timedelta(30))
    assert waived.status == "accepted"
    assert standing(hub) == [report.delivery_id]


@pytest.mark.parametrize(
    ("kept_lines", "status", "reasons", "alerts"),
    [(57, "accepted", [], []), (56, "accepted", [], ["pmsi.shrink"]), (48, "accepted", [], ["pmsi.shrink"]),
     (47, "held", ["pmsi.shrunken"], [])],
)  # fmt: skip
def test_case_24_a_file_that_lost_lines_alerts_then_waits(
    kept_lines: int, status: str, reasons: list[str], alerts: list[str], hub: Hub, tmp_path: Path
) -> None:
    """24: fewer lines than the present head by more than 5 %, by more than 20 %."""
    before = deliver(hub, tmp_path / "before", FILES["rsa"])
    report = deliver(hub, tmp_path / "after", joined(sound()[:kept_lines]))
    assert (report.status, report.reasons, report.alerts) == (status, reasons, alerts)
    assert standing(hub) == [before.delivery_id if status == "held" else report.delivery_id]
    if status == "held":
        decisions.waive(hub, str(report.delivery_id), "fermeture d'un site", hub.today() + timedelta(30))
        assert standing(hub) == [report.delivery_id]


# --- cases 25 to 28: archives and names -------------------------------------------------------------------------------

INNER = f"{FINESS}.{YEAR}.03.rsa"


def archive(folder: Path, entries: dict[str, bytes], name: str | None = None) -> Path:
    """An archive of our establishment and month that holds these entries."""
    path = write_archive(folder, RECIPE, STAMP, files={}, others=entries)
    return path.rename(folder / name) if name else path


def locked(data: bytes) -> bytes:
    """The archive with its entries marked as under password, as its directory and their own headers say it."""
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in list(re.finditer(re.escape(signature), data)):
            at = found.start() + place
            data = data[:at] + bytes([data[at] | 1]) + data[at + 1 :]
    return data


def test_case_25_an_archive_that_cannot_be_opened_is_refused_whole(hub: Hub, tmp_path: Path) -> None:
    """25: a zip damaged, truncated, empty, under password."""
    path = archive(tmp_path, {INNER: FILES["rsa"]})
    data = path.read_bytes()
    spoilt = bytearray(data)
    spoilt[len(data) // 2] ^= 0xFF
    for content, rule in (
        (bytes(spoilt), "pmsi.archive_damaged"),
        (data[: len(data) // 2], "pmsi.archive_damaged"),
        (b"", "pmsi.archive_damaged"),
        (locked(data), "pmsi.archive_locked"),
    ):
        path.write_bytes(content)
        [report] = ingest(hub, path)
        assert (report.status, report.reasons) == ("rejected", [rule])
        assert_no_trace(hub)
    path.write_bytes(data)
    assert ingest(hub, path)[0].status == "accepted"


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (f"out/mco/{INNER}", None),
        (f"../../{INNER}", None),
        (f"..\\..\\{INNER}", None),
        (f"/tmp/{INNER}", None),
        (f"{FINESS}.{YEAR}.3.RSA", f"{FINESS}.{YEAR}.3.{STAMP}.OUT.ZIP"),
    ],
    ids=["nested folder", "parent folder", "parent folder of Windows", "absolute path", "upper case"],
)
def test_case_25_an_entry_is_read_where_it_lies_and_never_written_there(
    entry: str, name: str | None, hub: Hub, tmp_path: Path
) -> None:
    """25: a zip with a nested folder, a path that leaves the archive, an extension in upper case."""
    path = archive(tmp_path, {entry: FILES["rsa"], "readme.txt": b"nothing to read"}, name)
    home, before = hub.settings.home, {*tmp_path.iterdir(), *tmp_path.parent.iterdir()}
    [report] = ingest(hub, path)
    assert (report.status, report.rows_accepted) == ("accepted", len(sound()))
    assert {*tmp_path.iterdir(), *tmp_path.parent.iterdir()} == before
    assert [found for found in home.rglob("*") if found.suffix.lower() in (".rsa", ".zip", ".txt")] == []
    assert not Path(f"/tmp/{INNER}").exists()


def test_case_25_of_several_rsa_the_one_named_as_the_archive_is_read(hub: Hub, tmp_path: Path) -> None:
    """25: a zip with several .rsa."""
    others = {f"{OTHER}.{YEAR}.03.rsa": b"x", f"{FINESS}.{YEAR}.02.rsa": b"x", f"{FINESS}.{YEAR - 1}.03.rsa": b"x"}
    [report] = ingest(hub, archive(tmp_path, {INNER: FILES["rsa"], **others}))
    assert (report.status, report.rows_accepted) == ("accepted", len(sound()))
    received = deliveries.reception(hub, str(report.delivery_id)).data
    assert ([file["name"] for file in received["files"]], received["unread"]) == ([INNER], {"rsa": len(others)})


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_case_26_of_two_archives_of_a_month_the_newest_stamp_stands_and_both_are_kept(
    order: tuple[int, int], hub: Hub, tmp_path: Path
) -> None:
    """26: two archives for the same month, whose stamps have two shapes: the last by name is the older."""
    older = write_archive(tmp_path, RECIPE, "20250331101500", GENRSA, files={"rsa": joined(sound()[:58])})
    newer = write_archive(tmp_path, RECIPE, "20250402090000", files={"rsa": FILES["rsa"]})
    assert "31032025101500" in older.name
    [first], [second] = (ingest(hub, [older, newer][place]) for place in order)
    assert (first.status, second.status) == ("accepted", "accepted")
    newest = (first, second)[order.index(1)]
    assert standing(hub) == [newest.delivery_id]
    assert decided(hub, newest)["stamp"] == "20250402090000"
    for report, path in zip((first, second), (older, newer) if order == (0, 1) else (newer, older), strict=True):
        with hub.blobs.open_raw(report.files[0]["sha256"]) as raw:
            assert raw.read() == path.read_bytes()


def test_case_27_month_1_is_not_the_start_of_10_11_or_12(hub: Hub, tmp_path: Path) -> None:
    """27: period 1 beside 10, 11 and 12, in one archive and in one folder."""
    january = Recipe(FINESS, YEAR, 1, 20, seed=4, changed=0.0, vanished=0.0, late=0.0)
    data = b"".join(records(january))
    others = {f"{FINESS}.{YEAR}.{period}.rsa": b"x" for period in (10, 11, 12)}
    path = write_archive(tmp_path, january, "20250220101500", GENRSA, files={}, others={
        **others, f"{FINESS}.{YEAR}.1.rsa": data,
    })  # fmt: skip
    [report] = ingest(hub, path)
    assert (report.period, report.rows_accepted, report.rows_quarantined) == (1, 20, 0)
    for period in (1, 10, 11, 12):
        rsa_file(tmp_path / "loose", data, f"{FINESS}.{YEAR}.{period}.rsa")
    assert [found.period for found in ingest(hub, tmp_path / "loose")] == [1, 10, 11, 12]
    assert [head.period for head in deliveries.heads(hub).values()] == [12]


def test_case_28_a_month_has_one_digit_or_two(hub: Hub, tmp_path: Path) -> None:
    """28: inner file .3.rsa or .03.rsa, whatever the archive writes; both in one archive cannot be told apart."""
    for folder, inner in (("one", f"{FINESS}.{YEAR}.3.rsa"), ("two", INNER)):
        (tmp_path / folder).mkdir()
        for charter in (GENRSA, DRUIDES_2025):
            path = write_archive(tmp_path / folder, RECIPE, STAMP, charter, files={}, others={inner: FILES["rsa"]})
            [report] = ingest(hub, path)
            assert (report.decision, report.period, report.rows_accepted) == ("accepted", PERIOD, len(sound()))
    [report] = ingest(hub, archive(tmp_path, {INNER: FILES["rsa"], f"{FINESS}.{YEAR}.3.rsa": FILES["rsa"]}))
    assert (report.status, report.reasons) == ("rejected", ["pmsi.family_twice"])


# --- cases 29 to 31, 36 and 37: what a field may hold -----------------------------------------------------------------


def test_case_29_a_masked_amount_is_empty_and_counted_and_no_error() -> None:
    """29: XXXX in an amount or a date of the ANO."""
    found = outcome(put("ano", amount_copay="X" * 10, amount_pathway_surcharge="XXXX", billing_end="X" * 8), "ano")
    assert found.row == found.before | {"amount_copay": None, "amount_pathway_surcharge": None, "billing_end": None}
    before = read(FILES["ano"], "ano").tally.warnings["pmsi.masked_value"]
    hidden = dict.fromkeys(("amount_copay", "amount_pathway_surcharge", "billing_end"), 1)
    expected = {name: before.get(name, 0) + hidden.get(name, 0) for name in {*before, *hidden}}
    if found.before["amount_copay"] is None:
        expected["amount_copay"] -= 1
    assert found.tally.warnings["pmsi.masked_value"] == expected
    assert refused(put("ano", amount_copay="XXXX567890"), "ano") == ("pmsi.invalid_value", ["amount_copay"])
    assert refused(put("ano", entry_delay="XXXXX"), "ano") == ("pmsi.invalid_value", ["entry_delay"])


def test_case_30_text_stays_text(hub: Hub, tmp_path: Path) -> None:
    """30: the code NA, null, 00, 0123, 1E5: never a null, never a number. (These files have no column names.)"""
    changed = {
        "rsa": put(main_diagnosis="NA    ", postal_code="01E05", ghs_number="0012"),
        "ano": put("ano", management_code="NA", scheme_code="00", fund_centre_number="0123"),
        "med": put("med", ucd_code="0000000000123", indication_code="NULL   "),
        "dmip": put("dmip", lpp_code="000000012"),
        "ium": put("ium", unit_number="0007", unit_authorisation_type="NaN"),
    }
    files = dict(FILES)
    for family, change in changed.items():
        lines = sound(family)
        files[family] = joined([*lines[:AT], change(lines[AT]), *lines[AT + 1 :]])
    [report] = ingest(hub, write_archive(tmp_path, RECIPE, STAMP, files=files))
    assert (report.status, report.rows_quarantined) == ("accepted", 0)
    for sql, expected in {
        "main_diagnosis, postal_code, ghs_number from segment_pmsi_rsa": ("NA", "01E05", "0012"),
        "main_diagnosis, ghs_number from core_pmsi__stay": ("NA", "0012"),
        "management_code, scheme_code, fund_centre_number from segment_pmsi_ano": ("NA", "00", "0123"),
        "ucd_code, indication_code from segment_pmsi_med": ("0000000000123", "NULL"),
        "lpp_code from segment_pmsi_dmip": ("000000012",),
        "unit_number, unit_authorisation_type from segment_pmsi_ium": ("0007", "NaN"),
    }.items():
        assert building.query(hub, f"select {sql} where line_number = {AT + 1}").row(0) == expected


def test_case_31_a_diagnosis_may_hold_a_plus_and_six_characters(hub: Hub, tmp_path: Path) -> None:
    """31: U822+0 and M6258+ as main, related and associated diagnosis."""
    lines = sound()
    of = layout("mco_rsa_229")
    [before] = read(joined(lines)).accepted.filter(pl.col("line_number") == AT + 1).to_dicts()
    at = of.fixed_length + sum(len(before[f"{zone}_zone"]) for zone in ("pgv", "radiotherapy", "rum"))
    plain = put(main_diagnosis="U822+0", related_diagnosis="F10240")(lines[AT])
    found = outcome(lambda line: plain[:at] + b"M6258+" + plain[at + 6 :])
    assert found.row == found.before | {
        "main_diagnosis": "U822+0", "related_diagnosis": "F10240", "das_zone": "M6258+" + before["das_zone"][6:],
    }  # fmt: skip
    lines[AT] = plain[:at] + b"M6258+" + plain[at + 6 :]
    deliver(hub, tmp_path, joined(lines))
    sql = f"select kind, code from core_pmsi__diagnosis where line_number = {AT + 1} and diagnosis_rank < 2 order by kind"
    assert building.query(hub, sql).rows() == [("DAS", "M6258+"), ("DP", "U822+0"), ("DR", "F10240")]


def test_case_36_a_blank_first_field_moves_no_other() -> None:
    """36: a leading field all blanks; a blank FINESS or record key is the only one that blocks the line."""
    found = outcome(put("ano", link_index=" " * 32), "ano")
    assert found.row == found.before | {"link_index": None}
    assert found.tally.warnings["pmsi.missing_value"]["link_index"] == 1
    fixed = belonging(FILES["rsa"], PERIOD, FIXED)["tra"]
    lines = fixed.split(b"\r\n")[:-1]
    found = read(joined([b" " * 10 + lines[0][10:], *lines[1:]]), "tra")
    assert found.quarantined.select("line_number", "rule", "fields").rows() == [(1, "pmsi.invalid_value", ["record_number"])]
    assert found.accepted.equals(read(fixed, "tra").accepted[1:])
    for family in ("rsa", "med", "dmip", "ium"):
        assert refused(put(family, finess=" " * 9), family) == ("pmsi.finess_mismatch", [])


def test_case_37_each_form_of_the_tra_is_told_by_its_semicolons() -> None:
    """37: TRA with seven columns in the other order, or of 82 fixed characters, whatever the year; even both in one file."""
    both = {form: belonging(FILES["rsa"], PERIOD, form)["tra"] for form in TRA}
    read_as = {form: read(data, "tra") for form, data in both.items()}
    assert {form: found.tally.quarantined for form, found in read_as.items()} == {FIXED: {}, DELIMITED: {}}
    shared = ["record_number", "rss_number", "admin_stay_number", "stay_entry_date", "stay_exit_date", "ghm_code"]
    assert read_as[FIXED].accepted.select(shared).equals(read_as[DELIMITED].accepted.select(shared))
    assert read_as[DELIMITED].accepted["stay_exit_date"].dtype == pl.Date
    assert read_as[DELIMITED].accepted["build_uid"].n_unique() == 1
    halves = [both[form].split(b"\r\n")[:-1] for form in (FIXED, DELIMITED)]
    mixed = read(joined([*halves[0][:30], *halves[1][30:]]), "tra")
    assert mixed.accepted.select(shared).equals(read_as[FIXED].accepted.select(shared))
    for change in (lambda line: line.rpartition(b";")[0], lambda line: line.replace(b";", b"", 1)):
        assert refused(change, "tra") == ("pmsi.line_length", [])


# --- cases 32 to 35: what is not read yet -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["rapss", "rapss.txt"])
def test_case_32_a_rapss_is_not_read_yet_and_is_refused_at_the_door(ending: str, hub: Hub, tmp_path: Path) -> None:
    """32: RAPSS with an empty establishment grouping: HAD is another field of care."""
    assert_refused_at_the_door(hub, tmp_path, f"{FINESS}.{YEAR}.3.{ending}")


def test_case_33_an_archive_of_had_is_not_read_yet_and_is_refused_at_the_door(hub: Hub, tmp_path: Path) -> None:
    """33: RAPSS with an unexpected tail, in an archive of HAD."""
    assert_refused_at_the_door(hub, tmp_path, f"{FINESS}.{YEAR}.03.HAD.SEJOURS.SEJOURS.{STAMP}.out.zip")


def test_case_34_an_rha_is_not_read_yet_and_is_refused_at_the_door_or_by_what_it_holds(hub: Hub, tmp_path: Path) -> None:
    """34: RHA with CSAR records: SMR is another field of care, even under the name of an RSA."""
    assert_refused_at_the_door(hub, tmp_path, f"{FINESS}.{YEAR}.3.rha")
    assert_refused_at_the_door(hub, tmp_path, f"{FINESS}.{YEAR}.03.SMR.SEJOURS.SEJOURS.{STAMP}.out.zip")
    rha = joined([f"{FINESS}M64{rank:010d}".encode().ljust(208) for rank in range(60)])
    report = deliver(hub, tmp_path, rha)
    assert (report.status, report.reasons) == ("rejected", ["pmsi.wrong_family", "pmsi.quarantine_rate"])
    assert report.message == "le contenu ressemble à SMR RHA (one line per week)"
    assert_nothing_stands(hub)


def test_case_35_external_care_is_not_read_yet_and_is_refused_at_the_door(hub: Hub, tmp_path: Path) -> None:
    """35: RSF-ACE with an unknown letter, or an orphan B: external care is another flow."""
    for name in (f"{FINESS}.{YEAR}.3.rsfa", f"{FINESS}.{YEAR}.3.rsfa.txt"):
        assert_refused_at_the_door(hub, tmp_path, name)
    assert_refused_at_the_door(hub, tmp_path, f"{FINESS}.{YEAR}.03.MCO.RSFACE.RSFACE.{STAMP}.out.zip")


def assert_refused_at_the_door(hub: Hub, folder: Path, name: str) -> None:
    (folder / name).write_bytes(FINESS.encode())
    [report] = ingest(hub, folder / name)
    assert (report.status, report.reasons) == ("rejected", ["pmsi.field_of_care"])
    assert "pas encore pris en charge" in str(report.message)
    assert_no_trace(hub)


# --- case 38: much ----------------------------------------------------------------------------------------------------


def resident() -> int:
    """Megabytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


def test_case_38_a_million_lines_pass_through_the_gate_in_bounded_memory() -> None:
    """38: a long file, whose lines are the shortest there are (IUM, 47 MB), in chunks of 1 MB; the whole would take 700 MB."""
    chunk = joined(sound("ium")) * 500
    count = 1_000_000 // chunk.count(b"\n")
    family, most, taken = FAMILIES["ium"], 0, 0
    gate = Gate(family, YEAR, PERIOD)

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for part in repeat(chunk, count + 1):
            taken += len(part)
            yield part

    before, given = resident(), 0
    for block in pmsi.read(chunks(), family, FINESS):
        accepted, quarantined = gate.judge(block.cut, block.refused, block.ignored)
        given += accepted.height + quarantined.height
        assert taken <= (given + 3 * chunk.count(b"\n")) * 47, "no more is taken than is about to be judged"
        most = max(most, resident() - before)
    assert given == gate.tally.lines == gate.tally.accepted >= 1_000_000
    assert most < 250


INGEST = """
import resource, sys
from pathlib import Path
from flows import deliveries
from flows.hub import open_hub
[one], _ = deliveries.find([Path(sys.argv[2])])
report = deliveries.ingest(open_hub(Path(sys.argv[1])), one)
print(report.status, report.rows_accepted, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.soak
def test_case_38_a_delivery_of_three_million_stays_is_ingested_in_bounded_memory(
    home: Path, tmp_path: Path, program: Program
) -> None:
    """38: a 3-million-line RSA, from file to segments."""
    path = tmp_path / f"{FINESS}.{YEAR}.1.rsa"
    write_rsa(path, Recipe(FINESS, YEAR, 1, 3_000_000, seed=4, changed=0.0, vanished=0.0, late=0.0))
    said, _ = program(INGEST, str(home), str(path)).communicate()
    status, accepted, megabytes = said.split()
    assert (status, int(accepted)) == ("accepted", 3_000_000)
    assert int(megabytes) < 1500


# --- outcomes of a file -----------------------------------------------------------------------------------------------


def test_a_delivery_with_bad_lines_in_every_family_counts_each_of_them_once(hub: Hub, tmp_path: Path) -> None:
    bad = {
        "rsa": put(exit_month="13"), "ano": put("ano", refund_rate="ABCDE"), "med": put("med", finess=OTHER),
        "dmip": lambda line: line[:30], "ium": put("ium", format_version="77"), "tra": lambda line: line + b";",
    }  # fmt: skip
    months = Recipe(FINESS, YEAR, PERIOD, 120, seed=4, changed=0.0, vanished=0.0, late=0.0)
    files = transmission(months)
    for family, change in bad.items():
        lines = files[family].split(b"\r\n")[:-1]
        files[family] = joined([*lines[:AT], change(lines[AT]), b"", *lines[AT + 1 :]])
    [report] = ingest(hub, write_archive(tmp_path, months, STAMP, files=files))
    assert (report.status, report.rows_quarantined, report.lines_ignored) == ("accepted", 6, 6)
    aside = deliveries.set_aside(hub, decided(hub, report))
    assert dict(aside.select("family", "rule").iter_rows()) == {
        "rsa": "pmsi.invalid_value", "ano": "pmsi.invalid_value", "med": "pmsi.finess_mismatch",
        "dmip": "pmsi.line_too_short", "ium": "pmsi.unknown_format", "tra": "pmsi.line_length",
    }  # fmt: skip
    assert aside["line_number"].to_list() == [AT + 1] * 6


def test_bad_lines_are_let_in_up_to_the_threshold_then_held_and_the_same_bytes_again_are_nothing_new(
    hub: Hub, tmp_path: Path
) -> None:
    lines = sound()
    for bad, status in ((0, "accepted"), (3, "accepted"), (4, "held")):
        data = joined([put(exit_month="13")(line) for line in lines[:bad]] + lines[bad:])
        report = deliver(hub, tmp_path / str(bad), data)
        assert (report.status, report.rows_quarantined) == (status, bad)
        before = hub.log.head()
        again = deliver(hub, tmp_path / f"{bad} again", data)
        assert (again.status, again.decision, again.delivery_id) == ("already_known", status, report.delivery_id)
        assert hub.log.head() == before


def test_every_case_of_the_list_has_a_test_that_tells_its_input() -> None:
    cases = {name: int(found[1]) for name in globals() if (found := re.match(r"test_case_(\d\d)_", name))}
    assert sorted(set(cases.values())) == list(range(1, 39))
    for name, case in cases.items():
        assert str(globals()[name].__doc__).startswith(f"{case}: "), name
