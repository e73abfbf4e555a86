"""Decisions of people on lines: in the log, each on a state that its author saw, revocable, never lost."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.hub import Hub, WrongUsage, init_hub, open_hub
from flows.line_decisions import Answer, Proposed, Wanted, code_of, decide, decisions, revoke, standing

LINE = Proposed("a1", "311", 2500, "ASK", 0, 2500, 0, live=True)
LINES = {one.line_id: one for one in (LINE, replace(LINE, line_id="b2", outcome="PAY", due_cents=2500))}


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    init_hub(tmp_path / "hub", test=True)
    return open_hub(tmp_path / "hub", "agent")


def wanted(decision: str = "pay", **more: Any) -> Wanted:
    return Wanted(**{"line_id": "a1", "decision": decision, "reason": "pièce reçue", **more})


def one(hub: Hub, asked: Wanted, line: Proposed = LINE) -> Answer:
    [answer] = decide(hub, [asked], LINES | {line.line_id: line})
    return answer


def test_a_decision_says_what_who_why_and_what_was_seen(hub: Hub) -> None:
    answer = one(hub, wanted(role="agent comptable"))
    assert answer.status == "taken"
    [event] = hub.log.read(types={"DecisionTaken"})
    assert (event.position, event.stream, event.meta["actor"]) == (answer.position, "line/a1", "agent")
    assert event.data["value"] == {"decision": "pay", "amount_cents": 2500}
    assert event.data["seen"] == {"outcome": "ASK", "due_cents": 0}
    [row] = decisions(hub).rows(named=True)
    expected = {"line_id": "a1", "decision": "pay", "amount_cents": 2500, "reason": "pièce reçue", "role": "agent comptable"}
    assert row.items() >= expected.items()
    assert (row["position"], row["seen_outcome"], row["decided_on"]) == (answer.position, "ASK", hub.today())


def test_a_decision_is_said_in_french_or_by_its_code(hub: Hub) -> None:
    assert [code_of(word) for word in ("Payer", "ATTENDRE", "pay", "Hold", "autre")] == ["pay", "hold", "pay", "hold", "autre"]
    assert one(hub, wanted("Payer")).status == "taken"
    assert one(hub, wanted("pay")).status == "already"


@pytest.mark.parametrize(
    ("asked", "line", "told"),
    [
        (wanted(line_id="zz"), LINE, "ligne inconnue"),
        (wanted("peut-être"), LINE, "décision inconnue : peut-être ; attendu : payer, ajuster, rejeter, demander, attendre"),
        (wanted(reason="  "), LINE, "un motif est nécessaire"),
        (wanted(reason="vu avec 1 84 12 76 451 089 46"), LINE, "11 chiffres"),
        (wanted(reason="RPPS 10003456789 absent"), LINE, "11 chiffres"),
        (wanted("adjust"), LINE, "ajuster demande un montant"),
        (wanted("adjust", amount_cents=2600), LINE, "montant demandé (25,00 €)"),
        (wanted("adjust", amount_cents=0), LINE, "montant demandé (25,00 €)"),
        (wanted("adjust", amount_cents=-5), LINE, "montant demandé (25,00 €)"),
        (wanted("reject", amount_cents=5), LINE, "ne va qu'avec payer ou ajuster"),
        (wanted(), replace(LINE, outcome="REJECT", potential_cents=0), "donnez le montant dû"),
        (wanted(), replace(LINE, claimed_cents=-2500), "rien n'est demandé"),
        (wanted("reject"), replace(LINE, live=False), "a été remplacé"),
    ],
)
def test_what_cannot_be_decided_is_refused_in_french_and_leaves_no_event(
    hub: Hub, asked: Wanted, line: Proposed, told: str
) -> None:
    answer = one(hub, asked, line)
    assert (answer.status, told in str(answer.message)) == ("refused", True), answer
    assert not list(hub.log.read())


def test_a_line_named_twice_is_not_decided_at_all(hub: Hub) -> None:
    answers = decide(hub, [wanted(), wanted("reject"), wanted("hold", line_id="b2")], LINES)
    assert [answer.status for answer in answers] == ["refused", "refused", "taken"]


def test_the_second_who_decides_on_the_same_state_is_told(hub: Hub) -> None:
    first = one(hub, wanted("reject"))
    late = one(hub, wanted("pay"))
    assert (late.status, f"position {first.position}" in str(late.message)) == ("changed", True)
    assert decisions(hub)["decision"].to_list() == ["reject"]
    seen = one(hub, wanted("pay", seen=first.position))
    assert seen.status == "taken"
    assert decisions(hub)["decision"].to_list() == ["pay"]


def test_of_two_at_the_same_moment_one_is_taken_and_the_other_told(hub: Hub) -> None:
    hub.log.head()
    for number in range(5):
        lines = {f"c{number}": replace(LINE, line_id=f"c{number}")}
        asked = [wanted(kind, line_id=f"c{number}", reason=kind) for kind in ("pay", "reject", "hold", "ask")]
        with ThreadPoolExecutor(4) as people:
            answers = list(people.map(lambda each, lines=lines: decide(hub, [each], lines)[0].status, asked))
        assert sorted(answers) == ["changed", "changed", "changed", "taken"]


def test_the_same_decision_again_changes_nothing(hub: Hub) -> None:
    first = one(hub, wanted())
    again = one(hub, wanted())
    assert (again.status, again.position) == ("already", first.position)
    assert len(list(hub.log.read())) == 1


def test_what_its_author_saw_proposed_must_still_be(hub: Hub) -> None:
    late = one(hub, wanted("reject", outcome="PAY", due_cents=2500))
    assert (late.status, "la proposition a changé" in str(late.message)) == ("changed", True)
    assert one(hub, wanted("reject", outcome="ASK", due_cents=0)).status == "taken"


def test_a_revoked_decision_holds_no_more_and_stays_in_the_log(hub: Hub) -> None:
    taken = one(hub, wanted("reject"))
    assert taken.position
    assert revoke(hub, "a1", "erreur", seen=taken.position + 7).status == "changed"
    assert revoke(hub, "a1", "erreur de ligne").status == "taken"
    assert decisions(hub).is_empty()
    assert list(standing(hub, until=taken.position)) == ["a1"]
    assert [event.data["withdraws"] for event in hub.log.read()] == [None, taken.position]
    with pytest.raises(WrongUsage, match="aucune décision en place"):
        revoke(hub, "a1", "encore")
    assert one(hub, wanted("reject", seen=taken.position)).status == "changed"
    assert one(hub, wanted("reject")).status == "taken"


def test_a_whole_workbook_is_taken_at_once_with_its_cells(hub: Hub) -> None:
    lines = {f"d{number}": replace(LINE, line_id=f"d{number}") for number in range(300)}
    asked = [wanted("reject", line_id=name, where=f"Lignes!S{row}") for row, name in enumerate(lines, start=2)]
    asked[7] = replace(asked[7], reason="")
    answers = decide(hub, asked, lines, workbook="f" * 64)
    assert [answer.status for answer in answers].count("taken") == 299
    assert answers[7].status == "refused"
    event = next(iter(hub.log.read()))
    assert (event.data["workbook"], event.data["cell"]) == ("f" * 64, "Lignes!S2")
