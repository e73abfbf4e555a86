"""Lines of bordereaux for people: one bordereau, one line, the decisions that a filled workbook brings back."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts_schema.french import system_error
from contracts_schema.rules import label
from flows import decisions, reconciling
from flows.deliveries import all_heads, names_of, verdict_of, withdrawal_fr
from flows.hub import Hub, WrongUsage
from flows.line_decisions import Answer, Wanted, decide, revoke
from flows.published import publications, published_rows
from flows.replacements import UNDER
from warehouse.heads import BORDEREAU

if TYPE_CHECKING:
    import polars as pl

    from connectors.answered_workbook import Origin

LINES, FINDINGS, BORDEREAUX = "out_cpam__bordereau_line", "out_cpam__bordereau_finding", "out_cpam__bordereau"

ORDER = {name: place for place, name in enumerate(("ASK", "HOLD", "REDIRECT", "REJECT", "ADJUST", "PAY"))}
"""Lines that wait for somebody come first."""

SHORTEST = 4
"""Characters of a line's id that a decision needs."""


def bordereau(hub: Hub, start: str, until: int | None = None) -> dict[str, Any]:
    """One bordereau as judged: its totals and its lines, those that wait for somebody first.

    By the start of its id or of its delivery's, which status shows, or by the name of its file. One that is not judged, being
    replaced, withdrawn, held or refused, says so under ``told`` and has no ``details``. WrongUsage unless there is exactly one.
    """
    import polars as pl

    if aside := _aside(hub, start.lower(), until):
        return aside
    named = {head.delivery_id: head.scope.rpartition("/")[2] for head in all_heads(hub, until, UNDER).values()}
    start = next((named[delivery] for delivery in named if start and delivery.startswith(start.lower())), start)
    rows = reconciling.rows(hub, BORDEREAUX, until)
    start = _of_file(rows, start, "bordereau_id") or start
    one = reconciling.the_one(rows, "bordereau_id", start, "bordereau")
    lines = reconciling.rows(hub, LINES, until).filter(pl.col("bordereau_id") == one["bordereau_id"][0])
    waiting = pl.col("outcome").replace_strict(ORDER, default=len(ORDER), return_dtype=pl.Int64)
    lines = lines.sort(waiting, "line_number")
    return one.row(0, named=True) | {"details": lines.rows(named=True)}


def _aside(hub: Hub, start: str, until: int | None) -> dict[str, Any] | None:
    """What is known of the one bordereau whose id, or delivery's, starts so, when it does not stand; None otherwise."""
    heads = all_heads(hub, until, UNDER)
    decided = decisions.last_decisions(hub, until, UNDER).values()
    found = [
        (event, heads.get(event.stream))
        for event in decided
        if start and (event.stream.removeprefix(UNDER).startswith(start) or event.data["delivery_id"].startswith(start))
    ]
    if len(found) != 1 or (found[0][1] and not found[0][1].superseded_by):
        return None
    [(event, head)] = found
    data, said = event.data, event.data.get(BORDEREAU, {})
    if head and head.superseded_by:
        other = heads[head.superseded_by]
        told = f"remplacé par {names_of(other.data['received'])} : rien n'y est payable ; « ecluse bordereau "
        told += f"{other.delivery_id[:8]} » montre celui qui le remplace"
    elif verdict_of(event) == "withdrawn":
        told = withdrawal_fr(event)
    else:
        rules = " ; ".join(map(label, data["reasons"]))
        held = f" ; « ecluse waive {data['delivery_id'][:8]} --reason … --until … » le laisse entrer"
        told = f"retenu : {rules}{held}" if data["held"] else f"refusé : {rules}"
    return {
        "bordereau_id": event.stream.removeprefix(UNDER),
        "delivery_id": data["delivery_id"],
        "state": "replaced" if head else verdict_of(event),
        "file": names_of(data["received"]),
        "structure_key": said.get("structure"),
        "received_on": said.get("received_on"),
        "lines": data["rows_accepted"],
        "claimed_cents": said.get("claimed_cents"),
        "told": told,
    }


def line(hub: Hub, start: str, until: int | None = None) -> dict[str, Any]:
    """One line as judged and decided, with every finding about it. WrongUsage unless exactly one.

    By the start of its id, or by its file and its row there: ``msp-2026-03.xlsx:51``.
    """
    import polars as pl

    rows = reconciling.rows(hub, LINES, until)
    file, _, row = start.rpartition(":")
    placed = _of_file(rows.filter(pl.col("row") == int(row)), file, "line_id") if row.isdecimal() else None
    found = reconciling.the_one(rows, "line_id", placed or start, "ligne")
    one = found.sort("live", descending=True).row(0, named=True)
    findings = reconciling.rows(hub, FINDINGS, until).filter(
        pl.col("bordereau_id") == one["bordereau_id"], pl.col("line_number").is_in([0, one["line_number"]])
    )
    return one | {"findings": findings.rows(named=True)}


def _of_file(rows: "pl.DataFrame", file: str, column: str) -> str | None:
    """The id of the one row in force of a file of this name; None unless there is exactly one."""
    import polars as pl

    named = rows.filter(pl.col("live"), pl.col("file").str.to_lowercase() == file.lower())[column].unique()
    return str(named[0]) if len(named) == 1 else None


def decide_line(hub: Hub, start: str, wanted: Wanted) -> Answer:
    """Decide on the line whose id starts so. WrongUsage when it cannot be decided so."""
    lines = reconciling.proposed(hub)
    answer = decide(hub, [replace(wanted, line_id=_named(lines, start))], lines)[0]
    if answer.status == "refused":
        raise WrongUsage(str(answer.message))
    return answer


def revoke_line(hub: Hub, start: str, reason: str, seen: int | None = None) -> Answer:
    """Take back the decision on the line whose id starts so."""
    return revoke(hub, _named(reconciling.proposed(hub), start), reason, seen)


def _named(lines: Iterable[str], start: str) -> str:
    """The one line whose id starts so. WrongUsage for several, for none, and for a start that a slip of the hand could be."""
    if len(start) < SHORTEST:
        raise WrongUsage(f"donnez au moins {SHORTEST} caractères de l'identifiant de la ligne (voir ecluse bordereau)")
    named = [name for name in lines if name.startswith(start.lower())]
    if len(named) != 1:
        raise WrongUsage(f"{len(named) or 'aucune'} ligne dont l'identifiant commence par « {start} » (voir ecluse bordereau)")
    return named[0]


def take_workbook(hub: Hub, path: Path, role: str | None) -> dict[str, Any]:
    """Take the decisions of a filled workbook, whose bytes are kept; says of each row what became of it.

    WrongUsage when it is no workbook that this hub published.
    """
    from connectors.answered_workbook import NotOurs, read_answers
    from connectors.sheets import Unreadable

    try:
        content = path.read_bytes()
        found = read_answers(content, lambda origin: _published(hub, origin))
    except OSError as error:
        raise WrongUsage(f"{path} : {system_error(error)}") from None
    except (NotOurs, Unreadable) as refusal:
        raise WrongUsage(f"{path.name} : {refusal}") from None
    kept = hub.blobs.put_stream(iter([content])).sha256
    wanted = [
        Wanted(row["line_id"], row["decision"], row["reason"], row["amount_cents"], role, row["seen_position"],
               row["seen_outcome"], row["seen_due_cents"], row["cell"])
        for row in found.answers.iter_rows(named=True)
    ]  # fmt: skip
    answers = [answer.as_json() for answer in decide(hub, wanted, reconciling.proposed(hub), kept)] if wanted else []
    wrong = [{"where": one.cell, "status": "refused", "message": one.message_fr, "rule": one.rule} for one in found.problems]
    told = answers + wrong
    counts = {
        status: sum(answer["status"] == status for answer in told) for status in ("taken", "already", "changed", "refused")
    }
    return {
        "recipient": found.origin.recipient,
        "number": found.origin.number,
        "sha256": kept,
        "counts": counts,
        "answers": told,
        "to_fill": _to_fill(found.origin),
    }


def _to_fill(origin: "Origin") -> dict[str, str]:
    """The columns that people fill in a workbook, with what each takes."""
    from contracts_schema.products import product_of
    from warehouse.workbook_answers import to_fill

    tables = {table.name: table for table in product_of(origin.recipient, origin.product).tables}
    answer = tables[origin.table].answer
    return {column.label_fr: told for column, told in zip(answer.columns, to_fill(answer), strict=True)} if answer else {}


def _published(hub: Hub, origin: "Origin") -> "pl.DataFrame | None":
    published = publications(hub, origin.recipient, origin.product)
    made = {event.data["number"]: event for event in published if event.data["log"]["hash"] == origin.log_hash}
    return published_rows(hub, made[origin.number], origin.table) if origin.number in made else None
