"""Logs that an earlier ecluse wrote are read by this one: heads, segments and what is computed from them."""

import json
from pathlib import Path

import pytest
from frozen_hub import NOW, READ, read, thaw

from flows import building, explanation
from flows.deliveries import all_heads
from flows.hub import WrongUsage

LOGS = sorted((Path(__file__).parent / "data" / "logs").iterdir())
MADE = {"out_ars__pmsi_indicator", "out_cpam__bordereau_line", "out_ars__cpom_indicator", "out_cpam__cds_node"}


@pytest.mark.parametrize("frozen", LOGS, ids=lambda folder: str(folder.name))
def test_a_log_of_an_earlier_version_is_read_as_it_was_then(
    frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLUSE_NOW", NOW)
    hub = thaw(frozen, tmp_path / "hub")
    assert hub.log.verify() == []
    assert read(hub) == json.loads((frozen / READ).read_text(encoding="utf-8"))
    assert set(building.build(hub).views) >= MADE
    standing = [head for head in all_heads(hub).values() if head.superseded_by is None]
    lines = sum(head.rows for head in standing if head.source == "bordereau")
    stays = sum(head.rows for head in standing if head.source == "pmsi")
    assert building.query(hub, "select count(*) from out_cpam__bordereau_line").row(0) == (lines,)
    assert building.query(hub, "select count(*) from core_pmsi__stay").row(0) == (stays,)


def test_what_is_published_no_more_under_its_name_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLUSE_NOW", NOW)
    hub = thaw(LOGS[0], tmp_path / "hub")
    with pytest.raises(WrongUsage, match="n° 1 vient d'une version antérieure"):
        explanation.explain(hub, "ars-99/centres-de-sante-ars", "centre", {})
