"""Defects of synthetic RSA lines, each known by a name: what transmissions really arrive with."""

from collections.abc import Callable, Mapping

from connectors.synthetic import fictional_finess
from contracts_schema.layouts import Layout, layouts


def damage(lines: list[bytes], plan: Mapping[int, str]) -> list[bytes]:
    """The lines with the named defects of ``DEFECTS`` at the given indexes; some defects add a line after their own."""
    parts = (DEFECTS[plan[index]](line) if index in plan else [line] for index, line in enumerate(lines))
    return [line for part in parts for line in part]


def _layout_of(line: bytes) -> Layout:
    return next(layout for layout in layouts("MCO", "RSA").values() if _version(line, layout) == layout.version)


def _version(line: bytes, layout: Layout) -> str:
    at = layout.detect_offset or 0
    return line[at : at + len(layout.version)].decode("latin-1")


def _over(line: bytes, offset: int, new: bytes) -> bytes:
    return line[:offset] + new + line[offset + len(new) :]


def _set(line: bytes, name: str, text: str) -> bytes:
    field = _layout_of(line).field(name)
    return _over(line, field.offset, text.rjust(field.length).encode("latin-1"))


def _in_filler(line: bytes, new: bytes, replaced: int = 1) -> bytes:
    filler = next(field for field in reversed(_layout_of(line).fields) if field.is_filler)
    return line[: filler.offset] + new + line[filler.offset + replaced :]


def _one_more_act_in_the_first_rum(line: bytes) -> bytes:
    layout, offset = _layout_of(line), 0
    for zone in layout.zones:
        if zone.name == "rum":
            field = next(field for field in zone.fields if field.name == "rum_act_count")
            at = layout.fixed_length + offset + field.offset
            return _over(line, at, b"%0*d" % (field.length, int(line[at : at + field.length]) + 1))
        count = layout.field(zone.count_field)
        offset += zone.width * int(line[count.offset : count.offset + count.length])
    raise LookupError("layout without RUM")


DEFECTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "control_byte": lambda line: [_in_filler(line, b"\x07")],
    "unknown_format": lambda line: [_set(line, "format_version", "230")],
    "cut_in_fixed_part": lambda line: [line[: _layout_of(line).fixed_length - 30]],
    "cut_in_variable_part": lambda line: [line[:-25]],
    "blanks_stripped": lambda line: [line[:-1].rstrip(b" ")],
    "extra_bytes": lambda line: [line + b"XYZ"],
    "extra_blanks": lambda line: [line + b"   "],
    "other_finess": lambda line: [_set(line, "finess", fictional_finess("99", 999_999))],
    "count_not_numeric": lambda line: [_set(line, "das_count", "0A")],
    "sum_mismatch": lambda line: [_one_more_act_in_the_first_rum(line)],
    "month_13": lambda line: [_set(line, "exit_month", "13")],
    "age_a5": lambda line: [_set(line, "age_years", "A5")],
    "same_line_twice": lambda line: [line, line],
    "same_record_number": lambda line: [line, _set(line, "sex", "3")],
    # the line must not end with a blank, or the byte too many would be one
    "e_acute_in_utf8": lambda line: [_in_filler(_over(line, len(line) - 1, b"1"), "é".encode())],
    "e_acute_in_latin1": lambda line: [_in_filler(line, "é".encode("latin-1"))],
    "quote": lambda line: [_in_filler(line, b'"')],
    "comma": lambda line: [_in_filler(line, b",")],
    "blank_line_after": lambda line: [line, b""],
    "line_of_spaces_after": lambda line: [line, b" \t  "],
    "end_of_file_mark_after": lambda line: [line, b"\x1a"],
    "end_of_file_mark_in_line": lambda line: [line + b"\x1a"],
    "byte_order_mark": lambda line: [b"\xef\xbb\xbf" + line],
}
