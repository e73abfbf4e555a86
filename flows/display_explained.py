"""Where a published row comes from, on the terminal, in French."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from contracts_schema.french import counted, euros
from contracts_schema.rules import label
from flows.display import console, plain
from flows.grids import grid
from warehouse.log import paris


def explained(answer: Mapping[str, Any]) -> None:
    """What ``flows.explanation.explain`` answers: the row, what it rests on, then files and lines, delivery by delivery."""
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
    at = paris(recorded_at)
    return f"{at:%d/%m/%Y}" if at.time() == time.max else f"{at:%d/%m/%Y à %H:%M:%S}"


def _main_segment(delivery: Mapping[str, Any]) -> str:
    segments = delivery["segments"]
    return str(next((segments[name] for name in ("pmsi_rsa", "snp_line") if name in segments), next(iter(segments.values()))))


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
