"""The watcher's small pure parts: what it holds, its clock and heartbeat, members and records of older versions."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from watcher.backfill import _hash, _ms, is_legacy_unfinished
from watcher.decide import HeldJob
from watcher.held import Held
from watcher.pulse import Pulse, RedisClock
from watcher.retries import parse_member
from watcher.settings import WatcherSettings


def job(number: int, voice: str = "a") -> HeldJob:
    return HeldJob(f"job-{number}", f"{number}-0", voice, None, 5.0, 0)


class TestHeld:
    def test_jobs_are_held_by_voice_once_each(self) -> None:
        held = Held()
        held.add([job(1), job(2, "b"), job(1)])
        assert {voice: list(jobs) for voice, jobs in held.voices().items()} == {
            ("a", None): [job(1)],
            ("b", None): [job(2, "b")],
        }
        assert (held.undispatched, held.elsewhere) == (2, 0)

    def test_a_dispatched_job_is_only_an_entry(self) -> None:
        held = Held()
        held.add([job(1)])
        held.add_elsewhere(["1-0", "9-0"])
        assert (held.undispatched, held.elsewhere, held.voices()) == (0, 2, {})
        assert held.known() == {"1-0", "9-0"}
        assert held.is_known("1-0")
        assert not held.is_undispatched("1-0")

    def test_what_is_dropped_leaves_nothing_behind(self) -> None:
        held = Held()
        held.add([job(1), job(2)])
        held.add_elsewhere(["9-0"])
        held.drop(["1-0", "9-0", "unknown"])
        assert held.known() == {"2-0"}
        held.clear()
        assert (held.known(), held.voices()) == (set(), {})


class TestPulse:
    def test_time_is_what_redis_said_carried_forward_however_wrong_the_local_clock_is(self) -> None:
        now = [100.0]
        clock = RedisClock(lambda: now[0])
        clock.told(1_700_000_000_000)
        now[0] += 1.5
        assert clock.now_ms() == 1_700_000_001_500
        assert clock.compact() == "20231114T221321"

    def test_the_heartbeat_says_who_why_and_how_much(self) -> None:
        clock = RedisClock(lambda: 0.0)
        clock.told(1_700_000_000_000)
        pulse = Pulse("host/watcher-0", clock)
        run_id = pulse.new_run()
        pulse.held, pulse.outstanding_batches, pulse.reason = 7, 2, "no_capacity"
        assert json.loads(pulse.heartbeat()) == {
            "ts": "2023-11-14T22:13:20.000Z",
            "consumer": "host/watcher-0",
            "run_id": run_id,
            "reason": "no_capacity",
            "held": 7,
            "outstanding_batches": 2,
        }


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("topic:beat-001", ("topic:beat-001", "")),
        ('{"request_id": "a", "job": {"text": "x"}}', ("a", '{"text": "x"}')),
        ('{"request_id": "a", "job": "{\\"text\\": 1}"}', ("a", '{"text": 1}')),
        ("{not json", ("{not json", "")),
        ('{"request_id": "a"}', ('{"request_id": "a"}', "")),
        ('{"request_id": "", "job": {"a": 1}}', ('{"request_id": "", "job": {"a": 1}}', "")),
        ('{"request_id": "\\ud800", "job": {"a": 1}}', ('{"request_id": "\\ud800", "job": {"a": 1}}', "")),
        ('{"a": ' * 9_000, ('{"a": ' * 9_000, "")),
    ],
)
def test_members_of_the_retry_set_of_both_kinds_are_read(member: str, expected: tuple[str, str]) -> None:
    assert parse_member(member) == expected


class TestOlderRecords:
    @pytest.mark.parametrize(
        ("moment", "expected"),
        [
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14T22:13:20+00:00", 1_700_000_000_000),
            ("2023-11-14T23:13:20.500+01:00", 1_700_000_000_500),
            ("2023-11-14T22:13:20", 1_700_000_000_000),
            ("2999-01-01T00:00:00Z", 1_800_000_000_000),
            ("0001-01-01T00:00:00+23:00", 1_800_000_000_000),
            ("yesterday", 1_800_000_000_000),
            (None, 1_800_000_000_000),
            (1_700_000_000, 1_800_000_000_000),
        ],
    )
    def test_times_that_cannot_be_read_or_lie_ahead_are_now(self, moment: object, expected: int) -> None:
        assert _ms(moment, 1_800_000_000_000) == expected

    def test_the_content_hash_is_the_records_or_its_jobs(self) -> None:
        assert _hash({"content_hash": "h", "job": {"content_hash": "x"}}) == "h"
        assert _hash({"job": {"content_hash": "x"}}) == "x"
        assert _hash({"content_hash": None, "job": "text"}) == ""

    @pytest.mark.parametrize(("row", "expected"), [("queued", True), ("done", False), ('{"v":1}', False)])
    def test_a_bare_word_is_an_older_row(self, row: str, expected: bool) -> None:
        assert is_legacy_unfinished(row) is expected


class TestSettings:
    def test_the_defaults_start_a_single_job_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WATCHER_BATCH_MIN", raising=False)
        limits = WatcherSettings.model_validate({}).limits()
        assert (limits.batch_min, limits.batch_seconds, limits.batch_max_jobs) == (1, 300.0, 128)

    def test_the_consumer_is_named_after_the_host_and_stays_the_same(self) -> None:
        assert WatcherSettings.model_validate({"worker_name": "box-7"}).consumer == "box-7/watcher-0"
        assert WatcherSettings.model_validate({"worker_name": ""}).host

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            ({"worker_name": "two words"}, "letters, digits"),
            ({"worker_name": "a/b"}, "letters, digits"),
            ({"watcher_lock_ttl_ms": 10}, "greater than or equal to 1000"),
            ({"watcher_batch_max_jobs": 0}, "greater than or equal to 1"),
            ({"watcher_batch_min": 200}, "WATCHER_BATCH_MIN must not exceed WATCHER_BATCH_MAX_JOBS"),
            ({"watcher_batch_min": 20, "watcher_window": 10}, "WATCHER_BATCH_MIN must not exceed WATCHER_WINDOW"),
            ({"watcher_batch_seconds": "many"}, "valid number"),
        ],
    )
    def test_bad_ones_are_refused(self, given: dict[str, object], fault: str) -> None:
        with pytest.raises(ValidationError, match=fault):
            WatcherSettings.model_validate(given)
