"""What a person sees on the terminal, in French. Data is shown as plain text: no markup or control character is obeyed."""

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from contracts_schema.french import counted as counted
from contracts_schema.french import euros as euros
from contracts_schema.french import number as number
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.rules import label
from flows import display_status
from flows.deliveries import names_of
from flows.grids import grid as grid

if TYPE_CHECKING:
    import polars as pl

    from flows.arrivals import Arrival
    from flows.building import BuildReport, Rows
    from flows.deliveries import Report
    from flows.explanation import Quarantined
    from flows.publication import PublishReport

STATUS = {
    "accepted": ("acceptée", "green"),
    "already_known": ("déjà connue", "cyan"),
    "held": ("retenue", "yellow"),
    "rejected": ("refusée", "red"),
    "withdrawn": ("retirée", "red"),
}
MOVED = {name: word for name, (word, _) in STATUS.items()} | {"waived": "acceptée par dérogation", "restored": "rétablie"}
ORIGINS_FR = {"argument": "--home", "environment": "environnement", "default": "par défaut"}
SHORT = 8
"""Characters of a delivery's id that are shown: enough to name it to a command."""

HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Characters that a terminal obeys, that turn the direction of text, that show as nothing, or that no encoding can write."""


def plain(text: object) -> str:
    """Text of a file's name or of data on one line, its hidden characters spelt out (``\\x1b``)."""
    return HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text)).replace("\n", "\\n")


def as_json(answer: object) -> str:
    """JSON for programs and terminals alike: hidden characters are escaped, which changes no value."""
    text = json.dumps(answer, ensure_ascii=False, indent=2, default=_exact)
    return HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _exact(value: object) -> object:
    """What JSON has no type for: a whole decimal (DuckDB's sums are) is a number, all else text."""
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else str(value)


def console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[str], Callable[[str, int, int], None]]]:
    """Gives per file a function to tell how far its steps are; shown on a terminal only."""
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip

    def of(name: str) -> Callable[[str, int, int], None]:
        task = shown.add_task(plain(name), total=None)

        def step(what: str, done: int, total: int) -> None:
            shown.update(task, description=f"{plain(name)} · {what}", completed=done, total=max(total, 1))

        return step

    with shown:
        yield of


@contextmanager
def counter(total: int, *, quiet: bool = False) -> "Iterator[Callable[[Arrival, Report], None]]":
    """Gives a function to tell that a delivery is done; a bar of all of them is shown on a terminal only."""
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip
    with shown:
        task = shown.add_task("livraisons", total=total)
        yield lambda one, report: shown.update(task, description=plain(one.name), advance=1)


@contextmanager
def spinner(title: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Gives a function to tell which step is under way; shown on a terminal only."""
    shown = Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), MofNCompleteColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    )  # fmt: skip
    with shown:
        task = shown.add_task(title, total=None)
        yield lambda step: shown.update(task, description=f"{title} · {plain(step)}", advance=1)


def ingested(reports: "Sequence[Report]") -> None:
    out = console()
    table = grid("fichier", "état", "lignes >", "acceptées >", "à l'écart >")
    alone, many = display_status.reports(reports)
    for status, some in many.items():
        word, colour = STATUS[status]
        sums = (
            sum(counts)
            for counts in zip(*((one.rows_in, one.rows_accepted, one.rows_quarantined) for one in some), strict=True)
        )
        table.add_row(counted(len(some), "fichier"), Text(word, colour), *map(number, sums))
    for report in alone:
        word, colour = STATUS[report.status]
        table.add_row(plain(names_of(report.files)), Text(word, colour), number(report.rows_in),
                      number(report.rows_accepted), number(report.rows_quarantined))  # fmt: skip
    out.print(table)
    for report in reports:
        reasons = list(_reasons(report))
        if reasons:
            out.print(Text(plain(names_of(report.files)), STATUS[report.decision or report.status][1]))
            for reason in reasons:
                out.print(f"  {reason}", soft_wrap=True)


def passed_over(names: Sequence[str]) -> None:
    """Files of a folder that were not read, their names being none of a transmission."""
    if names:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        count = counted(len(names), "fichier")
        console().print(Text(f"nom non reconnu, non lu ({count}) : {plain(shown)}", "yellow"), soft_wrap=True)


def status(answer: Mapping[str, Any], *, every: bool = False) -> None:
    """``every``: a line a delivery, however many there are."""
    out = console()
    settings = answer["settings"]
    for name, title in (("home", "hub"), ("database_url", "journal"), ("store_url", "octets"), ("warehouse_url", "tables")):
        origin = ORIGINS_FR.get(settings[name]["from"], settings[name]["from"])
        out.print(f"{title:8} {plain(settings[name]['value'])}  ({origin})", soft_wrap=True)
    if settings["recipients"]:
        out.print(f"pour     {', '.join(one['name'] for one in settings['recipients'])}", soft_wrap=True)
    log = answer["log"]
    out.print(f"position {log['as_of']} sur {log['position']}, empreinte {log['hash'][:16]}…")
    heads = grid("id", "en place", "période >", "lignes >", "à l'écart >", "alertes")
    lines, grouped = display_status.heads(answer["heads"], every=every)
    for delivery, name, *rest in lines:
        heads.add_row(delivery, "\n".join(map(plain, name.split("\n"))), *rest)
    out.print(heads if lines else "Aucune transmission en place.")
    many, alone = display_status.bordereaux(answer["bordereaux"], every=every)
    if many:
        table = grid("bordereaux", "en place >", "remplacés >", "lignes >", "à l'écart >", "réclamé >")
        for name, *counts, cents in many:
            table.add_row(name, *map(number, counts), euros(cents))
        out.print(table)
    if alone:
        _bordereaux(out, alone, answer["bordereaux"])
    if grouped or many:
        out.print("Livraisons nombreuses, par groupes : « --scope DÉBUT » montre celles d'un périmètre, « --all » toutes.",
                  soft_wrap=True)  # fmt: skip
    for entry in answer["held"]:
        out.print(Text.assemble(("retenue", "yellow"), f" {entry['delivery_id'][:SHORT]}  {plain(entry['file'])}"))
        for rule in entry["reasons"]:
            out.print(f"  {label(rule)}", soft_wrap=True)
    for entry in answer["publications"]:
        answer_fr = {"accepted": ", accepté par le destinataire", "refused": ", refusé par le destinataire"}
        made = f"{entry['recipient']}/{entry['product']} n° {entry['number']}{answer_fr.get(entry['answer'], '')}"
        out.print(f"publié   {made} → {plain(entry['folder'])}", soft_wrap=True)


def _bordereaux(out: Console, found: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> None:
    """One line a bordereau, those that others supersede included, named by the start of their delivery's id."""
    ids = {one["scope"]: one["delivery_id"][:SHORT] for one in known}
    ids |= {scope: scope for one in found for scope in (one["superseded_by"], one["replaces"]) if scope and scope not in ids}
    table = grid("id", "bordereau", "lignes >", "à l'écart >", "réclamé >", "état")
    for one in found:
        told = [f"remplacé par {ids[one['superseded_by']]}"] if one["superseded_by"] else ["en place"]
        told += [f"remplace {ids[one['replaces']]}"] if one["replaces"] else []
        told += [*map(label, one["alerts"]), *(["laissé entrer par dérogation"] if one["waived"] else [])]
        ends = [date.fromisoformat(day).strftime("%d/%m/%Y") for day in (one["period_from"], one["period_to"]) if day]
        days = ends[:1] + [f"au {end}" for end in ends[1:]]
        table.add_row(
            one["delivery_id"][:SHORT],
            "\n".join([plain(one["structure"] or "structure non dite"), *days, f"caisse {one['caisse']}", plain(one["file"])]),
            number(one["lines"]),
            number(one["rows_quarantined"]),
            euros(one["claimed_cents"]),
            "\n".join(told),
        )
    out.print(table)


def provisioned(answer: Mapping[str, Any]) -> None:
    out = console()
    for sign, colour, rights in (("+", "green", answer["added"]), ("−", "yellow", answer["removed"])):
        for right in rights:
            told = f" {plain(right['role'])} : {plain(right['what'])} sur {plain(right['on'])}"
            out.print(Text.assemble((sign, colour), told), soft_wrap=True)
    if not answer["added"] and not answer["removed"]:
        out.print("Rien à changer.")
    for name in answer["left"]:
        out.print(f"{plain(name)} n'est plus à un destinataire inscrit : schéma et rôle restent, à supprimer à la main",
                  soft_wrap=True)  # fmt: skip
    parts = [*(["le journal"] if answer["log"] else []), *answer["recipients"]]
    out.print(f"Base {plain(answer['database'])} prête pour {', '.join(parts)}", soft_wrap=True)


def examined(answer: Mapping[str, Any]) -> None:
    out = console()
    for finding in answer["findings"]:
        word, colour = ("refusé", "red") if finding["refused"] else ("à savoir", "yellow")
        out.print(Text.assemble((word, colour), f"  {finding['subject']} : {plain(finding['problem'])}"), soft_wrap=True)
        out.print(f"  → {plain(finding['remedy'])}", soft_wrap=True)
    looked = ", ".join(answer["looked_at"])
    out.print(
        f"Vu : {looked}.", "Rien de dangereux." if answer["sound"] else "À corriger avant de s'en servir.", soft_wrap=True
    )


def quarantine(found: "Sequence[Quarantined]", limit: int) -> None:
    out = console()
    if not found:
        out.print("Aucune ligne à l'écart.")
    for entry in found:
        word, colour = STATUS[entry.status]
        out.print(Text.assemble(plain(entry.file), "  ", (word, colour), f"  {counted(entry.lines.height, 'ligne')} à l'écart"))
        table = grid("famille", "ligne >", "règle", "ce qui ne va pas", "champs")
        for line in entry.lines.head(limit).iter_rows(named=True):
            table.add_row(
                line["family"], str(line["line_number"]), line["rule"], label(line["rule"]), ", ".join(line["fields"])
            )
        out.print(table)
        if entry.lines.height > limit:
            out.print(f"… et {counted(entry.lines.height - limit, 'autre')} (--limit, --json)\n")


MONTHS = {
    "accepted": ("✓", "green", "reçu"),
    "held": ("R", "yellow", "retenu"),
    "rejected": ("X", "red", "refusé"),
    "withdrawn": ("←", "red", "retiré"),
    "missing": ("—", "red", "manque"),
    "not_expected": ("·", "dim", "pas attendu"),
}
EXPECTED_BY = {"list": "liste", "settings": "réglages", "received": "reçus"}


def missing(answer: Mapping[str, Any]) -> None:
    out = console()
    titles = " ".join(f"{month:02d}" for month in range(1, answer["month"] + 1))
    table = grid("établissement", f"{titles} >", "à jour", "selon", "sans")
    for row in answer["establishments"]:
        covered = Text("oui", "green") if row["covered"] else Text("non", "red")
        signs = (Text(f"{MONTHS[state][0]:>2}", MONTHS[state][1]) for state in row["months"].values())
        by = EXPECTED_BY[row["expected_by"]]
        table.add_row(row["finess"], Text(" ", no_wrap=True).join(signs), covered, by, ", ".join(row["lacking"]))
    out.print(f"Transmissions {answer['year']} attendues jusqu'au mois {answer['month']}")
    out.print(table)
    seen = {state for row in answer["establishments"] for state in row["months"].values()}
    out.print("   ".join(f"{sign} {word}" for state, (sign, _, word) in MONTHS.items() if state in seen))
    out.print("selon : la liste d'une ARS, les réglages, ou ce qui a été reçu cette année ou la précédente")
    if any(row["lacking"] for row in answer["establishments"]):
        out.print("sans : familles de fichiers absentes, ou vides, de la transmission en place")
    out.print(f"{counted(answer['missing'], 'établissement')} en retard sur {number(len(answer['establishments']))}.")


def reject_report(lines: Sequence[Mapping[str, Any]], output: Path | None, most: int = 20) -> None:
    out = console()
    if not lines:
        out.print(
            "Rien à dire à l'émetteur : aucune ligne à l'écart, rien ne retient ni ne refuse la livraison.", soft_wrap=True
        )
    for line in lines[:most]:
        where = f"{plain(line['fichier'])}" + (f", ligne {line['ligne']}" if line["ligne"] else "")
        out.print(f"{where} : {line['libelle']}" + (f" ({line['champs']})" if line["champs"] else ""), soft_wrap=True)
    if len(lines) > most:
        out.print(f"… et {counted(len(lines) - most, 'autre')}")
    if output:
        out.print(f"{counted(len(lines), 'ligne écrite', 'lignes écrites')} dans {plain(output)}")


def built(report: "BuildReport") -> None:
    out = console()
    if not report.heads:
        out.print("Rien à construire : aucune transmission acceptée.")
    elif not report.built:
        heads = counted(report.heads, "livraison")
        out.print(f"Rien n'a changé : {counted(len(report.views), 'vue')} à jour pour {heads} en place.")
    else:
        table = grid("vue", "fichiers >", "calculés >")
        for name, view in report.views.items():
            table.add_row(name, str(view["files"]), str(view["built"]))
        out.print(table)


PUBLISHED = {
    "published": ("publié", "green"),
    "unchanged": ("inchangé", "cyan"),
    "refused": ("refusé par la barrière des tables", "red"),
    "recreated": ("recréé", "green"),
}


def published(reports: "Sequence[PublishReport]") -> None:
    out = console()
    for report in reports:
        rows = ", ".join(f"{name} {counted(count, 'ligne')}" for name, count in report.rows.items())
        masked = sum(report.masked_rows.values())
        out.print(Text.assemble(f"{report.recipient}/{report.product} n° {report.number} ", PUBLISHED[report.status]))
        for breach in report.breaches:
            out.print(Text(f"  {breach['table']} : {plain(breach['label_fr'])}", "red"), soft_wrap=True)
        out.print(f"  {rows}" + (f", dont {number(masked)} où un petit effectif est masqué" if masked else ""), soft_wrap=True)
        out.print(f"  {plain(report.folder)}", soft_wrap=True)
        out.print(f"  reçu : journal à la position {report.position}, empreinte {report.hash[:16]}…", soft_wrap=True)
        if report.status == "recreated":
            same = (
                f"octet pour octet la publication n° {report.known_as}" if report.known_as else "jamais publié sous cette forme"
            )
            out.print(f"  {same}")


def explained(answer: Mapping[str, Any]) -> None:
    out = console()
    publication = answer["publication"]
    out.print(
        f"{publication['recipient']}/{publication['product']} n° {publication['number']}, "
        f"publié le {_instant(publication['published_at'])}, journal à la position {publication['log_position']}"
    )
    row = grid("colonne", "valeur publiée")
    for name, value in answer["row"].items():
        row.add_row(name, "" if value is None else _published(name, value))
    out.print(row)
    if answer["row"].get("masked"):
        told = "Vide : masqué, étant un petit effectif ou ce qui en ferait connaître un. Les nombres de lignes qui suivent sont"
        out.print(f"{told} d'avant masquage : ne pas les diffuser.", soft_wrap=True)
    for one in answer["basis"]:
        out.print(f"{' ' * 2 * (1 + one.get('depth', 0))}{plain(one['text'])}", soft_wrap=True)
    for delivery in answer["deliveries"]:
        file = next((file for file in delivery["files"] if file["family"] == "rsa"), delivery["files"][0])
        out.print(f"{plain(file['name'])}  sha256 {file['sha256']}", soft_wrap=True)
        received, accepted = delivery["received"], delivery["accepted"]
        when = f"{_instant(received['stated'])} (déclaré)" if received["stated"] else _instant(received["at"])
        out.print(f"  reçu le {when} par {plain(received['by'])} (position {received['position']}),")
        out.print(f"  accepté à la position {accepted['position']}, segment {_main_segment(delivery)[:16]}…")
        if delivery["uid"]:
            out.print(f"  UID du traitement : {plain(delivery['uid'])}", soft_wrap=True)
        if waiver := delivery["waiver"]:
            out.print(f"  retenu, puis laissé entrer par {plain(waiver['by'])} (position {waiver['position']}, jusqu'au "
                      f"{waiver['until']}) : {plain(waiver['reason'])}", soft_wrap=True)  # fmt: skip
            for rule in waiver["value"]:
                out.print(f"    malgré : {label(rule)}", soft_wrap=True)
        if not delivery["measures"] and not answer["basis"]:
            out.print("  aucune ligne du fichier ne compte ici")
        for measures, found in _same_lines(delivery["measures"]):
            lines = counted(found["lines"], "ligne")
            where = f" : {_ranges(found['ranges'])}" if found["ranges"] else ""
            out.print(f"  {measures} : {lines} du fichier{where}", soft_wrap=True)


def _published(name: str, value: object) -> str:
    """A published value as people read it: an amount in euros, a yes or a no, a day."""
    if name.endswith("_cents") and isinstance(value, int):
        return euros(value)
    if isinstance(value, bool):
        return "oui" if value else "non"
    return f"{value:%d/%m/%Y}" if isinstance(value, date) and not isinstance(value, datetime) else plain(value)


def _instant(recorded_at: str) -> str:
    """An instant on the clocks of Paris; the end of a day, which is how a day is stated, as that day."""
    from flows.hub import PARIS

    at = datetime.fromisoformat(recorded_at).astimezone(PARIS)
    return f"{at:%d/%m/%Y}" if at.time() == time.max else f"{at:%d/%m/%Y à %H:%M:%S}"


def _main_segment(delivery: Mapping[str, Any]) -> str:
    segments = delivery["segments"]
    return str(next((segments[name] for name in ("pmsi_rsa", "snp_line") if name in segments), next(iter(segments.values()))))


def rows(found: "Rows", output: Path | None, *, in_json: bool) -> None:
    """Show rows as a table; or as JSON, there or in a file."""
    if not in_json:
        table = grid(*map(plain, found.columns))
        for line in found.content:
            table.add_row(*("" if value is None else plain(value) for value in line))
        console().print(table)
        return
    _put(as_json([dict(zip(found.columns, map(_finite, line), strict=True)) for line in found.content]) + "\n", output)


def frame(rows: "pl.DataFrame", output: Path | None, *, in_parquet: bool) -> None:
    """Write rows as csv, or as parquet."""
    from polars.exceptions import ComputeError

    from flows.hub import WrongUsage

    if not in_parquet:
        try:
            _put(rows.write_csv(), output)
        except ComputeError:
            raise WrongUsage("une colonne composée ne s'écrit pas en csv : choisissez --format json ou parquet") from None
    elif output is None:
        raise WrongUsage("le format parquet s'écrit dans un fichier : ajoutez --output FICHIER")
    else:
        rows.write_parquet(output)


def _put(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _finite(value: object) -> object:
    """Without NaN and infinities, which JSON cannot say."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def difference(answer: Mapping[str, Any], limit: int) -> None:
    """Moves of heads, rows per scope, then changed figures with what each move contributed."""
    out = console()
    out.print(f"De la position {answer['before']} à la position {answer['after']} du journal.")
    if not answer["moves"]:
        out.print("Aucune transmission en place n'a changé.")
        return
    moves = grid("position >", "ce qui a changé", "transmission")
    for move in answer["moves"]:
        moves.add_row(str(move["position"]), f"{move['scope']}\n{MOVED[move['outcome']]}", plain(", ".join(move["files"])))
    out.print(moves)
    for scope in answer["scopes"]:
        ends = (_named(scope[end]) for end in ("before", "after"))
        out.print(f"{scope['scope']} : {' → '.join(ends)}", soft_wrap=True)
        _rows_changed(out, scope["tables"])
    _figures_changed(out, answer["figures"], limit)


def _named(stood: Mapping[str, Any] | None) -> str:
    if not stood:
        return "rien"
    return plain(", ".join(stood["files"])) + (f" (mois {stood['period']})" if stood["period"] else "")


def _rows_changed(out: Console, tables: Sequence[Mapping[str, Any]]) -> None:
    shown = grid("lignes", "avant >", "retirées >", "inchangées >", "ajoutées >", "après >")
    for table in tables:
        counts = (number(table[name]) for name in ("before", "removed", "unchanged", "added", "after"))
        shown.add_row(table["table"], *counts)
    out.print(shown)
    for table in tables:
        months = (f"{month} : {of['removed']}/{of['added']}" for month, of in table["by_exit_month"].items())
        if table["by_exit_month"]:
            out.print(f"  {table['table']}, retirées/ajoutées par mois de sortie : {', '.join(months)}")
        if table["not_compared"]:
            out.print(
                f"  {table['table']} comparée sans les champs qu'un des formats n'a pas : {', '.join(table['not_compared'])}"
            )


def _figures_changed(out: Console, figures: Sequence[Mapping[str, Any]], limit: int) -> None:
    told = counted(len(figures), "chiffre changé", "chiffres changés")
    out.print(f"\n{told}, avant masquage ; apport de chaque mouvement, par position")
    for name, of_table in _grouped(figures, lambda figure: f"{figure['product']} {figure['table']}").items():
        rows = _grouped(of_table, lambda figure: " ".join(f"{key}={plain(value)}" for key, value in figure["keys"].items()))
        for keys, changed in list(rows.items())[:limit]:
            out.print(f"\n{name} {keys}", soft_wrap=True)
            table = Table.grid(padding=(0, 2))
            for width, justify in ((20, "left"), (9, "right"), (9, "right"), (9, "right"), (0, "left")):
                table.add_column(min_width=width, justify=justify)  # type: ignore[arg-type]
            for figure in changed:
                parts = "\n".join(f"{signed(part['contribution'])} en {part['position']}" for part in figure["parts"])
                table.add_row(f"  {figure['figure']}", _value(figure["before"]), _value(figure["after"]),
                              signed(figure["change"]), parts)  # fmt: skip
            out.print(table)
        if len(rows) > limit:
            out.print(f"… et {counted(len(rows) - limit, 'autre ligne', 'autres lignes')} de {name} (--limit, --json)")


def _grouped(
    figures: Sequence[Mapping[str, Any]], by: Callable[[Mapping[str, Any]], str]
) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for figure in figures:
        groups.setdefault(by(figure), []).append(figure)
    return groups


def _value(value: int | Decimal | None) -> str:
    if value is None:
        return "—"
    return number(value) if isinstance(value, int) else str(value).replace(".", ",")


def signed(value: int | Decimal) -> str:
    """A change, with its sign."""
    return f"−{_value(-value)}" if value < 0 else f"+{_value(value)}"


def verified(answer: Mapping[str, Any]) -> None:
    out = console()
    checked = answer["checked"]
    out.print(
        f"{counted(checked['events'], 'événement')}, {counted(checked['raw'], 'fichier reçu', 'fichiers reçus')}, "
        f"{counted(checked['segments'], 'segment')}, {counted(checked['publications'], 'publication')} vérifiés"
    )
    for problem in answer["problems"]:
        out.print(Text(plain(problem), "red"))
    problems = counted(len(answer["problems"]), "anomalie")
    verdict = Text("Tout est intact.", "green") if answer["sound"] else Text(f"{problems}.", "red")
    out.print(verdict)
    out.print(f"reçu : position {answer['log']['position']}, empreinte {answer['log']['hash']}", soft_wrap=True)


def receipt(answer: Mapping[str, Any]) -> None:
    """Whether a receipt is proved, and what is wrong with it."""
    out = console()
    made, held, log = answer["publication"], answer["receipt"], answer["log"]
    out.print(f"reçu de {made['recipient']}/{made['product']} n° {made['number']} : journal à la position {held['position']}")
    for problem in answer["problems"]:
        out.print(Text(plain(problem), "red"))
    if answer["sound"]:
        out.print(Text(f"Prouvé : rien n'a été altéré jusqu'à la position {log['position']}.", "green"))
    else:
        out.print(Text("Ce reçu n'est pas prouvé.", "red"))
    if answer["chain"]:
        out.print(f"maillons : {answer['chain']}", soft_wrap=True)


def law(answer: Mapping[str, Any], output: Path | None) -> None:
    from flows.law_shown import gathered

    out = console()
    if output:
        lacking = f", et {number(len(answer['missing']))} à compléter" if answer["missing"] else ""
        out.print(f"{counted(len(answer['values']), 'valeur écrite', 'valeurs écrites')} dans {plain(output)}{lacking}")
        return
    table = grid("paramètre", "pour", "du", "au (exclu)", "valeur >", "statut", "référence")
    for one in gathered(answer["values"]):
        what = one["parameter"] + (f" {one['name']}" if one["name"] else "")
        firm, colour = ("ferme", "green") if one["firm"] else ("sous réserve", "yellow")
        amount = euros(one["value"]) if one["kind"] == "cents" else str(one["value"])
        days = (f"{day:%d/%m/%Y}" if day else "" for day in (one["valid_from"], one["valid_to"]))
        status = Text(f"{firm} ({STATUSES_FR[one['status']]})", colour)
        decided = f" (décision {one['position']})" if one["position"] else ""
        table.add_row(what, one["dimensions"], *days, amount, status, Text(plain(one["reference"]) + decided))
    out.print(table)
    for lack in gathered(answer["missing"]):
        out.print(Text(f"manque : {lack['parameter']} {lack['dimensions']} ({lack['why']}{_days(lack)})"))
    for one in answer["decisions"]:
        out.print(Text(plain(_attested(one)), "dim" if one["withdrawn"] else ""), soft_wrap=True)
    if answer["policies"]:
        table = grid("politique", "ce qu'elle règle", "valeur", "par défaut", "décision")
        for one in answer["policies"]:
            default = "" if one["value"] == one["default"] else one["default"]
            table.add_row(one["policy"], one["label_fr"], one["value"], default, str(one["position"] or ""))
        out.print(table)
    for one in answer["aliases"]:
        out.print(Text(plain(f"lien : {one['from_key']} se lit {one['to_key']} (décision {one['position']})")))
    for told in answer["to_review"]:
        out.print(told)


def _days(lack: Mapping[str, Any]) -> str:
    start, end = lack["valid_from"], lack["valid_to"]
    return (f", depuis le {start:%d/%m/%Y}" if start else "") + (f", avant le {end:%d/%m/%Y}" if end else "")


def _day_of(recorded_at: str) -> str:
    """The day in Paris of an instant of the log."""
    from flows.hub import PARIS

    return f"{datetime.fromisoformat(recorded_at).astimezone(PARIS):%d/%m/%Y}"


def _attested(one: Mapping[str, Any]) -> str:
    """A decision: what, when, by whom, why; and how it was withdrawn, or can be."""
    who = f"{one['role']} (compte {one['actor']})"
    values = counted(one["values"], "valeur")
    told = f"décision {one['position']} du {_day_of(one['recorded_at'])} : {values} de {one['subject']}, par {who}"
    told += f", motif : {one['reason']}" if one["reason"] else ""
    gone = one["withdrawn"]
    if not gone:
        return f"{told} ; se retire par ecluse attest --withdraw {one['position']}"
    return f"{told} ; retirée le {_day_of(gone['recorded_at'])} par le compte {gone['actor']} : {gone['reason']}"


def _reasons(report: "Report") -> Iterator[str]:
    if report.message:
        yield plain(report.message)
    else:
        yield from map(label, report.reasons)
    yield from (f"alerte : {label(alert)}" for alert in report.alerts)
    yield from map(plain, report.notes)
    for rule, count in report.rules.items():
        yield f"{label(rule)} ({number(count)})"


def _same_lines(measures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Measures that rest on the same lines, told together."""
    together: dict[str, tuple[str, Any]] = {}
    for name, found in measures.items():
        names = together[str(found)][0] + ", " + name if str(found) in together else name
        together[str(found)] = (names, found)
    return list(together.values())


def _ranges(ranges: Sequence[Sequence[int]], most: int = 12) -> str:
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges[:most])
    return shown + (f" … ({len(ranges)} intervalles, --json les donne tous)" if len(ranges) > most else "")
