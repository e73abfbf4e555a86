"""The frames of e-CARS and of the CPOM: columns and types, said once for what reads files and for what judges them.

Must never hold a row. Polars is imported when a schema is asked for: the command line reads names without it.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

FRAMES: dict[str, dict[str, str]] = {
    # --- what an export says, as read
    "sheet": {
        "sheet_id": "text", "file": "text", "sha256": "text", "sheet": "text", "campaign": "text", "annex": "text",
        "finess_raw": "text", "finess_ej": "text", "finess_cell": "text", "finess_padded": "flag", "legal_name": "text",
        "name_cell": "text", "synthesis_raw": "text", "synthesis_on": "day", "synthesis_cell": "text",
        "has_comments": "flag", "hidden": "flag", "received_on": "day", "rows_read": "count", "rows_skipped": "count",
        "skipped": "text",
    },
    "row": {
        "sheet_id": "text", "row": "count", "line_code": "text", "objective_code": "text", "code": "text", "label": "text",
        "objective_label": "text", "comment": "text", "code_cell": "text", "label_raw": "text", "date_in_code": "flag",
        "hidden": "flag", "chosen": "flag",
    },
    "value": {
        "sheet_id": "text", "row": "count", "code": "text", "year": "count", "role": "text", "cell": "text", "text": "text",
        "kind": "text", "number_format": "text", "number": "number", "leading": "number", "percent": "text",
        "yes_no": "flag", "missing": "text", "error": "flag",
    },
    "financial_line": {
        "sheet_id": "text", "envelope": "text", "code": "text", "label": "text", "amount_cents": "cents", "amount_raw": "text",
        "cell": "text", "is_total": "flag", "error": "flag", "base_on": "day",
    },
    "recognition": {
        "sheet_id": "text", "finess_ej": "text", "row": "count", "establishment": "text", "label": "text", "modality": "text",
        "capacity_raw": "text", "capacity": "count", "without_capacity": "flag", "effect_raw": "text", "effective_on": "day",
        "evaluation": "text", "recognition_id": "text", "cell": "text",
    },
    # --- references and follow-up (contracts_schema/cpom/tables.yaml)
    "legal_entity": {"finess_ej": "text", "legal_name": "text", "valid_from": "day", "valid_to": "day"},
    "establishment": {"finess_et": "text", "finess_ej": "text", "valid_from": "day", "valid_to": "day"},
    "hospital_group": {"finess_ej": "text", "hospital_group": "text", "valid_from": "day", "valid_to": "day"},
    "hpr_label": {"finess_ej": "text", "valid_from": "day", "valid_to": "day"},
    "authorisation": {"finess_et": "text", "activity": "text", "valid_from": "day", "valid_to": "day"},
    "activity": {
        "finess_ej": "text", "activity": "text", "present": "flag", "valid_from": "day", "valid_to": "day", "source": "text",
    },
    "entry": {"finess_ej": "text", "annex": "text", "code": "text", "chosen": "flag", "entered_at": "instant"},
    "validated_choice": {"finess_ej": "text", "annex": "text", "code": "text", "validated_on": "day", "reference": "text"},
    "amendment": {
        "amendment_id": "text", "finess_ej": "text", "annex": "text", "signed_on": "day", "effective_on": "day",
        "subject": "text",
    },
    "smr_base": {
        "finess_ej": "text", "year": "count", "base_cents": "cents", "definition": "text", "amount_cents": "cents",
        "source": "text",
    },
    "emergency_region": {"year": "count", "part": "text", "amount_cents": "cents", "source": "text", "region": "text"},
    "expected_contract": {"finess_ej": "text", "legal_name": "text", "source": "text"},
    "subsidy": {
        "subsidy_id": "text", "finess_ej": "text", "fund": "text", "payment_mode": "text", "notified_on": "day",
        "amount_cents": "cents", "amendment_id": "text", "documents_sent_on": "day",
    },
    "payment": {"subsidy_id": "text", "paid_on": "day", "paid_cents": "cents", "payer": "text"},
    "refund_request": {"subsidy_id": "text", "asked_on": "day", "requested_cents": "cents", "channel": "text"},
    "recognition_report": {
        "recognition_id": "text", "finess_ej": "text", "data_year": "count", "due_on": "day", "received_on": "day",
    },
    "profile": {"finess_ej": "text", "profile": "text", "valid_from": "day", "valid_to": "day", "source": "text"},
    "annex": {"finess_ej": "text", "annex": "text", "signed_on": "day", "effective_on": "day"},
    "signatory": {"finess_ej": "text", "annex": "text", "role": "text", "signed_on": "day"},
    "insurance_income": {
        "finess_ej": "text", "year": "count", "income_cents": "cents", "closed": "flag", "source": "text",
    },
    "notice_event": {
        "procedure_id": "text", "finess_ej": "text", "nature": "text", "event": "text", "happened_on": "day",
        "received_on": "day", "amount_cents": "cents",
    },
    "contract_event": {"finess_ej": "text", "event": "text", "happened_on": "day"},
    "contract_post": {
        "post_id": "text", "finess_ej": "text", "started_on": "day", "renewed_on": "day", "ended_on": "day",
    },
    "long_term_account": {
        "finess_ej": "text", "year": "count", "document": "text", "due_on": "day", "received_on": "day",
    },
}  # fmt: skip
"""Name of a frame → column → kind.

- ``sheet``: one logical sheet (a title block); ``annex`` STRAT, HPR, FINANCE or RECOGNITION. ``finess_ej``: normalised, even
  when malformed; ``synthesis_on``: null when not printed as a day. ``skipped``: JSON, reason → rows.
- ``row``: the (sheet, indicator) line; ``code`` as printed (``CT_02_1_1``, ``1_1``), null when none could be read; ``chosen``:
  at least one non-empty value.
- ``value``: one non-empty cell; ``role`` INITIALE, CIBLE or REALISE; ``text`` as stored; ``number`` what the text says;
  ``percent`` how a rate is marked: ``sign`` (% in the text: number is in points), ``format`` (% format of the cell: number is a
  fraction of 1) or null; ``leading``: a number at the head of a longer text; ``missing``: NC, ND, NR, TIRET or FORMULE.
- ``financial_line.is_total``: the printed total of its envelope. ``valid_to``: first day on which it holds no more.
"""


@cache
def schema(name: str) -> "pl.Schema":
    """Columns and types of a frame. ``count`` Int64, ``cents`` Int64, ``number`` Decimal(20, 6), ``instant`` UTC."""
    import polars as pl

    types: dict[str, pl.DataType] = {
        "text": pl.String(),
        "day": pl.Date(),
        "count": pl.Int64(),
        "cents": pl.Int64(),
        "flag": pl.Boolean(),
        "number": pl.Decimal(20, 6),
        "instant": pl.Datetime("us", "UTC"),
    }
    return pl.Schema({column: types[kind] for column, kind in FRAMES[name].items()})
