"""The command line: what each command answers, with which exit code, and what it never shows."""

import csv
import errno
import getpass
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from conftest import Ecluse, Export, Program, Said
from oracle_rsa import Verdict, activity, judge, whole_number

from connectors.synthetic import Recipe
from connectors.synthetic_damage import DEFECTS
from connectors.synthetic_families import transmission, write_archive
from contracts_schema.layouts import layout
from contracts_schema.rules import catalogue
from flows import cli, deliveries
from flows.hub import TEST_CLOCK, Hub, init_hub, open_hub
from warehouse import views
from warehouse.log import Event

FINESS, OTHER = "990000010", "990000028"
FEBRUARY = f"{FINESS}.2025.2.rsa"
COMMANDS = [
    "init", "provision", "doctor", "demo", "acknowledge", "ingest", "status", "quarantine", "waive", "withdraw", "redecide",
    "missing",
    "reject-report", "build", "query", "publish", "explain", "diff", "why", "verify",
    "law", "attest", "decide-policy", "alias",
    "bordereau", "line", "decide", "pull", "mapping", "campaigns", "close-campaign", "centre",
    "cpom", "deadlines", "decide-definition", "cpom-policy", "cpom-close",
]  # fmt: skip

REPORT = {
    "status", "files", "scope", "delivery_id", "period", "rows_in", "rows_accepted", "rows_quarantined", "lines_ignored",
    "rules", "reasons", "notes", "alerts", "message", "decision", "families",
}  # fmt: skip


def events(hub: Hub) -> list[Event]:
    return list(hub.log.read())


def only(said: Said) -> dict[str, Any]:
    """The one report of an ingestion."""
    (report,) = said.json["deliveries"]
    assert set(report) == REPORT
    assert report["rows_in"] == report["rows_accepted"] + report["rows_quarantined"]
    return dict(report)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\r\n")[:-1]


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\r\n" for line in lines))
    return path


def verdicts_of(path: Path) -> list[Verdict]:
    return judge(path.read_bytes(), path.name[:9])


# --- usage


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_every_command_has_help_in_french(ecluse: Ecluse, command: str | None) -> None:
    said = ecluse(*filter(None, [command]), "--help")
    assert said.code == 0
    assert said.out.startswith("Utilisation : ")
    assert not re.findall(
        r"Usage|Commands|Show|[Ii]nstall completion|default|required|ARGS|<(?:str|int|path|list|%)|x>=", said.out
    )
    assert all(name in said.out for name in ([command] if command else COMMANDS))


def test_these_are_all_the_commands() -> None:
    assert sorted(typer.main.get_group(cli.app).commands) == sorted(COMMANDS)


ACTS = {
    "init",
    "provision",
    "doctor",
    "demo",
    "ingest",
    "waive",
    "withdraw",
    "redecide",
    "acknowledge",
    "verify",
    "attest",
    "decide-policy",
    "alias",
    "decide",
    "pull",
    "mapping",
    "decide-definition",
    "cpom-close",
    "close-campaign",
}
"""What acts, or looks at the machine: all else reads what is known, hence what was known."""


def test_every_reading_command_answers_as_of_a_position_or_a_date() -> None:
    commands = typer.main.get_command(cli.app).commands.items()  # type: ignore[attr-defined]
    assert {name for name, command in commands if "as_of" not in {option.name for option in command.params}} == ACTS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "commande inconnue : nothing"),
        (["statu"], "vouliez-vous dire status ?"),
        (["ingest"], "il manque l'argument PATH…"),
        (["explain"], "il manque l'argument DESTINATAIRE/PRODUIT"),
        (["waive", "abc"], "il manque l'option --reason"),
        (["acknowledge", "a", "1"], "il manque l'argument accepted|refused"),
        (["status", "--nothing"], "option inconnue : --nothing"),
        (["ingest", ".", "--jsn"], "option inconnue : --jsn ; vouliez-vous dire --jobs ou --json ?"),
        (["status", "--as-of"], "l'option --as-of demande une valeur"),
        (["status", "--json=1"], "l'option --json ne prend pas de valeur"),
        (["status", "a", "b"], "en trop : a b"),
        (["query", "select 1", "--format", "xml"], "« xml » n'est pas l'une des valeurs attendues : table, json, csv, parquet"),
        (["waive", "a", "--reason", "x", "--until", "demain"], "« demain » n'est pas un jour, qui s'écrit AAAA-MM-JJ"),
        (["ingest", ".", "--jobs", "0"], "--jobs : attendu : 1 au moins"),
        (["missing", "--year", "x"], "--year : attendu : un nombre entier"),
    ],
)
def test_wrong_usage_is_told_in_french_with_code_2(ecluse: Ecluse, arguments: list[str], told: str) -> None:
    said = ecluse(*arguments)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert "--help)" in said.err
    assert not [word for word in ("Error", "Usage", "Missing", "Invalid", "such", "Possible") if word in said.err]


def test_nothing_asked_shows_the_help_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ecluse"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2


@pytest.mark.parametrize("command", [["status"], ["verify"], ["ingest", "."], ["publish"]])
def test_without_a_hub_the_way_to_make_one_is_told(ecluse: Ecluse, tmp_path: Path, command: list[str]) -> None:
    said = ecluse(*command, home=tmp_path / "nowhere")
    assert said.code == 2
    assert "ecluse init" in said.err
    assert not (tmp_path / "nowhere").exists()


IMPORTED = """
import re
import sys
from flows import cli
try:
    cli.main()
except SystemExit as end:
    print(end.code or 0, *sorted({name.split(".")[0] for name in sys.modules}))
"""
HEAVY = {"polars", "duckdb", "pyarrow", "pandas", "numpy", "pandera", "prefect", "great_expectations", "alembic", "openpyxl"}


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["--help"], set()),
        (["status"], set()),
        (["missing", "--year", "2025", "--month", "2"], set()),
        (["query", "select * from out_ars__pmsi_indicator"], {"duckdb"}),
        (["query", "select * from out_ars__pmsi_indicator", "--json"], {"duckdb"}),
    ],
)
@pytest.mark.usefixtures("published")
def test_a_command_that_must_answer_at_once_imports_no_library_that_it_does_not_need(
    home: Path, program: Program, command: list[str], needed: set[str]
) -> None:
    out, _ = program(IMPORTED, "--home", str(home), *command).communicate()
    code, *imported = out.splitlines()[-1].split()
    assert code == "0"
    assert HEAVY.intersection(imported) == needed


def test_init_twice_changes_nothing_and_never_turns_a_real_hub_into_a_test_one(ecluse: Ecluse, tmp_path: Path) -> None:
    real = tmp_path / "real"
    assert ecluse("init", home=real).code == 0
    before = {path.name: path.read_bytes() for path in real.iterdir()}
    assert ecluse("init", home=real).code == 0
    said = ecluse("init", "--test", home=real)
    assert said.code == 2
    assert "sans --test" in said.err
    assert {path.name: path.read_bytes() for path in real.iterdir()} == before


def test_ctrl_c_says_how_to_go_on(ecluse: Ecluse, export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deliveries, "ingest", interrupted)
    said = ecluse("ingest", export())
    assert (said.code, said.err) == (130, "ecluse : interrompu ; relancez la même commande pour reprendre\n")


def test_a_reader_that_goes_away_is_no_error(home: Path, export: Export, ecluse: Ecluse) -> None:
    ecluse("ingest", export())
    command = f"'{sys.executable}' -m flows.cli --home '{home}' query 'from segment_pmsi_rsa' --json | head -c 10"
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert shown.stdout.startswith("[\n  {")
    assert shown.stderr == ""


def test_what_the_system_or_the_database_refuses_is_told_in_french(ecluse: Ecluse, hub: Hub, tmp_path: Path) -> None:
    assert cli._told(OSError(errno.ENOSPC, "No space left on device", "/x")) == "plus de place sur le disque : /x"
    assert cli._told(OSError(errno.ENOTTY, "Not a typewriter")) == "Not a typewriter", "what has no words of ours keeps its own"
    said = ecluse("verify", "--receipt", tmp_path)
    assert (said.code, "reçu illisible : c'est un dossier" in said.err) == (2, True)
    (hub.settings.home / "ecluse.db").write_bytes(b"x" * 5000)
    said = ecluse("status")
    assert (said.code, "ce fichier n'est pas une base SQLite" in said.err) == (1, True)


def test_a_defect_is_told_by_type_and_place_and_never_by_what_it_says(
    ecluse: Ecluse, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise ValueError("could not convert 'ZOE MARTIN'")

    monkeypatch.setattr(deliveries, "ingest", broken)
    said = ecluse("ingest", export())
    assert said.code == 1
    assert "ValueError, test_cli.py:" in said.err
    assert "ZOE" not in said.out + said.err


# --- ingest


def test_an_accepted_delivery_is_reported_with_its_counts(ecluse: Ecluse, export: Export, hub: Hub) -> None:
    path = export(
        stays=200, defects={3: "month_13", 7: "sum_mismatch", 9: "age_a5", 20: "blank_line_after", 30: "blanks_stripped"}
    )
    said = ecluse("ingest", path, "--json")
    report, verdicts = only(said), verdicts_of(path)
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    assert said.code == 0
    assert (report["status"], report["decision"], report["scope"], report["period"]) == (
        "accepted", "accepted", f"pmsi/mco/{FINESS}/2025", 2,
    )  # fmt: skip
    assert report["files"] == [
        {
            "name": FEBRUARY,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
    ]
    assert report["rows_accepted"] == outcomes["accepted"] == 397
    assert report["rows_quarantined"] == outcomes["quarantined"] == 3
    assert report["lines_ignored"] == outcomes["ignored"] == 1
    refused = {rule: count for rule, count in report["rules"].items() if catalogue()[rule].outcome == "refuse"}
    assert refused == Counter(verdict.rule for verdict in verdicts if verdict.outcome == "quarantined")
    received, accepted = events(hub)
    assert (received.type, accepted.type) == ("DeliveryReceived", "DeliveryAccepted")
    assert accepted.data["rows_accepted"] == 397


def test_the_same_bytes_again_are_known_whatever_their_decision_and_change_nothing(
    ecluse: Ecluse, export: Export, hub: Hub
) -> None:
    good, bad = export(), export(number=2, defects=dict.fromkeys(range(60), "age_a5"))
    assert ecluse("ingest", good, bad).code == 1
    before = events(hub)
    again = ecluse("ingest", good, bad, "--json")
    assert again.code == 0
    assert [(found["status"], found["decision"]) for found in again.json["deliveries"]] == [
        ("already_known", "accepted"),
        ("already_known", "held"),
    ]
    renamed = good.rename(good.with_name(f"{FINESS}.2025.02.RSA"))
    assert only(ecluse("ingest", renamed, "--json"))["status"] == "already_known"
    assert events(hub) == before


def empty(path: Path) -> None:
    path.write_bytes(b"")


def blank(path: Path) -> None:
    path.write_bytes(b"\r\n   \r\n\t\r\n\r\n\x1a")


def unknown_format(path: Path) -> None:
    write(path, [line[:9] + b"230" + line[12:] for line in lines_of(path)])


def other_establishment(path: Path) -> None:
    write(path, [OTHER.encode() + line[9:] for line in lines_of(path)])


def rha(path: Path) -> None:
    write(path, [f"{FINESS}M64{number:010d}".encode().ljust(208) for number in range(50)])


def rpsa(path: Path) -> None:
    write(path, [FINESS.encode().ljust(41) + b"P41".ljust(142) for number in range(50)])


def six_months(path: Path) -> None:
    shutil.move(path.with_name(f"{FINESS}.2025.6.rsa"), path)


@pytest.mark.parametrize(
    ("spoil", "status", "reason", "message"),
    [
        (empty, "held", "pmsi.empty", None),
        (blank, "held", "pmsi.empty", None),
        (unknown_format, "held", "pmsi.new_format", None),
        (other_establishment, "held", "pmsi.finess_file", None),
        (six_months, "held", "pmsi.period_file", None),
        (rha, "rejected", "pmsi.wrong_family", "le contenu ressemble à SMR RHA (one line per week)"),
        (rpsa, "rejected", "pmsi.wrong_family", "le contenu ressemble à PSY RPSA (one line per sequence)"),
    ],
)
def test_a_transmission_that_cannot_stand_is_held_or_rejected_with_its_reason(
    ecluse: Ecluse, export: Export, hub: Hub, spoil: Callable[[Path], None], status: str, reason: str, message: str | None
) -> None:
    standing = export(months=1)
    assert ecluse("ingest", standing).code == 0
    export(months=6)
    path = export()
    spoil(path)
    said = ecluse("ingest", path, "--json")
    report = only(said)
    assert (said.code, report["status"]) == (1, status)
    assert reason in report["reasons"]
    assert report["message"] == message
    assert [head.period for head in deliveries.heads(hub).values()] == [1], "what stood before still stands"
    assert events(hub)[-1].type == "DeliveryRejected"
    shown = ecluse("status")
    assert (catalogue()[reason].label_fr in shown.out) == (status == "held")
    with hub.blobs.open_raw(report["files"][0]["sha256"]) as kept:
        assert kept.read() == path.read_bytes()


def test_a_truncated_file_loses_its_last_line_only(ecluse: Ecluse, export: Export) -> None:
    path = export()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 9 // 10])
    report = only(ecluse("ingest", path, "--json"))
    assert report["status"] == "accepted"
    assert report["rows_quarantined"] == 1
    assert report["rows_accepted"] == whole.count(b"\n", 0, len(whole) * 9 // 10)


def test_lines_of_another_establishment_are_set_aside_and_the_others_live(ecluse: Ecluse, export: Export) -> None:
    path = export()
    write(path, [*lines_of(path), *lines_of(export(number=2, stays=2))])
    report = only(ecluse("ingest", path, "--json"))
    assert (report["status"], report["rows_accepted"], report["rows_quarantined"]) == ("accepted", 100, 4)
    assert report["rules"]["pmsi.finess_mismatch"] == 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{FINESS}.2025.2.in.zip", "pmsi.input_archive"),
        (f"{FINESS}.2025.2.20250401101500.IN.ZIP", "pmsi.input_archive"),
        (f"{FINESS}.2025.13.rsa", "pmsi.file_period"),
        (f"{FINESS}.2025.0.rsa", "pmsi.file_period"),
        (f"{FINESS}.2025.2.hvi", "pmsi.file_family"),
        ("stays.rsa", "pmsi.file_name"),
        (f"{FINESS}.1925.2.rsa", "pmsi.file_name"),
    ],
)
def test_a_file_refused_at_the_door_leaves_no_byte_and_no_event(
    ecluse: Ecluse, export: Export, hub: Hub, home: Path, name: str, reason: str
) -> None:
    said = ecluse("ingest", export(name=name), "--json")
    report = only(said)
    assert (said.code, report["status"], report["reasons"]) == (1, "rejected", [reason])
    assert report["message"]
    assert events(hub) == []
    assert not (home / "store").exists()


def test_a_path_that_does_not_exist_or_a_folder_without_known_file_is_wrong_usage(
    ecluse: Ecluse, export: Export, tmp_path: Path, hub: Hub
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing to read")
    for path, told in ((tmp_path / "nowhere", "introuvable"), (tmp_path / "empty", "rien à ingérer")):
        said = ecluse("ingest", export(), path)
        assert said.code == 2
        assert told in said.err
        assert said.err.count("\n") == 1
    assert events(hub) == [], "nothing is ingested before all paths are known to be good"


def test_a_folder_is_ingested_month_after_month_and_only_its_known_files(ecluse: Ecluse, export: Export, hub: Hub) -> None:
    folder = export(months=10, stays=5).parent
    for months in (2, 1):
        export(months=months, stays=5)
    export(name="notes.txt")
    said = ecluse("ingest", folder, "--json")
    assert said.code == 0
    assert [found["period"] for found in said.json["deliveries"]] == [1, 2, 10]
    assert [found["alerts"] for found in said.json["deliveries"]] == [[], [], []]


@pytest.mark.parametrize(
    ("kept", "status", "reasons", "alerts"),
    [
        (79, "held", ["pmsi.shrunken"], []),
        (80, "accepted", [], ["pmsi.shrink"]),
        (94, "accepted", [], ["pmsi.shrink"]),
        (95, "accepted", [], []),
    ],
)
def test_a_transmission_that_lost_lines_is_held_over_20_percent_and_alerts_over_5(
    ecluse: Ecluse, export: Export, hub: Hub, kept: int, status: str, reasons: list[str], alerts: list[str]
) -> None:
    path = export(months=1, stays=100)
    ecluse("ingest", path)
    write(path, lines_of(path)[:kept])
    report = only(ecluse("ingest", path, "--json"))
    assert (report["status"], report["reasons"], report["alerts"]) == (status, reasons, alerts)
    assert [head.rows for head in deliveries.heads(hub).values()] == [100 if status == "held" else kept]


def test_a_month_that_comes_late_is_kept_with_an_alert_and_displaces_nothing(ecluse: Ecluse, export: Export, hub: Hub) -> None:
    ecluse("ingest", export(months=3))
    said = ecluse("ingest", export(months=2), "--json")
    assert said.code == 0
    assert only(said)["alerts"] == ["pmsi.late_month"]
    assert [head.period for head in deliveries.heads(hub).values()] == [3]


def test_more_quarantined_lines_than_5_percent_hold_the_transmission(ecluse: Ecluse, export: Export) -> None:
    for number, bad, status in ((1, 5, "accepted"), (2, 6, "held")):
        path = export(number=number, months=1, stays=100, defects=dict.fromkeys(range(bad), "month_13"))
        report = only(ecluse("ingest", path, "--json"))
        assert (report["status"], report["rows_quarantined"]) == (status, bad)
    assert report["reasons"] == ["pmsi.quarantine_rate"]


def test_who_acts_when_it_was_received_and_by_which_version_are_in_every_event(
    ecluse: Ecluse, export: Export, hub: Hub, home: Path
) -> None:
    ecluse("--actor", "dim-42", "ingest", export(), "--received-at", "2026-02-28")
    ecluse("ingest", export(number=2))
    ecluse("publish")
    found = events(hub)
    assert [event.meta["actor"] for event in found] == ["dim-42"] * 2 + [getpass.getuser()] * 3
    assert all(event.meta["code_version"] for event in found)
    assert found[0].data["received_at"] == "2026-02-28T23:59:59.999999+01:00"
    assert ecluse("ingest", export(), "--received-at", "yesterday").code == 2


# --- what is shown


NASTY = "a\x1b[31m[bold red]b[bold]\u202ec\nd\x9b2Je.rsa"
SHOWN = r"a\x1b[31m[bold red]b[bold]\u202ec\nd\x9b2Je.rsa"


def test_a_file_name_is_shown_with_its_control_characters_spelt_out_and_its_markup_as_text(
    ecluse: Ecluse, export: Export
) -> None:
    path = export(name=NASTY)
    for said in (ecluse("ingest", path), ecluse("ingest", path.with_name(f"not {NASTY}"))):
        assert SHOWN in said.out + said.err
        assert not any(hidden in said.out + said.err for hidden in "\x1b\u202e\x9b")
    said = ecluse("ingest", path, "--json")
    assert said.json["deliveries"][0]["files"][0]["name"] == NASTY
    assert not any(hidden in said.out for hidden in "\x1b\u202e\x9b")


def test_a_file_name_that_is_no_text_is_shown_too(ecluse: Ecluse, export: Export) -> None:
    path = export(name=os.fsdecode(b"caf\xe9.rsa"))
    assert r"caf\udce9.rsa" in ecluse("ingest", path).out
    assert r"caf\udce9.rsa" in ecluse("ingest", path, "--json").out


def planted(path: Path) -> list[bytes]:
    """Lines with a diagnosis that nobody has, a bad line for every defect, and ages and sequels that no rule likes."""
    found = [line.replace(b"Z511  ", b"ZPLANT").replace(b"I10   ", b"ZPLANT") for line in lines_of(path)]
    assert sum(b"ZPLANT" in line for line in found) > 20
    spoilt = [piece for line, defect in zip(found[:60], sorted(DEFECTS) * 3, strict=False) for piece in DEFECTS[defect](line)]
    return [
        *spoilt,
        *(line + b"ZPLANT" for line in found[60:65]),
        *(line.replace(b"ZPLANT", b"ZPLA\xe9T") for line in found[65:]),
    ]


@pytest.mark.parametrize("tolerated", [True, False], ids=["accepted", "held"])
def test_no_content_of_a_line_good_or_bad_is_ever_shown_logged_or_published(
    ecluse: Ecluse, export: Export, home: Path, tolerated: bool
) -> None:
    path = export(stays=1000 if tolerated else 60)
    write(path, [*planted(path), *(lines_of(path)[65:] if not tolerated else [])])
    commands: list[list[object]] = [
        ["ingest", path],
        ["ingest", path, "--json"],
        ["ingest", export(number=2)],
        ["status"],
        ["status", "--json"],
        ["quarantine", "--limit", "1000"],
        ["quarantine", "--json"],
        ["build"],
        ["publish", "--json"],
        ["explain", "ars-99/pmsi-activity", "activity", f"finess={OTHER}", "exit_year=2025", "exit_month=1"],
        ["query", "from out_ars__pmsi_activity", "--json"],
        ["query", "from ref_pmsi__head"],
        ["verify", "--json"],
    ]
    said = [ecluse(*command) for command in commands]
    assert [answer.code for answer in said] == [0 if tolerated else 1, *[0] * (len(said) - 1)]
    shown = "".join(answer.out + answer.err for answer in said).encode()
    kept = b"".join(file.read_bytes() for file in home.rglob("ecluse.db*"))
    published = b"".join(file.read_bytes() for file in (home / "products").rglob("*") if file.suffix in (".csv", ".json"))
    assert b"pmsi.invalid_value" in shown
    assert b"pmsi.invalid_value" in kept
    assert len(published) > 1000
    for content in (shown, kept, published):
        assert b"ZPLA" not in content
        assert b" A5" not in content


def test_the_quarantine_tells_the_lines_rules_and_fields_that_the_oracle_finds(ecluse: Ecluse, export: Export) -> None:
    path = export(stays=300, defects={7 * place: defect for place, defect in enumerate(sorted(DEFECTS))})
    expected = [verdict for verdict in verdicts_of(path) if verdict.outcome == "quarantined"]
    delivery = only(ecluse("ingest", path, "--json"))["delivery_id"]
    (found,) = ecluse("quarantine", "--json").json["deliveries"]
    assert (found["file"], found["status"], found["delivery_id"]) == (FEBRUARY, "accepted", delivery)
    assert [(line["line_number"], line["rule"]) for line in found["lines"]] == [(v.line, v.rule) for v in expected]
    assert [line["fields"] for line in found["lines"] if line["rule"] == "pmsi.invalid_value"] == [
        list(verdict.fields) for verdict in expected if verdict.rule == "pmsi.invalid_value"
    ]
    assert ecluse("quarantine", "--delivery", delivery[:6], "--json").json["deliveries"] == [found]
    assert ecluse("quarantine", "--delivery", "nothing").code == 2
    shown = ecluse("quarantine", "--limit", "2").out
    assert f"… et {len(expected) - 2} autres" in shown
    assert "Aucune ligne" in ecluse("quarantine", "--as-of", "0").out


def test_a_line_that_hides_several_values_is_counted_once(ecluse: Ecluse, hub: Hub, tmp_path: Path) -> None:
    recipe = Recipe(FINESS, 2025, 2, 20, 1)
    files, of = transmission(recipe), layout("mco_ano_y2022")
    ano = [line.replace(b"X", b"0") for line in files["ano"].split(b"\r\n")[:-1]]
    for line, names in ((3, ("amount_copay", "billing_end", "amo_paid_on")), (5, ("amount_copay",))):
        for name in names:
            field = of.field(name)
            ano[line] = ano[line][: field.offset] + b"X" * field.length + ano[line][field.offset + field.length :]
    path = write_archive(tmp_path, recipe, "20250320101500", files=files | {"ano": b"\r\n".join(ano)})
    report = only(ecluse("ingest", path, "--json"))
    assert report["rules"]["pmsi.masked_value"] == 2
    [accepted] = hub.log.read(types={"DeliveryAccepted"})
    assert accepted.data["families"]["ano"]["warnings"]["pmsi.masked_value"] == {
        "amount_copay": 2, "billing_end": 1, "amo_paid_on": 1,
    }  # fmt: skip


# --- settings and clock


@pytest.mark.parametrize("written", ['"990000010"', "990000010", "[990000010]", '[["990000010"]]', "true"])
def test_expected_establishments_are_a_list_of_texts_or_told_to_be(ecluse: Ecluse, home: Path, written: str) -> None:
    config = home / "ecluse.toml"
    config.write_text(f"expected = {written}\n{config.read_text()}")
    said = ecluse("missing")
    assert said.code == 2
    assert 'expected = ["990000010"]' in said.err


def test_settings_come_from_the_environment_then_the_file_then_defaults_and_status_tells(
    ecluse: Ecluse, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings() -> dict[str, Any]:
        return dict(ecluse("status", "--json").json["settings"])

    assert settings() == {
        "home": {"value": str(home), "from": "argument"},
        "database_url": {"value": f"sqlite:///{home}/ecluse.db", "from": "default"},
        "store_url": {"value": str(home / "store"), "from": "default"},
        "warehouse_url": {"value": str(home / "warehouse"), "from": "default"},
        "test": True,
        "recipients": [{"name": "ars-99", "clearance": "aggregate", "formats": ["parquet", "csv", "xlsx"]}],
    }
    toml = home / "ecluse.toml"
    toml.write_text(f'database_url = "sqlite:///{tmp_path}/toml.db"\nstore_url = "{tmp_path}/toml"\n' + toml.read_text())
    init_hub(home, test=True, recipients=["ars-99"])
    assert settings()["database_url"] == {"value": f"sqlite:///{tmp_path}/toml.db", "from": "ecluse.toml"}
    monkeypatch.setenv("ECLUSE_STORE_URL", f"{tmp_path}/environment")
    assert settings()["store_url"] == {"value": f"{tmp_path}/environment", "from": "environment"}
    assert settings()["database_url"]["from"] == "ecluse.toml"
    monkeypatch.setenv("ECLUSE_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["ecluse", "status", "--json"])
    assert open_hub().settings.origins["home"] == "environment"


def test_a_settings_file_that_is_no_toml_is_told(ecluse: Ecluse, home: Path) -> None:
    (home / "ecluse.toml").write_text("database_url = sqlite")
    said = ecluse("status")
    assert said.code == 2
    assert "TOML" in said.err


def test_a_fixed_clock_is_for_test_hubs_only(
    ecluse: Ecluse, export: Export, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TEST_CLOCK, "2026-07-01T09:30")
    assert ecluse("ingest", export()).code == 0
    assert {event.recorded_at for event in events(hub)} == {"2026-07-01T07:30:00.000000Z"}
    real = tmp_path / "real"
    ecluse("init", home=real)
    said = ecluse("ingest", export(), home=real)
    assert said.code == 2
    assert TEST_CLOCK in said.err
    monkeypatch.delenv(TEST_CLOCK)
    assert ecluse("ingest", export(), home=real).code == 0
    monkeypatch.setenv(TEST_CLOCK, "noon")
    assert ecluse("status").code == 2


def test_passwords_of_the_database_and_the_store_are_never_shown(
    ecluse: Ecluse, export: Export, home: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cretW0rd"
    user, _, rest = postgresql_url.partition("@")
    good = f"{user}:{secret}@{rest}" if user.count(":") == 1 else f"{user.rsplit(':', 1)[0]}:{secret}@{rest}"
    monkeypatch.setenv("ECLUSE_STORE_URL", f"memory://key:{secret}@bucket")
    shown = ""
    for url in (good, f"postgresql+psycopg://ecluse:{secret}@127.0.0.1:9/ecluse", f"mysql://ecluse:{secret}@host/base"):
        monkeypatch.setenv("ECLUSE_DATABASE_URL", url)
        for command in (["init", "--test"], ["ingest", export()], ["status"], ["status", "--json"], ["publish"], ["verify"]):
            said = ecluse(*command)
            shown += said.out + said.err
            assert (said.code == 0) == (url == good), said
    assert "***" in shown
    assert secret not in shown


# --- build, publish, query


def test_building_and_publishing_twice_changes_nothing_and_says_so(
    ecluse: Ecluse, export: Export, hub: Hub, home: Path
) -> None:
    assert "Rien à construire" in ecluse("build").out
    assert ecluse("publish").code == 2
    ecluse("ingest", export())
    assert ecluse("build", "--json").json["built"] == len(views.views())
    assert ecluse("build", "--json").json["built"] == 0
    assert "Rien n'a changé" in ecluse("build").out
    (first,) = ecluse("publish", "--json").json["publications"]
    before, files = events(hub), {path: path.read_bytes() for path in (home / "products").rglob("*.*") if path.is_file()}
    (second,) = ecluse("publish", "--json").json["publications"]
    assert (first["status"], second["status"]) == ("published", "unchanged")
    assert second == first | {"status": "unchanged"}
    assert "inchangé" in ecluse("publish").out
    assert events(hub) == before
    assert {path: path.read_bytes() for path in (home / "products").rglob("*.*") if path.is_file()} == files
    assert ecluse("publish", "--recipient", "ars-76").code == 2
    ecluse("ingest", export(months=3))
    (third,) = ecluse("publish", "--recipient", "ars-99", "--json").json["publications"]
    assert (third["number"], Path(third["folder"]).name) == (2, "0002")


SQL = "select finess, exit_month, stays, nights from out_ars__pmsi_activity order by exit_month"


def test_a_query_answers_the_same_rows_in_four_formats(ecluse: Ecluse, export: Export, tmp_path: Path) -> None:
    path = export()
    ecluse("ingest", path)
    expected = [
        {"finess": FINESS, "exit_month": month, "stays": found.stays, "nights": found.nights}
        for (_, month), found in sorted(activity(verdicts_of(path)).items(), key=lambda entry: whole_number(entry[0][1]))
    ]
    assert ecluse("query", SQL, "--format", "json").json == expected
    assert ecluse("query", SQL, "--json").json == expected
    in_csv = list(csv.DictReader(io.StringIO(ecluse("query", SQL, "--format", "csv").out)))
    assert in_csv == [{name: str(value) for name, value in row.items()} for row in expected]
    shown = [line.split() for line in ecluse("query", SQL).out.splitlines()]
    assert all([str(value) for value in row.values()] in shown for row in expected)
    for form in ("parquet", "csv", "json"):
        assert ecluse("query", SQL, "--format", form, "--output", tmp_path / f"rows.{form}").out == ""
    assert pl.read_parquet(tmp_path / "rows.parquet").to_dicts() == expected
    assert json.loads((tmp_path / "rows.json").read_text()) == expected
    assert (tmp_path / "rows.csv").read_text() == ecluse("query", SQL, "--format", "csv").out
    said = ecluse("query", SQL, "--format", "parquet")
    assert said.code == 2
    assert "--output" in said.err


RUM_DP = {"start": 16, "zone_width": 61}


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("select sum(stays) > 50 as s, count(*) as n FROM OUT_ars__PMSI_activity", [{"s": True, "n": 2}]),
        ("with A as (select 1 as x) select x from a", [{"x": 1}]),
        ("select sum(x) as s from (values (1), (2)) as t(x)", [{"s": 3}]),
        ("select 1.5 as d, 0.0 / 0 as n, null as z, [1, 2] as l", [{"d": "1.5", "n": None, "z": None, "l": [1, 2]}]),
        ("select period from ref_pmsi__head", [{"period": 2}]),
        ("select 1 as a, 2 as a", [{"a": 1, "a_1": 2}]),
        ("select count(*) as n from ref_finess__link", [{"n": 0}]),
        ("select count(*) as n from ref_pmsi__hpr_site", [{"n": 0}]),
        ("select start, zone_width from ref_pmsi__zone_field where format_version = '229' and field = 'rum_dp'", [RUM_DP]),
        ("select count(*) as n from segment_pmsi_rsa", [{"n": 100}]),
        ("select 'a' || chr(27) || chr(155) || '\u00e9' as t", [{"t": "a\x1b\x9b\u00e9"}]),
    ],
)
@pytest.mark.usefixtures("published")
def test_a_query_may_be_any_select_and_json_says_its_values(ecluse: Ecluse, sql: str, answer: list[dict[str, Any]]) -> None:
    said = ecluse("query", sql, "--json")
    assert said.json == answer
    assert not set(said.out) & {"\x1b", "\x9b"}
    if "[" not in sql:
        assert ecluse("query", sql, "--format", "csv").code == 0
        assert not set(ecluse("query", sql).out) & {"\x1b", "\x9b"}


FORBIDDEN = [
    "drop table out_ars__pmsi_activity",
    "create table x as select 1",
    "copy (select 1) to '{folder}/x.csv'",
    "copy out_ars__pmsi_activity to '{folder}/x.csv'",
    "export database '{folder}/x'",
    "attach '{folder}/x.db'",
    "select 1; select 2",
    "select 1; drop table x",
    "insert into ref_pmsi__head values (1)",
    "set enable_external_access = true",
    "install httpfs",
    "load httpfs",
    "pragma version",
    "call pragma_version()",
    "select * from read_csv('/etc/passwd')",
    "select * from '/etc/passwd'",
    "select * from read_text('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from read_text('{folder}/hub/ecluse.toml')",
    "select * from read_blob('{folder}/hub/store/segments/*/*')",
    "select * from query('select * from read_text(''/etc/passwd'')')",
    "select getenv('HOME')",
    "select * from nothing",
    "select * from segment_nothing",
    "select nothing from ref_pmsi__head",
    "select",
    "",
]


@pytest.mark.usefixtures("published")
def test_a_query_reads_the_views_and_nothing_else(ecluse: Ecluse, tmp_path: Path) -> None:

    def held() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if not path.name.startswith("ecluse.db-"))  # SQLite's own

    before = held()
    for sql in FORBIDDEN:
        said = ecluse("query", sql.format(folder=tmp_path))
        assert (said.code, said.out) == (2, ""), sql
        assert said.err.startswith("ecluse : ")
        assert said.err.count("\n") == 1
    assert held() == before


def test_a_composite_column_is_refused_in_csv_and_told(ecluse: Ecluse, export: Export) -> None:
    ecluse("ingest", export(months=1, stays=5))
    said = ecluse("query", "select [1, 2] as l", "--format", "csv")
    assert said.code == 2
    assert "--format json" in said.err


def test_a_past_position_or_date_answers_what_the_hub_knew_then(
    ecluse: Ecluse, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    periods = "select finess, period from ref_pmsi__head order by finess"
    for day, path in (("2026-02-28", export(months=1)), ("2026-03-31", export(months=2)), ("2026-04-30", export(number=2))):
        monkeypatch.setenv(TEST_CLOCK, f"{day}T12:00")
        assert ecluse("ingest", path).code == 0
    january, february, both = [1], [2], [2, 2]
    for as_of, expected in {
        "2": january, "3": january, "4": february, "6": both,
        "2026-02-28": january, "20260228": january, "2026-02-28T12:00": january, "2026-03-31T11:59": january,
        "2026-03-31": february, "2026-04-29": february, "2026-04-30T12:00:00+02:00": both, "2030-01-01": both,
    }.items():  # fmt: skip
        assert [row["period"] for row in ecluse("query", periods, "--as-of", as_of, "--json").json] == expected, as_of
        assert [head["period"] for head in ecluse("status", "--as-of", as_of, "--json").json["heads"]] == expected
    assert ecluse("query", periods, "--json").json == ecluse("query", periods, "--as-of", "6", "--json").json
    assert [ecluse("query", periods, "--as-of", as_of).code for as_of in ("1", "2026-02-27", "7", "tomorrow", "²")] == [2] * 5
    old = ecluse("query", SQL, "--as-of", "4", "--json").json
    assert [row["exit_month"] for row in old] == [1, 2]
    assert ecluse("build", "--as-of", "2", "--json").json["heads"] == 1


# --- explain


@pytest.fixture
def mixed(export: Export) -> Path:
    """A file of several formats, 224 (which has no RAAC) among them."""
    parts = [
        lines_of(export(stays=150, seed=seed, version=version, name="part"))
        for seed, version in enumerate(["224", "227", "229"])
    ]
    lines = [line for part in zip(*parts, strict=True) for line in part]
    numbered = [line[:12] + f"{number:010d}".encode() + line[22:] for number, line in enumerate(lines)]
    return write(export(), [b"", *numbered[:300], b"not a line", *numbered[300:]])


def lines_in(ranges: list[list[int]]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


def counted_by_the_oracle(verdicts: list[Verdict]) -> Iterator[tuple[str, dict[str, object], dict[str, set[int]]]]:
    """Per published row, its keys and the lines behind each measure, said a second time."""
    stays = {verdict.line: verdict.values for verdict in verdicts if verdict.outcome == "accepted"}
    own = {line: values for line, values in stays.items() if values["stay_type"] != "B" and values["ghm_cmd"] != "90"}
    for month in (1, 2):
        here = {line for line, values in own.items() if values["exit_month"] == month}
        sessions = {line for line in here if own[line]["ghm_cmd"] == "28"}
        measures = dict.fromkeys(("stays", "nights", "days"), here - sessions) | {"sessions": sessions}
        yield "activity", {"finess": FINESS, "exit_year": 2025, "exit_month": month}, measures
    for variant in ("v1", "v2_overnight"):
        asked = {line for line, values in own.items() if values["ghm_type"] == "C" and "raac" in values}
        asked = {line for line in asked if variant == "v1" or whole_number(own[line]["los_nights"]) > 0}
        keys = {"finess": FINESS, "exit_year": 2025, "definition_id": "OS_13", "variant": variant}
        yield "indicator", keys, {"denominator": asked, "numerator": {line for line in asked if own[line]["raac"] == "1"}}


def test_a_published_figure_is_explained_down_to_exactly_the_lines_that_the_oracle_counts(
    ecluse: Ecluse, mixed: Path, export: Export, hub: Hub
) -> None:
    assert ecluse("ingest", mixed, export(number=2)).code == 0
    assert ecluse("--actor", "ars-42", "publish").code == 0
    ecluse("ingest", export(months=3))  # what came since does not change what was published
    received, accepted = events(hub)[:2]
    for table, keys, expected in counted_by_the_oracle(verdicts_of(mixed)):
        said = ecluse("explain", "ars-99/pmsi-activity", table, *(f"{name}={value}" for name, value in keys.items()), "--json")
        assert said.code == 0
        (origin,) = said.json["deliveries"]
        found = {measure: lines_in(lines["ranges"]) for measure, lines in origin["measures"].items()}
        assert found == {measure: sorted(lines) for measure, lines in expected.items() if lines}
        assert {measure: lines["lines"] for measure, lines in origin["measures"].items()} == {
            m: len(f) for m, f in found.items()
        }
        for measure in {"stays", "numerator", "denominator"} & set(expected):
            assert said.json["row"][measure] in (None, len(expected[measure]))
        assert said.json["row"].items() >= keys.items()
        assert origin["files"] == received.data["files"]
        assert origin["files"][0]["sha256"] == hashlib.sha256(mixed.read_bytes()).hexdigest()
        assert origin["segments"] == accepted.data["tables"]
        assert (origin["received"]["position"], origin["accepted"]["position"]) == (1, 2)
        assert (said.json["publication"]["number"], said.json["publication"]["published_by"]) == (1, "ars-42")


def test_an_explanation_on_the_terminal_names_file_hash_and_lines(ecluse: Ecluse, published: Path) -> None:
    row = (f"finess={FINESS}", "exit_year=2025", "exit_month=1")
    said = ecluse("explain", "ars-99/pmsi-activity", "activity", *row)
    assert said.code == 0
    assert FEBRUARY in said.out
    assert hashlib.sha256(published.read_bytes()).hexdigest() in said.out
    assert "lignes du fichier" in said.out


def test_a_published_row_that_no_line_counts_for_still_names_its_delivery(ecluse: Ecluse, export: Export, hub: Hub) -> None:
    path, at = export(), layout("mco_rsa_229").field("los_nights")
    write(path, [line[: at.offset] + b"0" * at.length + line[at.offset + at.length :] for line in lines_of(path)])
    report = only(ecluse("ingest", path, "--json"))
    ecluse("publish")
    row = ("ars-99/pmsi-activity", "indicator", f"finess={FINESS}", "exit_year=2025", "definition_id=OS_13",
           "variant=v2_overnight")  # fmt: skip
    said = ecluse("explain", *row, "--json")
    [delivery] = said.json["deliveries"]
    assert (delivery["delivery_id"], delivery["measures"]) == (report["delivery_id"], {})
    shown = ecluse("explain", *row).out
    assert path.name in shown
    assert "aucune ligne du fichier ne compte ici" in shown


@pytest.mark.parametrize(
    "asked",
    [
        ["ars-76/pmsi-activity", "activity", f"finess={FINESS}"],
        ["ars-99/nothing", "activity", f"finess={FINESS}"],
        ["ars-99/pmsi-activity", "nothing", f"finess={FINESS}"],
        ["ars-99/pmsi-activity", "activity", f"finess={FINESS}"],
        ["ars-99/pmsi-activity", "activity", "finess"],
        ["ars-99/pmsi-activity", "activity", "stays=12"],
        ["ars-99/pmsi-activity", "activity", f"finess={FINESS}", "exit_year=2025", "exit_month=7"],
        ["ars-99/pmsi-activity", "activity", f"finess={FINESS}", "exit_year=2025", "exit_month=1", "--publication", "9"],
    ],
)
@pytest.mark.usefixtures("published")
def test_what_was_not_published_cannot_be_explained_and_what_can_is_told(ecluse: Ecluse, asked: list[str]) -> None:
    said = ecluse("explain", *asked)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
