"""Boot times: within their bounds, and the same for the same seed."""

from __future__ import annotations

import pytest

from ops.simulator.lifecycle import dice_of, stages
from ops.simulator.scenario import BootTimes


def boot(seed: int, number: int, generation: int = 0, share: float = 1.0) -> tuple[float, float, float]:
    return stages(BootTimes(), dice_of(seed, number, generation), share)


def test_the_same_box_of_the_same_seed_boots_in_the_same_time() -> None:
    assert boot(5, 1) == boot(5, 1)
    assert len({boot(5, 1), boot(6, 1), boot(5, 2), boot(5, 1, generation=1)}) == 4


def test_stages_follow_each_other_within_their_bounds() -> None:
    for number in range(50):
        created, loading, running = boot(1, number)
        assert 1 <= created <= 4
        assert 1 <= loading - created <= 3
        assert 40 <= running - loading <= 80


def test_a_restart_is_shorter_in_proportion() -> None:
    assert boot(5, 1, share=0.1) == pytest.approx([seconds * 0.1 for seconds in boot(5, 1)])
