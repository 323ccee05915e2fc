"""Which jobs form a batch: the whole of the watcher's judgement, without any Redis."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.decide import (
    IDLE,
    NO_CAPACITY,
    NO_SLOTS,
    WAITING_FOR_BATCH,
    Batch,
    Decision,
    Facts,
    HeldJob,
    Limits,
    Voice,
    decide,
)

NOW_MS = 1_000_000


def job(
    number: int, voice: str | None = "a", *, seconds: float = 5.0, age_ms: int = 0, alone: bool = False, **more: str
) -> HeldJob:
    return HeldJob(f"job-{number}", f"{number}-0", voice, more.get("speaker"), seconds, NOW_MS - age_ms, alone)


def line(voice: str, count: int, *, first: int = 0, seconds: float = 5.0, age_ms: int = 0) -> list[HeldJob]:
    return [job(number, voice, seconds=seconds, age_ms=age_ms) for number in range(first, first + count)]


def choose(
    jobs: Iterable[HeldJob],
    limits: Limits | None = None,
    *,
    slots: int = 1,
    outstanding: int = 0,
    served: dict[Voice, int] | None = None,
    turn: int = 0,
) -> Decision:
    groups: dict[Voice, list[HeldJob]] = {}
    for one in jobs:
        groups.setdefault((one.voice, one.speaker), []).append(one)
    return decide(Facts(NOW_MS, groups, slots, outstanding, served or {}, turn), limits or Limits())


def sizes(decision: Decision) -> list[int]:
    return [len(batch.jobs) for batch in decision.batches]


def voices(decision: Decision) -> list[str]:
    return ["".join(voice or speaker or "" for voice, speaker in batch.voices) for batch in decision.batches]


class TestWhenABatchStarts:
    def test_nothing_held_is_idle(self) -> None:
        assert choose([]) == Decision((), IDLE)

    def test_nothing_held_while_batches_wait_for_a_slot_that_is_not_there(self) -> None:
        assert choose([], slots=0, outstanding=2) == Decision((), NO_SLOTS)

    def test_a_single_job_starts_at_once_by_default(self) -> None:
        decision = choose([job(1)])
        assert sizes(decision) == [1]
        assert (decision.reason, decision.wait_ms) == (IDLE, None)

    def test_too_few_jobs_wait_and_say_for_how_long(self) -> None:
        decision = choose(line("a", 2, age_ms=1_500), Limits(batch_min=3, batch_max_wait_ms=5_000))
        assert decision == Decision((), WAITING_FOR_BATCH, 3_500)

    def test_the_shortest_wait_counts(self) -> None:
        jobs = [job(1, "a", age_ms=1_000), job(2, "b", age_ms=4_000)]
        assert choose(jobs, Limits(batch_min=3)).wait_ms == 1_000

    def test_enough_jobs_of_one_voice_start_a_batch(self) -> None:
        assert sizes(choose(line("a", 3), Limits(batch_min=3))) == [3]

    def test_jobs_of_several_voices_do_not_make_enough_together(self) -> None:
        jobs = [*line("a", 2), *line("b", 2, first=10)]
        assert choose(jobs, Limits(batch_min=3)).reason == WAITING_FOR_BATCH

    def test_a_job_that_waited_long_enough_starts_its_voice(self) -> None:
        jobs = [*line("a", 1, age_ms=5_000), *line("b", 1, first=10)]
        decision = choose(jobs, Limits(batch_min=3, batch_max_wait_ms=5_000))
        assert voices(decision) == ["a"]
        assert (decision.reason, decision.wait_ms) == (WAITING_FOR_BATCH, 5_000)

    def test_enough_speech_starts_a_batch_of_few_jobs(self) -> None:
        assert sizes(choose(line("a", 2, seconds=200), Limits(batch_min=10))) == [2]

    def test_what_is_left_over_waits_again(self) -> None:
        decision = choose(line("a", 7), Limits(batch_min=3, batch_max_jobs=5))
        assert sizes(decision) == [5]
        assert decision.reason == WAITING_FOR_BATCH

    def test_a_clock_of_redis_behind_the_entries_does_not_make_jobs_wait_longer_than_that(self) -> None:
        decision = choose([job(1, age_ms=-2_000)], Limits(batch_min=2, batch_max_wait_ms=5_000))
        assert decision.wait_ms == 7_000


class TestHowManyBatches:
    def test_at_most_two_are_outstanding_for_each_slot(self) -> None:
        jobs = line("a", 1_000, seconds=60)
        decision = choose(jobs, slots=3)
        assert len(decision.batches) == 6
        assert decision.reason == NO_CAPACITY

    def test_those_outstanding_count(self) -> None:
        jobs = line("a", 1_000, seconds=60)
        assert len(choose(jobs, slots=3, outstanding=5).batches) == 1
        assert choose(jobs, slots=3, outstanding=6) == Decision((), NO_CAPACITY)
        assert choose(jobs, slots=3, outstanding=99) == Decision((), NO_CAPACITY)

    def test_one_slot_is_assumed_when_none_is_alive(self) -> None:
        jobs = line("a", 1_000, seconds=60)
        decision = choose(jobs, slots=0)
        assert len(decision.batches) == 2
        assert decision.reason == NO_SLOTS
        assert choose(jobs, slots=0, outstanding=2) == Decision((), NO_SLOTS)

    def test_the_number_for_each_slot_is_a_setting(self) -> None:
        assert len(choose(line("a", 1_000, seconds=60), Limits(batches_per_slot=5)).batches) == 5


class TestHowLarge:
    def test_a_batch_is_as_much_speech_as_is_aimed_at(self) -> None:
        decision = choose(line("a", 1_000, seconds=10))
        assert sizes(decision) == [30, 30]
        assert decision.batches[0].seconds == 300

    def test_a_job_goes_in_when_that_comes_nearer_to_the_aim(self) -> None:
        limits = Limits(batch_seconds=100)
        assert sizes(choose(line("a", 1_000, seconds=40), limits)) == [3, 3]
        assert sizes(choose(line("a", 1_000, seconds=45), limits)) == [2, 2]

    def test_a_job_longer_than_a_batch_is_a_batch(self) -> None:
        assert sizes(choose(line("a", 3, seconds=1_000), slots=2)) == [1, 1, 1]

    def test_the_number_of_jobs_is_bounded(self) -> None:
        assert sizes(choose(line("a", 1_000, seconds=0.5), Limits(batch_max_jobs=7))) == [7, 7]

    def test_jobs_go_oldest_first_whatever_their_entry(self) -> None:
        jobs = [job(1), job(2, age_ms=10), job(3, age_ms=5)]
        [batch] = choose(jobs).batches
        assert [one.request_id for one in batch.jobs] == ["job-2", "job-3", "job-1"]


class TestSpreading:
    def test_a_small_backlog_is_split_over_the_slots_that_wait(self) -> None:
        assert sorted(sizes(choose(line("a", 10), slots=4))) == [2, 2, 3, 3]

    def test_fewer_jobs_than_slots_are_one_each(self) -> None:
        assert sizes(choose(line("a", 2), slots=4)) == [1, 1]

    def test_no_batch_is_spread_below_the_least_number_of_jobs(self) -> None:
        assert sizes(choose(line("a", 10), Limits(batch_min=4), slots=5)) == [4, 4]

    def test_a_backlog_for_one_waiting_slot_stays_together(self) -> None:
        assert sizes(choose(line("a", 10))) == [10]
        assert sizes(choose(line("a", 10), slots=3, outstanding=2)) == [10]

    def test_a_large_backlog_is_not_made_larger_by_spreading(self) -> None:
        assert sizes(choose(line("a", 1_000, seconds=10), slots=2)) == [30, 30, 30, 30]

    def test_the_last_of_a_backlog_is_shared_by_busy_slots(self) -> None:
        decision = choose(line("a", 40, seconds=10), slots=4, outstanding=4)
        assert sizes(decision) == [10, 10, 10, 10]

    def test_behind_busy_slots_a_trickle_is_not_cut_to_pieces(self) -> None:
        assert sizes(choose(line("a", 3), slots=4, outstanding=4)) == [3]

    def test_uneven_jobs_are_spread_by_their_seconds(self) -> None:
        jobs = [job(0, seconds=100), *line("a", 10, first=1, seconds=10)]
        assert sizes(choose(jobs, slots=2)) == [1, 10]


class TestVoices:
    def test_a_batch_is_one_voice(self) -> None:
        jobs = [*line("a", 3), *line("b", 3, first=10)]
        assert voices(choose(jobs)) == ["a", "b"]

    def test_a_voice_and_a_speaker_of_the_same_name_are_two(self) -> None:
        decision = choose([job(1, "Ryan"), job(2, None, speaker="Ryan")])
        assert [batch.voices for batch in decision.batches] == [(("Ryan", None),), ((None, "Ryan"),)]

    def test_the_voice_with_the_oldest_job_goes_first(self) -> None:
        jobs = [*line("a", 3), *line("b", 3, first=10, age_ms=50)]
        assert voices(choose(jobs)) == ["b", "a"]

    def test_a_single_job_is_not_starved_by_a_thousand_older_ones_of_another_voice(self) -> None:
        jobs = [*line("a", 1_000, seconds=60, age_ms=9_000), job(2_000, "b")]
        assert voices(choose(jobs, slots=2)) == ["a", "b", "a", "a"]
        assert voices(choose(jobs, outstanding=1, turn=7, served={("a", None): 6})) == ["b"]

    def test_voices_take_turns_by_when_they_were_served_last(self) -> None:
        jobs = [*line("a", 9, seconds=60), *line("b", 9, first=10, seconds=60), *line("c", 9, first=20, seconds=60)]
        served: dict[Voice, int] = {("a", None): 4, ("b", None): 2, ("c", None): 3}
        assert voices(choose(jobs, outstanding=1, turn=5, served=served))[0] == "b"

    def test_every_other_batch_goes_to_the_oldest_job_whoever_was_served_last(self) -> None:
        jobs = [*line("a", 9, age_ms=10), *line("b", 9, first=10)]
        assert voices(choose(jobs, outstanding=1, turn=6, served={("a", None): 5})) == ["a"]

    def test_rests_of_many_voices_are_mixed_when_they_outnumber_the_batches(self) -> None:
        jobs = [job(number, f"v{number}") for number in range(100)]
        decision = choose(jobs)
        assert len(decision.batches) == 2
        assert sum(sizes(decision)) == 100
        assert decision.batches[0].seconds == 300
        assert len(decision.batches[0].voices) == 60

    def test_a_mixed_batch_keeps_the_jobs_of_a_voice_together(self) -> None:
        jobs = [job(number, f"v{number % 10}") for number in range(30)]
        for batch in choose(jobs).batches:
            order = [one.voice for one in batch.jobs]
            assert len(list(dict.fromkeys(order))) == sum(
                1 for before, after in zip([None, *order], order, strict=False) if before != after
            )

    def test_a_voice_with_enough_speech_is_left_out_of_the_mixing(self) -> None:
        jobs = [job(0, "rest", age_ms=9), *line("full", 100, first=10), job(200, "other"), job(201, "third")]
        decision = choose(jobs, outstanding=1)
        assert set(decision.batches[0].voices) == {("rest", None), ("other", None), ("third", None)}

    def test_voices_that_may_not_start_yet_are_not_mixed_in(self) -> None:
        limits = Limits(batch_min=5, batch_max_wait_ms=5_000)
        jobs = [job(number, f"old{number}", age_ms=6_000) for number in range(4)]
        decision = choose([*jobs, job(50, "young")], limits, outstanding=1)
        assert sizes(decision) == [4]


class TestAlone:
    def test_a_flagged_job_goes_by_itself(self) -> None:
        jobs = [job(1, alone=True), *line("a", 3, first=10)]
        decision = choose(jobs)
        assert sorted(sizes(decision)) == [1, 3]
        assert all(len(batch.jobs) == 1 for batch in decision.batches if any(one.alone for one in batch.jobs))

    def test_each_of_them_is_a_batch(self) -> None:
        assert sizes(choose([job(n, alone=True) for n in range(5)], slots=2)) == [1, 1, 1, 1]

    def test_it_does_not_wait_for_company(self) -> None:
        assert sizes(choose([job(1, alone=True)], Limits(batch_min=10))) == [1]

    def test_it_is_never_topped_up_with_rests_of_other_voices(self) -> None:
        jobs = [job(0, age_ms=99, alone=True), *(job(n, f"v{n}") for n in range(1, 20))]
        assert sizes(choose(jobs))[0] == 1


def test_the_facts_are_not_changed() -> None:
    jobs = line("a", 5)
    groups = {("a", None): jobs}
    served: dict[Voice, int] = {}
    decide(Facts(NOW_MS, groups, 1, 0, served), Limits())
    assert (len(jobs), served) == (5, {})


HELD = st.builds(
    HeldJob,
    request_id=st.just(""),
    entry=st.just(""),
    voice=st.sampled_from(["a", "b", "c", "d", "e"]),
    speaker=st.none(),
    seconds=st.floats(0.5, 400),
    queued_ms=st.integers(NOW_MS - 20_000, NOW_MS),
    alone=st.booleans(),
)
LIMITS = st.builds(
    Limits,
    batch_seconds=st.floats(1, 600),
    batch_max_jobs=st.integers(1, 20),
    batch_min=st.integers(1, 20),
    batch_max_wait_ms=st.integers(0, 20_000),
    batches_per_slot=st.integers(1, 3),
)


def numbered(jobs: list[HeldJob]) -> list[HeldJob]:
    return [
        HeldJob(f"job-{n}", f"{n}-0", one.voice, None, one.seconds, one.queued_ms, one.alone)
        for n, one in enumerate(jobs)
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(HELD, max_size=60), LIMITS, st.integers(0, 6), st.integers(0, 12), st.integers(0, 3))
def test_whatever_the_facts(raw: list[HeldJob], limits: Limits, slots: int, outstanding: int, turn: int) -> None:
    jobs = numbered(raw)
    decision = choose(jobs, limits, slots=slots, outstanding=outstanding, turn=turn)
    taken = [one for batch in decision.batches for one in batch.jobs]
    places = limits.batches_per_slot * max(1, slots) - outstanding
    assert len(taken) == len(set(taken)), "a job is in one batch"
    assert len(decision.batches) <= max(0, places)
    for batch in decision.batches:
        assert 1 <= len(batch.jobs) <= limits.batch_max_jobs
        assert len(batch.jobs) == 1 or not any(one.alone for one in batch.jobs)
        assert len(batch.jobs) == 1 or batch.seconds - batch.jobs[-1].seconds / 2 <= limits.batch_seconds + 1e-6
    left = len(jobs) - len(taken)
    assert (decision.reason == WAITING_FOR_BATCH) == (decision.wait_ms is not None)
    assert decision.wait_ms is None or decision.wait_ms > 0
    if left == 0:
        assert decision.reason in (IDLE, NO_SLOTS)
    elif decision.reason in (NO_CAPACITY, NO_SLOTS):
        assert len(decision.batches) == max(0, places), "nothing is held back while there is room"


@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_knows_its_speech_and_its_voices(count: int) -> None:
    batch = Batch(tuple(line("a", count, seconds=2.5)))
    assert (batch.seconds, batch.voices) == (2.5 * count, (("a", None),))


def test_jobs_of_one_millisecond_keep_the_order_of_the_stream() -> None:
    jobs = [HeldJob(str(n), f"1000-{n}", "a", None, 1.0, NOW_MS) for n in (10, 9, 2, 0, 11, 1)]
    (batch,) = choose(jobs).batches
    assert [one.request_id for one in batch.jobs] == ["0", "1", "2", "9", "10", "11"]
