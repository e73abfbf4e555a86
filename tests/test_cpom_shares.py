"""What a delivery or a decision makes again of the contracts of the CPOM, and that the rest is what it would be made again."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from test_finess import stock

from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_ecars import canonical, sample_contract, table, workbook
from connectors.synthetic_references import finess_ej
from connectors.synthetic_rsa import write_rsa
from flows import computed, cpom_decisions, cpom_inputs, decisions, deliveries
from flows.cpom_inputs import share_of
from flows.deliveries import Report
from flows.hub import Hub, WrongUsage, init_hub, open_hub

ARS = "ars-99"
SITE, LEGAL, OTHER, STRANGER = (fictional_finess(number=number) for number in (1, 7, 8, 500))
CORSICAN, ALIKE = fictional_finess("2A99"), next(
    number for number in (fictional_finess(number=n) for n in range(9, 99)) if share_of(number) == share_of(LEGAL)
)  # fmt: skip
NUMBERS = (LEGAL, OTHER, CORSICAN, ALIKE, *(fictional_finess(number=number) for number in (10, 11)))
JULY = datetime(2025, 7, 24, 12, tzinfo=UTC)
Take = Callable[..., Report]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    init_hub(tmp_path / "hub", recipients=[ARS], test=True)
    return replace(open_hub(tmp_path / "hub", "tests"), clock=lambda: datetime(2026, 3, 10, 9, tzinfo=UTC))


@pytest.fixture
def take(hub: Hub, tmp_path: Path) -> Take:
    """Ingests a file of this name and content."""

    def ingest(name: str, content: bytes | None = None) -> Report:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        [found], _ = deliveries.find([path])
        return deliveries.ingest(hub, found, JULY)

    return ingest


@pytest.fixture(scope="module")
def transmission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pmsi") / f"{SITE}.2024.12.rsa"
    write_rsa(path, Recipe(finess=SITE, year=2024, months=12, stays_per_month=20, seed=3, version="227"))
    return path


def shares(*numbers: str) -> list[str]:
    return sorted({share_of(number) or "" for number in numbers})


def links(**pairs: str) -> bytes:
    return table(
        "etablissements", [{"finess_et": et, "finess_ej": ej, "date_debut": date(2020, 1, 1)} for et, ej in pairs.items()]
    )


def test_what_comes_makes_again_the_shares_that_it_is_about_and_no_other(hub: Hub, take: Take, transmission: Path) -> None:
    def again() -> list[str]:
        made = list[str]()
        at = computed.moment(hub, "cpom")
        assert at
        computed.tables(hub, "cpom", at, made.append)
        return sorted(share.removeprefix("calcul ") for share in made)

    everything = sorted([*shares(LEGAL, OTHER, CORSICAN), "94", "99"])
    take("99.csv", canonical([sample_contract(4, finess_ej=number) for number in (LEGAL, OTHER)]))
    take("94.xlsx", workbook(sample_contract(4, finess_ej=CORSICAN)))
    assert again() == everything
    assert again() == []
    take("94-2.xlsx", workbook(replace(sample_contract(4, finess_ej=CORSICAN), name="Autre nom")))
    assert again() == shares(CORSICAN)
    take("99-2.xlsx", workbook(sample_contract(4, finess_ej=ALIKE)))
    assert again() == shares(LEGAL)
    signed = {"avenant_id": "A1", "finess_ej": CORSICAN, "date_signature": date(2025, 9, 1)}
    take("avenants.csv", table("avenants", [signed]))
    assert again() == everything, "that a list came at all is known to all"
    take("avenants-2.csv", table("avenants", [signed, {**signed, "avenant_id": "A2"}]))
    assert again() == shares(CORSICAN)

    sent = take(str(transmission))
    assert set(again()) <= {share_of(SITE)}, "nobody signed for it yet"
    take("finess.csv", stock(date(2026, 1, 5), **{SITE: CORSICAN}))
    assert again() == everything, "that it came at all is known to all"
    take(
        "finess-2.csv", stock(date(2026, 2, 5), **{SITE: CORSICAN, fictional_finess(number=500): fictional_finess(number=600)})
    )
    assert again() == [], "links of others than these contracts"
    take("finess-3.csv", stock(date(2026, 3, 5), **{SITE: LEGAL, STRANGER: fictional_finess(number=600)}))
    assert again() == shares(CORSICAN, LEGAL)
    decisions.withdraw(hub, sent.delivery_id or "", "essai")
    assert again() == sorted({*shares(CORSICAN, LEGAL)} | ({*shares(SITE)} & {*everything}))

    cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "réunion", finess_ej=OTHER)
    assert again() == shares(OTHER)
    cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "réunion")
    assert again() == shares(LEGAL, OTHER)
    cpom_decisions.close(hub, ARS, "fin")
    assert again() == ["99"]
    take("99-3.xlsx", workbook(replace(sample_contract(4, finess_ej=OTHER), name="Autre nom")))
    assert again() == ["99", *shares(OTHER)], "the contracts of a closed campaign are counted"


def test_the_contracts_of_an_older_log_are_told_by_its_segments(hub: Hub, take: Take) -> None:
    take("99.csv", canonical([sample_contract(4, finess_ej=number) for number in (LEGAL, OTHER)]))
    [head] = cpom_inputs.exports(deliveries.all_heads(hub))
    older = {name: told for name, told in head.data.items() if name != "numbers"}
    assert cpom_inputs.named(hub, [head.data, older, head.data]) == [frozenset({LEGAL, OTHER})] * 3
    assert head.data["numbers"] == sorted((LEGAL, OTHER))


@pytest.mark.parametrize(
    ("seed", "steps"), [(1, 6), *(pytest.param(seed, 25, marks=pytest.mark.soak) for seed in range(2, 10))]
)
def test_tables_made_step_by_step_are_those_made_at_once(
    hub: Hub, take: Take, transmission: Path, monkeypatch: pytest.MonkeyPatch, seed: int, steps: int
) -> None:
    chance = random.Random(seed)
    seen = {}
    for _ in history(hub, take, transmission, chance, steps):
        if at := computed.moment(hub, "cpom"):
            seen[at] = tables(hub, at)
    assert seen
    shutil.rmtree(hub.views_folder)
    for at in list(seen)[::-3]:
        assert tables(hub, at) == seen[at], at
    monkeypatch.setattr(cpom_inputs, "AT_ONCE", 1)
    shutil.rmtree(hub.views_folder)
    last = list(seen)[-1]
    assert tables(hub, last) == seen[last], "judged one share after the other"


def tables(hub: Hub, at: computed.Moment) -> dict[str, list[bytes]]:
    """The bytes of each part of each table."""
    return {name: [path.read_bytes() for path in told.paths] for name, told in computed.tables(hub, "cpom", at).items()}


def history(hub: Hub, take: Take, transmission: Path, chance: random.Random, steps: int) -> Iterator[None]:
    """Steps of what may come: a first export, then anything."""
    accepted = list[Report]()
    sent = chance.randrange(1, steps)
    for step in range(steps):
        if step == sent:
            take(str(transmission))
        elif step == 0 or chance.random() < 0.35:
            signed = chance.sample(NUMBERS, chance.randint(1, 4))
            contracts = [
                replace(
                    sample_contract(chance.randrange(40), finess_ej=number, hpr=chance.random() < 0.4),
                    name=chance.choice(["CH D'ICI", "Clinique de là", None]),
                    synthesis=chance.choice(["Du 21 juillet 2025", "Du 15 septembre 2025"]),
                )
                for number in signed
            ]
            accepted.append(take(f"{step}.csv", canonical(contracts)))
        elif chance.random() < 0.3:
            _decide(hub, chance, accepted)
        else:
            take(f"{step}.csv", _list(chance, step))
        yield


def _decide(hub: Hub, chance: random.Random, accepted: list[Report]) -> None:
    what = chance.choice(["general", "one", "policy", "close", "reopen", "withdraw"])
    if what == "general":
        cpom_decisions.decide_definition(hub, ARS, "OS_13", chance.choice(["v1", "v2_overnight"]), "essai")
    elif what == "one":
        cpom_decisions.decide_definition(hub, ARS, "OS_13", "v1", "essai", finess_ej=chance.choice([LEGAL, OTHER]))
    elif what == "policy":
        cpom_decisions.decide_policy(hub, ARS, "choice_due_on", chance.choice(["2025-07-31", "2025-08-15"]), "essai")
    elif what == "close":
        cpom_decisions.close(hub, ARS, "essai")
    elif what == "withdraw" and len(accepted) > 1:
        decisions.withdraw(hub, accepted.pop().delivery_id or "", "essai")
    else:
        try:
            cpom_decisions.reopen(hub, ARS, "essai")
        except WrongUsage:
            cpom_decisions.close(hub, ARS, "essai")


def _list(chance: random.Random, step: int) -> bytes:
    """A reference or a follow-up table about some of the contracts."""
    some = chance.sample(NUMBERS, chance.randint(1, len(NUMBERS)))
    day = date(2025, chance.randint(1, 12), 3)
    rows: dict[str, list[dict[str, Any]]] = {
        "avenants": [{"avenant_id": f"A{chance.randint(1, 3)}", "finess_ej": one, "date_signature": day} for one in some],
        "subventions": [
            {"subvention_id": f"S{place}", "finess_ej": one, "fonds": "FMIS", "date_notification": day, "montant_cents": 5_00}
            | {"avenant_id": chance.choice(["A1", "A9", None])}
            for place, one in enumerate(some)
        ],
        "versements": [{"subvention_id": f"S{chance.randint(0, 3)}", "date_versement": day, "montant_cents": 100}],
        "mises_en_demeure": [
            {"procedure_id": "P1", "finess_ej": one, "nature": "INEXECUTION", "evenement": event, "date_evenement": day}
            | {"montant_cents": 900 if event == "PENALITE" else None}
            for one in some
            for event in ("NOTIFICATION", "PENALITE")
        ],
        "contrats_attendus": [{"finess_ej": one} for one in some],
        "su_region": [{"annee": 2025, "part": part, "montant_cents": 50} for part in ("DGOS", "OCCITANIE")],
        "annexes": [
            {"finess_ej": one, "annexe": chance.choice(["STRATEGIQUE", "USLD"]), "date_signature": day} for one in some
        ],
    }
    kind = chance.choice([*rows, "etablissements", "stock", "stock", "entities"])
    if kind in rows:
        return table(kind, rows[kind])
    if kind == "etablissements":
        return links(**{SITE: some[0], fictional_finess(number=701): some[-1]})
    if kind == "entities":
        return finess_ej(40 + step, date(2026, 1, 1 + step))
    return stock(date(2026, 1, 1 + step), **{SITE: some[0], fictional_finess(number=702): some[-1]})
