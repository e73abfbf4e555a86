"""A démarche pulled into the hub: one delivery, one head, history; resumed where it stopped; no secret anywhere."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from conftest import Ecluse
from demarches import TEAM, Bench, platform

from checks.snp.facts import SCHEMAS
from connectors import simulator_forms as forms
from connectors.demarches_client import TOKEN_VARIABLE, PullStopped
from connectors.simulator_demarches import TOKEN, Simulator
from connectors.synthetic_bordereaux import Plan, rows_of, sample_lines, write_xlsx
from flows import declared_origins, deliveries, pull, reconciling, state
from flows.deliveries import all_heads
from flows.demarches_settings import URL_VARIABLE
from flows.hub import CONFIG, Hub, WrongUsage, open_hub
from warehouse.heads import DEMARCHE

SCOPE = f"{DEMARCHE}/{forms.NATIONAL}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Simulator(platform()) as service:
        yield Bench(service, tmp_path)


@pytest.fixture
def ours(home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose settings name the national démarche of the simulator."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv(URL_VARIABLE, bench.service.url)
    settings(home, f'[demarches.{forms.NATIONAL}]\nlocal = true\nfile_hosts = ["127.0.0.1"]\n')
    return open_hub(home)


def settings(home: Path, text: str) -> None:
    with (home / CONFIG).open("a", encoding="utf-8") as file:
        file.write(f"\n{text}")


def pulled(hub: Hub, bench: Bench, **how: bool) -> pull.Pulled:
    return pull.pull(hub, forms.NATIONAL, pace=bench.pace(), **how)


def declared(hub: Hub, until: int | None = None) -> pl.DataFrame:
    """The rows of declarations that stand."""
    return pl.read_parquet(hub.blobs.segment_path(all_heads(hub, until)[SCOPE].tables["dataset_declarations"]))


def test_a_pull_is_a_delivery_whose_frames_the_reconciliation_reads(
    ours: Hub, bench: Bench, ecluse: Ecluse, tmp_path: Path
) -> None:
    bordereau = tmp_path / "bordereau.xlsx"
    header = {"structure_name": TEAM.name, "siret": TEAM.siret, "structure_kind": "CPTS", "caisse": "311"}
    bordereau.write_bytes(write_xlsx([Plan(rows_of(sample_lines(3), header))]))
    assert ecluse("ingest", bordereau, "--caisse", "311").code == 0
    bench.fill(3)
    report = pulled(ours, bench).delivery
    assert (report.status, report.scope) == ("accepted", SCOPE)
    facts = reconciling.facts_of(ours, all_heads(ours), "311", pl.DataFrame(schema=SCHEMAS["alias"]))
    assert facts.frame("dossier")["siret"].unique().to_list() == [TEAM.siret]
    assert facts.frame("dossier_protocol").height == 6
    assert facts.frame("member").height == 6
    assert facts.frame("synchronisation").height == 1


def test_a_pull_without_change_is_already_known_and_adds_no_event(ours: Hub, bench: Bench) -> None:
    bench.fill(2)
    pulled(ours, bench)
    position = ours.log.head()
    again = pulled(ours, bench)
    assert (again.delivery.status, again.pull["mode"]) == ("already_known", "incremental")
    assert ours.log.head() == position


def test_a_small_demarche_is_read_whole_by_each_pull_and_a_large_one_when_asked(
    ours: Hub, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fill(2)
    first = pulled(ours, bench).pull["completed_on"]
    bench.platform.advance(86_400)
    small = pulled(ours, bench).pull
    assert (small["mode"], small["complete"]) == ("incremental", True)
    assert small["completed_on"] > first
    bench.platform.advance(86_400)
    monkeypatch.setattr(pull, "FEW", 1)
    large = pulled(ours, bench).pull
    assert (large["complete"], large["completed_on"]) == (False, small["completed_on"])
    assert pulled(ours, bench, absences=True).pull["completed_on"] > small["completed_on"]


def test_files_that_wait_for_a_setting_are_counted_and_the_setting_is_named(
    home: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, ecluse: Ecluse
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv(URL_VARIABLE, bench.service.url)
    settings(home, f"[demarches.{forms.NATIONAL}]\nlocal = true\n")
    bench.fill(1)
    told = ecluse("pull", forms.NATIONAL).out
    assert 'écrivez file_hosts = ["…"] sous [demarches.…] dans ecluse.toml' in told


def test_what_changed_comes_with_the_next_pull_and_the_past_stays_as_known(ours: Hub, bench: Bench, ecluse: Ecluse) -> None:
    first, second = bench.fill(2)
    pulled(ours, bench)
    before = ours.log.head()[0]
    bench.platform.settle(first, "refuse")
    bench.fill(1)
    bench.platform.hide(second)
    report = pulled(ours, bench)
    assert (report.delivery.status, report.pull["added"], report.pull["deleted"]) == ("accepted", 1, 1)
    events = declared(ours).filter(kind="event").select("number", "event").rows()
    assert {(str(first), "refuse"), (str(second), "withdrawn")} <= set(events)
    assert declared(ours, before).filter(kind="event").is_empty()
    said = ecluse("diff", str(before), str(ours.log.head()[0]), "--json").json
    assert [moved["scope"] for moved in said["moves"]] == [SCOPE]
    [table] = next(one for one in said["scopes"] if one["scope"] == SCOPE)["tables"]
    assert table["added"] > 0
    assert SCOPE in ecluse("status").out


def test_a_pull_stopped_goes_on_at_the_next_call_without_loss_or_duplicate(ours: Hub, bench: Bench) -> None:
    bench.fill(4)
    for number in (1, 2, 3):
        bench.service.restart_count()
        bench.service.faults = {number: lambda exchange: exchange.send(401)}
        with pytest.raises(WrongUsage, match="jeton"):
            pulled(ours, bench)
        assert ours.log.find(f"received/{SCOPE}") is None
    bench.service.restart_count()
    report = pulled(ours, bench)
    assert report.pull["resumed"]
    assert report.pull["dossiers"] == 4
    assert declared(ours).filter(kind="dossier").height == 4


def test_a_stop_between_the_reception_and_the_decision_ends_in_one_delivery(
    ours: Hub, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fill(2)
    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "decide", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pulled(ours, bench)
    bench.fill(1)  # too late for the pull that was under way
    report = pulled(ours, bench)
    assert (report.delivery.status, report.pull["resumed"], report.pull["dossiers"]) == ("accepted", True, 2)
    assert [event.type for event in ours.log.read()] == ["DeliveryReceived", "DeliveryAccepted"]
    assert pulled(ours, bench).pull["added"] == 1


def test_the_service_down_is_told_as_something_that_passes(ours: Hub, bench: Bench) -> None:
    bench.service.deaf()
    with pytest.raises(PullStopped, match="relancez"):
        pulled(ours, bench)
    assert ours.log.head()[0] == 0


def test_a_withdrawn_pull_comes_back_with_the_next_one(ours: Hub, bench: Bench, ecluse: Ecluse) -> None:
    bench.fill(1)
    delivery = pulled(ours, bench).delivery.delivery_id
    assert delivery
    assert ecluse("withdraw", delivery[:12], "--reason", "essai").code == 0
    assert SCOPE not in all_heads(ours)
    assert pulled(ours, bench).delivery.status == "accepted"
    assert SCOPE in all_heads(ours)


def test_a_mapping_completed_later_is_another_delivery_of_the_same_dossiers(ours: Hub, bench: Bench, home: Path) -> None:
    bench.fill(1)
    pulled(ours, bench)
    from flows.demarches_settings import mapping_path, the_one

    text = mapping_path(the_one(ours.settings, forms.NATIONAL)).read_text(encoding="utf-8")
    (home / "mine.yaml").write_text(text.replace("version: 1", "version: 2"), encoding="utf-8")
    written = (home / CONFIG).read_text(encoding="utf-8")
    (home / CONFIG).write_text(written.replace("local = true", 'local = true\nmapping = "mine.yaml"'), encoding="utf-8")
    assert pulled(open_hub(home), bench).delivery.status == "accepted"


def test_attached_files_are_kept_once_and_checked_by_verify(ours: Hub, bench: Bench) -> None:
    bench.fill(1)
    first = pulled(ours, bench)
    assert first.files["stored"] > 0
    kept = pull.attached(ours, all_heads(ours)[SCOPE].data)
    assert kept
    assert state.verify(ours)["sound"]
    fetched = len(bench.service.seen.files)
    bench.fill(1)
    pulled(ours, bench)
    assert len(bench.service.seen.files) == fetched
    [path] = (ours.settings.home / "store" / "raw").rglob(f"{sorted(kept)[0]}.zst")
    path.unlink()
    assert [problem for problem in state.verify(ours)["problems"] if f"(pièce jointe, {SCOPE})" in problem]
    [listing] = [file["sha256"] for file in all_heads(ours)[SCOPE].data["files"] if file["family"] == pull.PIECES]
    [path] = (ours.settings.home / "store" / "raw").rglob(f"{listing}.zst")
    path.write_bytes(b"")
    assert [problem for problem in state.verify(ours)["problems"] if listing in problem], "what it lists is told no more"


def test_token_signed_addresses_and_names_are_found_nowhere(ours: Hub, bench: Bench, ecluse: Ecluse, home: Path) -> None:
    bench.fill(2)
    said = ecluse("pull", str(forms.NATIONAL), "--json")
    assert said.code == 0, said.err
    bench.service.faults = {len(bench.service.seen.api) + 2: lambda exchange: exchange.send(500)}
    ecluse("pull")
    with sqlite3.connect(home / "ecluse.db") as database:
        database.execute("pragma wal_checkpoint(truncate)")
    hub = open_hub(home)
    raw = b"".join(hub.blobs.open_raw(sha).read() for sha in hub.blobs.list("raw"))
    files = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in (TOKEN, "signature=", "NOMFICTIF"):
        assert secret.encode() not in raw + files, secret
        assert secret not in said.out + said.err, secret
    assert "99900000011" not in said.out + said.err


def test_a_social_security_number_in_a_field_is_blanked_and_counted(ours: Hub, bench: Bench, ecluse: Ecluse) -> None:
    planted = "2 85 06 99 123 456 70"  # its key is right
    team = replace(TEAM, name=planted)
    bench.platform.deposit(forms.NATIONAL, forms.answers(forms.NATIONAL, team))
    bench.fill(1)
    assert pulled(ours, bench).delivery.rules["demarche.nir"] == 1
    assert declared(ours).filter(kind="dossier")["structure_name"].to_list() == [None, TEAM.name]
    for words in (("status",), ("pull", "--json")):
        assert planted not in ecluse(*words).out


def test_the_command_says_what_is_missing(home: Path, ecluse: Ecluse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert "aucune démarche" in ecluse("pull").err
    settings(home, "[demarches.990001]\n")
    assert TOKEN_VARIABLE in ecluse("pull").err
    settings(home, "[demarches.77]\n")
    assert "ecluse mapping 77" in ecluse("pull", "77").err
    settings(home, '[demarches.78]\ntoken = "secret-token"\n')
    said = ecluse("pull", "78")
    assert said.code == 2
    assert "réglage inconnu" in said.err
    assert "secret-token" not in said.err


def test_a_mapping_is_proposed_compared_and_never_written_over(
    ours: Hub, bench: Bench, ecluse: Ecluse, home: Path, tmp_path: Path
) -> None:
    assert "tous ses champs" in ecluse("mapping", str(forms.NATIONAL)).out
    bench.platform.publish(forms.NATIONAL, "Déclaration d'équipe SNP", forms.national(2))
    renamed = ecluse("mapping", str(forms.NATIONAL), "--json").json["misfits"]
    assert {one["kind"] for one in renamed} == {"renamed"}
    target = tmp_path / "proposed.yaml"
    said = ecluse("mapping", str(forms.NATIONAL), "--output", target, "--json")
    assert said.code == 1  # nobody said which form it is
    assert any(name.startswith("form") for name in said.json["open"])
    text = target.read_text(encoding="utf-8")
    assert "À COMPLÉTER" in text
    assert ecluse("mapping", str(forms.NATIONAL), "--output", target).code == 2
    assert target.read_text(encoding="utf-8") == text


def test_an_export_of_a_pulled_demarche_is_left_aside(ours: Hub, bench: Bench, ecluse: Ecluse, tmp_path: Path) -> None:
    from connectors import synthetic_references as references

    rows = references.dossier("1", "2022-07-20T10:00:00+02:00", TEAM.siret, ["PH1", "MED1"])
    path = tmp_path / "declarations.csv"
    path.write_bytes(references.declarations(rows, demarche=str(forms.NATIONAL)))
    assert ecluse("ingest", path, "--json").code == 0
    exported = {"déclarations": {"lines": 3, "ranges": [[2, 4]]}}
    assert declared_origins.origins(ours, all_heads(ours), "dossier 1") == {f"declarations/{forms.NATIONAL}": exported}
    bench.fill(4)
    pulled(ours, bench)
    known = all_heads(ours)
    assert reconciling._datasets(known, "311") == {"declarations": [known[SCOPE].tables["dataset_declarations"]]}
    path.write_bytes(references.declarations([*rows, *references.dossier("77", "2022-07-20T10:00:00+02:00", TEAM.siret, [])]))
    assert ecluse("ingest", path, "--json").code == 0
    known = all_heads(ours)
    parts = [pl.read_parquet(ours.blobs.segment_path(one)) for one in reconciling._datasets(known, "311")["declarations"]]
    whole = reconciling._once(pl.concat(parts), known).filter(kind="dossier")
    assert sorted(whole.select("demarche", "number").rows()) == [
        ("1", "77"),
        *((str(forms.NATIONAL), f"{n}") for n in range(1, 5)),
    ]


def test_a_finding_leads_to_the_lines_of_the_snapshot_that_tell_its_dossiers(ours: Hub, bench: Bench) -> None:
    first, second, third, fourth = bench.fill(4)
    pulled(ours, bench)
    known = all_heads(ours)
    cited = f"{fourth}, {first} et {second}"
    found = declared_origins.origins(ours, known, cited)
    assert found == {SCOPE: {"déclarations": {"lines": 3, "ranges": [[2, 3], [5, 5]]}}}
    [snapshot] = [file["sha256"] for file in known[SCOPE].data["files"] if file["family"] == "declarations"]
    lines = ours.blobs.open_raw(snapshot).read().splitlines()
    assert [json.loads(lines[place - 1])["number"] for place in (2, 3, 5)] == [first, second, fourth]
    assert declared_origins.origins(ours, known, str(third + 90)) == {}


def test_the_numbers_of_a_report_are_counts(ours: Hub, bench: Bench) -> None:
    bench.fill(1)
    pulled(ours, bench)
    [event] = ours.log.read(types={"DeliveryReceived"})
    assert all(isinstance(value, int) for value in event.data["pull"].values())
    assert json.dumps(event.data).count("row-") == 0
