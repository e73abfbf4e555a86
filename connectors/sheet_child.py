"""The child process that reads one spreadsheet: its limits first, then bytes in, cells out.

Started by ``connectors.sheets`` with the dialect as its argument and the file on standard input; answers on standard output
with the cells, or with the rule and the French reason of a refusal. It never lets a traceback out: it could hold a value.
"""

import json
import resource
import sys

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 60


def limit() -> None:
    """At most 1 GiB of address space and a minute of processor; no core file, no file written."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    """Reads standard input, answers on standard output."""
    limit()
    from connectors import sheet_cells
    from connectors.sheet_archive import FL1, FL2, Unreadable
    from connectors.sheet_reading import read

    out = sys.stdout.buffer
    try:
        for part in sheet_cells.encode(read(sys.stdin.buffer.read(), json.loads(sys.argv[1]))):
            out.write(part)
    except Unreadable as refusal:
        answer(refusal.rule, str(refusal))
    except MemoryError:
        answer(FL1, "la lecture dépasse la mémoire permise : fichier piégé ?")
    except Exception:
        answer(FL2, "contenu illisible : à enregistrer de nouveau en XLSX, ODS ou CSV")


def answer(rule: str, message_fr: str) -> None:
    """The refusal, as one line of JSON."""
    sys.stdout.buffer.write(json.dumps({"refused": [rule, message_fr]}).encode() + b"\n")


if __name__ == "__main__":
    main()
