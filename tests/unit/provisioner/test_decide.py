"""What becomes of jobs and batches."""

from __future__ import annotations

import pytest

from lib.jobqueue.messages import ClaimedBatch, ClaimedJob
from lib.jobqueue.retries import MAX_CRASHES, MAX_LOSSES
from provisioner import decide
from provisioner.decide import Fail, GiveBatchUp, Later, PutBack, Restart
from provisioner.follow import Failure


def job(name: str = "a", attempt: int = 0, losses: int = 0, crashes: int = 0) -> ClaimedJob:
    return ClaimedJob(name, "{}", attempt, losses, crashes, "dispatched")


def batch(*jobs: ClaimedJob, losses: int = 0) -> ClaimedBatch:
    return ClaimedBatch("b", losses, jobs)


def attempt(failure: Failure, *, voice_is_here: bool = True, **of_job: int) -> decide.Fate:
    return decide.after_attempt(job(**of_job), failure, voice_is_here=voice_is_here, max_attempts=3, chance=0.5)


def test_an_ordinary_batch_is_spoken_whole() -> None:
    assert decide.at_claim(batch(job("a"), job("b", crashes=1), losses=1)) == {}


def test_a_batch_lost_twice_is_split_and_every_job_goes_on_alone() -> None:
    fates = decide.at_claim(batch(job("a"), job("b"), losses=2))
    assert fates == {name: PutBack("batch_split", alone=True) for name in "ab"}


def test_a_single_job_is_not_split_however_often_its_batch_was_lost() -> None:
    assert decide.at_claim(batch(job(), losses=9)) == {}


def test_a_suspected_job_leaves_the_company_of_others() -> None:
    fates = decide.at_claim(batch(job("a", crashes=MAX_CRASHES - 1), job("b")))
    assert fates == {"a": PutBack("suspected", alone=True)}


def test_only_a_job_that_is_alone_is_poison() -> None:
    (fate,) = decide.at_claim(batch(job(crashes=MAX_CRASHES))).values()
    assert isinstance(fate, Fail)
    assert fate.error_type == "poison"
    assert decide.at_claim(batch(job(crashes=MAX_CRASHES - 1))) == {}


def test_a_transient_failure_comes_again_with_growing_delays_and_then_ends() -> None:
    failure = Failure("engine_failed", False, "out of memory")
    assert attempt(failure) == Later(30.0, "engine_failed")
    assert attempt(failure, attempt=1) == Later(120.0, "engine_failed")
    assert attempt(failure, attempt=2) == Fail("transient_exhausted", "engine_failed: out of memory")


def test_a_permanent_failure_ends_at_once() -> None:
    assert attempt(Failure("unspeakable_text", True, "silence")) == Fail("unspeakable_text", "silence")


@pytest.mark.parametrize(
    "words", ["loudspeaker-7:beat-001", "unsupported GPU", "empty text", "unknown voice", "out of memory", "permanent"]
)
def test_no_word_of_an_id_or_a_message_changes_what_becomes_of_a_job(words: str) -> None:
    def fate(failure: Failure) -> decide.Fate:
        return decide.after_attempt(job(words), failure, voice_is_here=True, max_attempts=3, chance=0.5)

    assert fate(Failure("engine_failed", False, words)) == Later(30.0, "engine_failed")
    assert fate(Failure("bad_input", True, words)) == Fail("bad_input", words)
    assert fate(Failure("disk_full", False, words)) == PutBack("disk_full", losses=1)


@pytest.mark.parametrize("error_type", sorted(decide.VOICE_FAULTS))
def test_a_voice_that_is_here_and_not_there_is_the_boxs_fault(error_type: str) -> None:
    failure = Failure(error_type, True, "no such voice")
    assert attempt(failure) == Later(30.0, error_type)
    assert attempt(failure, voice_is_here=False) == Fail(error_type, "no such voice")


@pytest.mark.parametrize("error_type", sorted(decide.BOX_FAULTS))
def test_a_box_that_cannot_costs_no_attempt(error_type: str) -> None:
    assert attempt(Failure(error_type, False, ""), attempt=2) == PutBack(error_type, losses=1)


def test_a_job_lost_twice_goes_on_alone_and_one_lost_too_often_ends() -> None:
    assert decide.after_loss(job(), "box_lost") == PutBack("box_lost", losses=1)
    assert decide.after_loss(job(losses=1), "box_lost") == PutBack("box_lost", losses=1, alone=True)
    last = decide.after_loss(job(losses=MAX_LOSSES - 1), "box_lost")
    assert isinstance(last, Fail)
    assert last.error_type == "losses_exhausted"


def test_a_job_that_ends_its_executors_is_put_back_alone_and_then_poison() -> None:
    assert decide.after_crashes(job()) == PutBack("executor_died", crashes=1, alone=True)
    last = decide.after_crashes(job(crashes=MAX_CRASHES - 1))
    assert isinstance(last, Fail)
    assert last.error_type == "poison"


def test_one_death_is_forgiven_and_the_second_during_the_same_job_is_its_own() -> None:
    assert decide.after_death(["a"], {"a": 1}, 0) == Restart()
    assert decide.after_death(["a"], {"a": 2, "b": 1}, 0) == Restart(("a",))


def test_an_executor_that_dies_before_any_job_gives_the_batch_up_in_the_end() -> None:
    assert decide.after_death([], {}, 1) == Restart()
    assert decide.after_death([], {}, 2) == Restart()
    assert decide.after_death([], {}, 3) == GiveBatchUp("executor_dies")
