"""Properties of normalize_job_spec and content_hash over generated jobs."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InputError
from lib.jobqueue.spec import DEFAULTS, JobSpec, content_hash, normalize_job_spec

PLAIN = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), max_size=30)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=10,
)
GOOD = st.fixed_dictionaries(
    {
        "output_name": st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9-]{1,8}){0,3}", fullmatch=True).map(
            lambda name: "o" + name
        ),
        "voice": st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True),
        "text": PLAIN.filter(lambda text: bool(text.strip())),
    },
    optional={
        "language": PLAIN,
        "tone": PLAIN | st.none(),
        "instruct": PLAIN,
        "profile": PLAIN,
        "variants": st.integers(1, 99),
        "select_best": st.booleans(),
        "chunk": st.booleans() | st.none(),
        "temperature": st.floats(0, 1e300) | st.integers(0, 100),
        "top_p": st.floats(0, 1, exclude_min=True) | st.just(1),
        "repetition_penalty": st.floats(0, 1e300, exclude_min=True) | st.integers(1, 5),
        "max_new_tokens": st.integers(1, 2**31 - 1),
        "callback_data": st.dictionaries(PLAIN, JSON, max_size=3),
        "attempt": st.integers(0, 1000),
    },
)
ANYTHING = st.dictionaries(
    st.sampled_from(list(DEFAULTS)) | st.text(max_size=10),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
        ),
        max_leaves=8,
    ),
)


@given(GOOD)
def test_normalising_twice_changes_nothing(raw: dict[str, object]) -> None:
    spec = normalize_job_spec(raw, strict=True)
    assert normalize_job_spec(spec, strict=True) == spec
    assert normalize_job_spec(spec, strict=False) == spec


@given(GOOD, st.randoms())
def test_the_order_of_fields_does_not_matter(raw: dict[str, object], random: object) -> None:
    spec = normalize_job_spec(raw, strict=True)
    items = list(spec.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert content_hash(dict(items)) == content_hash(spec)
    shuffled = list(raw.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert normalize_job_spec(dict(shuffled), strict=True) == spec


@given(GOOD)
def test_the_hash_equals_a_reference_written_apart(raw: dict[str, object]) -> None:
    spec = normalize_job_spec(raw, strict=True)
    assert content_hash(spec) == reference_hash(dict(spec))


@given(GOOD)
def test_a_normalised_job_survives_json(raw: dict[str, object]) -> None:
    spec = normalize_job_spec(raw, strict=True)
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec


@given(ANYTHING, st.booleans())
def test_whatever_comes_in_a_job_or_a_clear_refusal_comes_out(raw: dict[str, object], strict: bool) -> None:
    spec, problems = outcome(raw, strict=strict)
    if spec is None:
        assert problems
        assert all(line and "\n" not in line for line in problems)
    else:
        json.dumps({field: spec[field] for field in DEFAULTS}, allow_nan=False).encode()  # type: ignore[literal-required]
        content_hash(spec)


REFERENCE_ORDER = (
    *("chunk", "instruct", "instruct_style", "language", "max_new_tokens", "profile", "repetition_penalty"),
    *("select_best", "speaker", "temperature", "text", "tone", "top_p", "variants", "voice"),
)


def outcome(raw: dict[str, object], *, strict: bool) -> tuple[JobSpec | None, list[str]]:
    try:
        return normalize_job_spec(raw, strict=strict), []
    except InputError as error:
        return None, error.problems


def reference_hash(spec: dict[str, object]) -> str:
    """Canonical JSON written by hand: keys in alphabetical order, ASCII only."""
    parts = []
    for name in REFERENCE_ORDER:
        value = spec[name]
        if value is None:
            written = "null"
        elif isinstance(value, bool):
            written = "true" if value else "false"
        elif isinstance(value, str):
            written = '"' + "".join(_escape(unit) for unit in _utf16(value)) + '"'
        elif name in ("temperature", "top_p", "repetition_penalty"):
            written = repr(float(value))  # type: ignore[arg-type]
        else:
            written = str(value)
        parts.append(f'"{name}":{written}')
    return "sha256:" + hashlib.sha256(("{" + ",".join(parts) + "}").encode("ascii")).hexdigest()


def _utf16(text: str) -> list[int]:
    data = text.encode("utf-16-be")
    return [data[at] << 8 | data[at + 1] for at in range(0, len(data), 2)]


def _escape(unit: int) -> str:
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    if unit in short:
        return short[unit]
    return chr(unit) if 32 <= unit < 127 else f"\\u{unit:04x}"
