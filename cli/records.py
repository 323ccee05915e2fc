"""How records and rows are shown to people: pure text from dictionaries that any program may have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.moments import unix_of

_SECOND = 19  # characters of an ISO time up to its seconds


def ended_at(record: Mapping[str, Any]) -> str:
    """When a job ended, to the second and without its zone (all are UTC); `-` when the record does not say."""
    value = record.get("completed_at") or record.get("failed_at")
    if isinstance(value, str) and unix_of(value) is not None:
        return value[:_SECOND].replace("T", " ")
    return "-"


def audio_of(record: Mapping[str, Any]) -> str:
    """Seconds of audio; `-` when there is none."""
    value = record.get("audio_seconds")
    return f"{value:.1f} s" if isinstance(value, int | float) and not isinstance(value, bool) else "-"


def detail(record: Mapping[str, Any]) -> str:
    """What one wants to know first: where the audio is, or what went wrong, or where the job is held."""
    if record.get("status") == "done":
        return place_of(record.get("outputs")) or str(record.get("output_name") or "-")
    if record.get("error_type") or record.get("error"):
        return ": ".join(str(part) for part in (record.get("error_type"), record.get("error")) if part)
    return str(record.get("reason") or "-")


def place_of(outputs: object) -> str:
    """Where the best take (or else the first) is."""
    if not isinstance(outputs, Mapping):
        return ""
    takes = outputs.get("takes")
    for one in (outputs.get("best"), takes[0] if isinstance(takes, list) and takes else None):
        if isinstance(one, str):
            return one
        if isinstance(one, Mapping):
            found = next((one[key] for key in ("url", "uri", "path", "key") if isinstance(one.get(key), str)), "")
            if found:
                return str(found)
    return ""


def lines_of(record: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return `key: value` lines of a whole record; objects nest, lists of plain values stay on one line."""
    import json

    from cli.render import clean

    lines = []
    for key, value in record.items():
        name = clean(key)
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", *lines_of(value, indent + "  ")]
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            lines.append(f"{indent}{name}:")
            for one in value:
                shown = lines_of(one, "") if isinstance(one, Mapping) else [clean(one)]
                lines += [f"{indent}  - {', '.join(line.strip() for line in shown)}"]
        elif value is None or value in ("", {}, []):
            lines.append(f"{indent}{name}: -")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{indent}{name}: {clean(text)}")
    return lines
