from __future__ import annotations

import pytest

from lib.voices import SPEAKERS
from synth.voicing import PROFILES, SPEAKER_ABOUT, SPEAKER_TIMBRES, Timbre, piece_seed, voicing


def test_every_speaker_has_a_timbre_of_its_own():
    assert tuple(SPEAKER_TIMBRES) == tuple(SPEAKER_ABOUT) == SPEAKERS
    assert len(set(SPEAKER_TIMBRES.values())) == len(SPEAKERS)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_seed_moves_a_take_a_little_and_always_the_same_way(profile):
    takes = [voicing(profile, Timbre(), seed) for seed in range(50)]
    assert takes == [voicing(profile, Timbre(), seed) for seed in range(50)]
    speeds = [take.speed / PROFILES[profile].speed for take in takes]
    limit = PROFILES[profile].speed_jitter
    assert all(1 - limit - 1e-3 <= speed <= 1 + limit + 1e-3 for speed in speeds)
    assert len(set(speeds)) > 40


def test_profiles_order_how_lively_a_take_is():
    lively = [voicing(profile, Timbre(), 1).intonation for profile in ("stable", "balanced", "expressive")]
    assert lively == sorted(set(lively))
    assert {voicing("stable", Timbre(), seed).pitch for seed in range(20)} == {1.0}
    assert len({voicing("expressive", Timbre(), seed).pitch for seed in range(20)}) > 2


def test_no_combination_leaves_what_the_engines_take():
    for timbre in (Timbre(0.5, 0.6), Timbre(2.0, 1.5)):
        for seed in range(30):
            take = voicing("expressive", timbre, seed)
            assert 0.5 <= take.speed <= 2.0
            assert 0.6 <= take.pitch <= 1.5


def test_pieces_of_a_take_have_seeds_of_their_own():
    assert len({piece_seed(seed, piece) for seed in range(20) for piece in range(20)}) == 400
