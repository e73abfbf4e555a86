"""The simulator has the traps of the real service: without them, what is tested against it proves nothing."""

import base64
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from demarches import Bench, platform

from connectors import demarches_query as queries
from connectors import simulator_forms as forms
from connectors.simulator_demarches import TOKEN, Simulator
from connectors.simulator_platform import Field


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Simulator(platform()) as service:
        yield Bench(service, tmp_path)


def said(bench: Bench, query: str, token: str | None = TOKEN, **variables: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"query": query, "variables": variables}
    return requests.post(bench.service.url, json=body, headers=headers, timeout=60)


def page(bench: Bench, arguments: str, inside: str = "number", field: str = "dossiers") -> Any:
    """The answer of one connection, or its error code."""
    shown = f"{field}({arguments}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {inside} }} }}"
    query = f"{{ demarche(number: {bench.demarche}) {{ {shown} }} }}"
    answer = said(bench, query).json()
    return answer["data"]["demarche"][field] if answer.get("data") else answer["errors"][0].get("extensions", {}).get("code")


def numbers(found: Any) -> list[int]:
    return [node["number"] for node in found["nodes"]]


def test_pages_are_capped_in_silence_and_an_empty_one_has_no_cursor(bench: Bench) -> None:
    assert page(bench, "first: 5")["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    bench.fill(120, seconds=1)
    found = page(bench, "first: 500")
    assert (len(found["nodes"]), found["pageInfo"]["hasNextPage"]) == (100, True)
    assert len(page(bench, "last: 3")["nodes"]) == 3


@pytest.mark.parametrize("arguments", ["first: 2, last: 2", "first: -1", 'first: 2, before: "eA=="', 'after: "nonsense"'])
def test_pages_that_mean_nothing_are_bad_requests(bench: Bench, arguments: str) -> None:
    bench.fill(3)
    assert page(bench, arguments) == "bad_request"


def test_a_cursor_belongs_to_its_order(bench: Bench) -> None:
    bench.fill(6)
    bench.platform.write_message(1)
    since = bench.platform.dossiers[3].deposited.isoformat()
    assert numbers(page(bench, "first: 10")) == [1, 2, 3, 4, 5, 6]
    assert numbers(page(bench, 'first: 10, updatedSince: "1970-01-01T00:00:00Z"')) == [2, 3, 4, 5, 6, 1]
    assert numbers(page(bench, f'first: 10, createdSince: "{since}"')) == [3, 4, 5, 6], "inclusive"
    assert numbers(page(bench, f'first: 10, createdSince: "{since}", updatedSince: "1970-01-01T00:00:00Z"')) == [
        2,
        3,
        4,
        5,
        6,
        1,
    ]
    by_update = page(bench, 'first: 5, updatedSince: "1970-01-01T00:00:00Z"')["pageInfo"]["endCursor"]
    assert numbers(page(bench, f'first: 10, after: "{by_update}"')) == [], "in the other order it means another place"
    assert page(bench, 'last: 2, before: "' + by_update + '"')["pageInfo"]["hasNextPage"], "forced, whatever there is"


def test_instants_are_printed_to_the_second_with_the_offset_of_paris_and_cursors_keep_more(bench: Bench) -> None:
    bench.platform.now = datetime.fromisoformat("2024-03-30T23:30:00.123456+00:00")
    bench.fill(1)
    found = page(bench, "first: 1", "number dateDepot")
    assert found["nodes"][0]["dateDepot"] == "2024-03-31T00:30:00+01:00"
    assert b".123457" in base64.b64decode(found["pageInfo"]["endCursor"])


def test_the_type_of_a_champ_depends_on_the_fragments_of_the_document(bench: Bench) -> None:
    bench.fill(1)
    champs = "champs { champDescriptorId __typename stringValue }"

    def types(more: str) -> dict[str, str]:
        found = page(bench, "first: 1", f"number {champs} {more}")["nodes"][0]["champs"]
        return {base64.b64decode(one["champDescriptorId"]).decode(): one["__typename"] for one in found}

    plain = types("")
    assert (plain["Champ-104"], plain["Champ-121"], plain["Champ-105"], plain["Champ-122"]) == (
        "TextChamp", "CheckboxChamp", "TextChamp", "DateChamp",
    )  # fmt: skip
    assert plain["Champ-100"] == "TextChamp"
    named = types("champs { ... on DropDownListChamp { value } ... on YesNoChamp { value } }")
    assert (named["Champ-104"], named["Champ-121"], named["Champ-105"]) == ("DropDownListChamp", "YesNoChamp", "TextChamp")


def test_numbers_too_great_for_json_are_strings_and_champs_that_are_not_shown_are_absent(bench: Bench) -> None:
    fields = (*forms.national(), Field(130, "IntegerNumberChamp", "Nombre de membres"))
    bench.platform.publish(forms.NATIONAL, "Déclaration", fields)
    dossier = bench.platform.deposit(forms.NATIONAL, {130: 12, 101: "99900001100018!"})
    siret = "... on SiretChamp { etablissement { siret } stringValue }"
    inside = f"number champs {{ champDescriptorId ... on IntegerNumberChamp {{ value }} {siret} }}"
    found = {one["champDescriptorId"]: one for one in page(bench, "first: 1", inside)["nodes"][0]["champs"]}
    assert found["Q2hhbXAtMTMw"]["value"] == "12"
    assert found["Q2hhbXAtMTAx"] == {
        "champDescriptorId": "Q2hhbXAtMTAx",
        "etablissement": None,
        "stringValue": "99900001100018",
    }
    dossier.invisible.add(130)
    dossier.stamp += 1
    assert len(page(bench, "first: 1", inside)["nodes"][0]["champs"]) == len(found) - 1


def test_deletions_are_pending_then_restored_or_purged_under_their_first_date_or_vanish(bench: Bench) -> None:
    bench.fill(4)
    bench.platform.settle(3, "accepte")
    for number in (1, 2):
        bench.platform.hide(number)
    bench.platform.hide(3)
    hidden = bench.platform.dossiers[1].hidden_by_user
    assert numbers(page(bench, "first: 9")) == [3, 4], "decided, it stays visible to who decided"
    assert numbers(page(bench, "first: 9", field="pendingDeletedDossiers")) == [1, 2]
    bench.platform.restore(2)
    bench.platform.advance(14 * 86_400)
    bench.platform.purge(1)
    bench.platform.expire(4)
    assert numbers(page(bench, "first: 9")) == [2, 3]
    assert numbers(page(bench, "first: 9", field="pendingDeletedDossiers")) == []
    deleted = page(bench, "first: 9", "number reason dateSupression", field="deletedDossiers")["nodes"]
    assert [(one["number"], one["reason"]) for one in deleted] == [(1, "user_request")]
    assert hidden
    assert datetime.fromisoformat(deleted[0]["dateSupression"]) == hidden.replace(microsecond=0)
    assert said(bench, "{ dossier(number: 4) { number } }").json()["errors"][0]["extensions"]["code"] == "not_found"


def test_a_revision_is_silent_and_a_new_deposit_moves_one_date_and_not_the_other(bench: Bench) -> None:
    bench.fill(2)
    bench.platform.settle(2, "accepte")
    before = {number: dossier.updated for number, dossier in bench.platform.dossiers.items()}
    bench.platform.publish(forms.NATIONAL, "Déclaration", forms.national(2))
    revisions = page(bench, "first: 2", "number demarche { revision { id } }")["nodes"]
    assert len({one["demarche"]["revision"]["id"] for one in revisions}) == 2
    assert before == {number: dossier.updated for number, dossier in bench.platform.dossiers.items()}
    bench.platform.ask_correction(1)
    bench.platform.edit(1, {103: "Un autre nom"})
    inside = "dateDepot datePassageEnConstruction dateDerniereCorrectionEnAttente champs { stringValue }"
    waiting = page(bench, "first: 1", inside)["nodes"][0]
    assert waiting["dateDerniereCorrectionEnAttente"]
    assert "Un autre nom" not in str(waiting), "a buffer that nobody sees"
    bench.platform.advance(86_400)
    bench.platform.redeposit(1)
    again = page(bench, "first: 1", inside)["nodes"][0]
    assert again["dateDepot"] == waiting["dateDepot"]
    assert again["datePassageEnConstruction"] > waiting["datePassageEnConstruction"]
    assert again["dateDerniereCorrectionEnAttente"] is None
    assert "Un autre nom" in str(again)


def test_tokens_that_are_missing_or_unknown_are_anonymous_and_an_expired_one_is_not(bench: Bench) -> None:
    assert [said(bench, queries.FORM, token).status_code for token in (None, "unknown", TOKEN)] == [403, 403, 200]
    bench.service.expired_tokens.add(TOKEN)
    assert said(bench, queries.FORM).status_code == 401
    bench.service.expired_tokens.clear()
    shown = requests.post(bench.service.url, json={"query": "{ demarche(number: 990001) { number } }"},
                          headers={"Authorization": f"Bearer token={TOKEN}"}, timeout=60)  # fmt: skip
    assert shown.json() == {"data": {"demarche": {"number": 990001}}}


def test_queries_that_cannot_be_run_say_so_without_data(bench: Bench) -> None:
    for query in ("{ demarche(number: 990001) { price } }", "{ demarche(number: 1", "query a { b }", "{ ...Nothing }"):
        answer = said(bench, query).json()
        assert "data" not in answer
        assert answer["errors"][0]["message"]
    assert requests.post(bench.service.url, data="{", timeout=60).status_code == 400


def test_the_minute_is_limited_and_the_answer_is_plain_text(bench: Bench) -> None:
    bench.service.per_minute = 3
    for _ in range(3):
        assert said(bench, queries.FORM, number=1).status_code == 200
    refused = said(bench, queries.FORM, number=1)
    assert (refused.status_code, refused.headers["Content-Type"], refused.headers["RateLimit-Remaining"]) == (
        429,
        "text/plain",
        "0",
    )
    assert "Retry-After" not in refused.headers
    bench.platform.now = datetime.fromtimestamp(int(refused.headers["RateLimit-Reset"]), bench.platform.now.tzinfo)
    assert said(bench, queries.FORM, number=1).status_code == 200


def test_files_have_addresses_for_an_hour_and_infected_ones_are_left_out(bench: Bench) -> None:
    bench.fill(1)
    inside = "champs { ... on PieceJustificativeChamp { files { url virusScanResult } } }"

    def files() -> list[Any]:
        return [file for champ in page(bench, "first: 1", inside)["nodes"][0]["champs"] for file in champ.get("files", [])]

    [file] = files()
    assert requests.get(file["url"], timeout=60).content == forms.DOCUMENT.content
    assert requests.get(file["url"].replace("signature=", "signature=0"), timeout=60).status_code == 403
    bench.platform.advance(3601)
    assert requests.get(file["url"], timeout=60).status_code == 403
    assert requests.get(files()[0]["url"], timeout=60).status_code == 200
    bench.platform.replace_piece(1, 120, scan="infected")
    assert files() == []
