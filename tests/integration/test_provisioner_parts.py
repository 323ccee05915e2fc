"""Parts of the provisioner on a real queue: leases, a batch driven by hand, the sweeps, the health pages."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lib.errors import BoxLost, LeaseLost, QueueUnavailable, SpoolFull
from lib.jobqueue.messages import BatchMessage
from lib.jobqueue.spec import JobSpec
from lib.jobqueue.store import JobStore, new_token
from lib.telemetry.metrics import ProvisionerMetrics
from lib.voices import cache_dir
from ops.demo.redis_binary import free_port
from provisioner.box import Box
from provisioner.collect import Collected
from provisioner.housekeeping import Housekeeper, VoiceSynth
from provisioner.lease import Lease, Renewer
from provisioner.local import LocalBox
from provisioner.null import NullBox, NullCollector
from provisioner.observe import Observer
from provisioner.run import BatchRun, Tools
from tests.support.provisioners import Provisioned
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_until

CONSUMER = "tests/provisioner-1"


@pytest.fixture
def here(redis_url: str, tmp_path: Path) -> Iterator[Provisioned]:
    made = Provisioned(redis_url, tmp_path)
    yield made
    made.close()


def held(here: Provisioned, renewer: Renewer, token: str = "") -> Lease:
    """Read and claim the only batch."""
    stream = here.store.batches_stream(CONSUMER)
    stream.ensure()
    message = BatchMessage.parse(stream.read(1, 0)[0])
    token = token or new_token()
    assert here.store.claim_batch(message, CONSUMER, token) is not None
    return renewer.hold(message.batch_id, token, time.monotonic(), urgent=False)


# Leases


def test_a_lease_is_renewed_by_itself_and_says_who_is_still_in_the_batch(here: Provisioned) -> None:
    _, ids = here.batch("ok", "ok")
    renewer = Renewer(here.store, CONSUMER, 400).start()
    lease = held(here, renewer)
    first = lease.sent_at
    wait_until(lambda: lease.sent_at > first)
    renewer.check(lease)
    assert lease.members == set(ids)
    here.store.cancel(ids[0], "", "{}")
    wait_until(lambda: lease.members == {ids[1]})
    renewer.stop()


def test_a_lease_that_is_anothers_is_lost_at_once(here: Provisioned) -> None:
    here.batch("ok")
    renewer = Renewer(here.store, CONSUMER, 60_000)
    lease = held(here, renewer)
    lease.token = "somebody else's"
    renewer.renew_all()
    with pytest.raises(LeaseLost):
        renewer.check(lease)


def test_a_lease_that_nobody_could_renew_is_no_longer_believed(here: Provisioned) -> None:
    here.batch("ok")
    renewer = Renewer(here.store, CONSUMER, 60_000)
    lease = held(here, renewer)
    renewer.check(lease)
    lease.sent_at -= 51  # the margin is a sixth: ten seconds before the end
    with pytest.raises(QueueUnavailable):
        renewer.check(lease)


def test_an_outage_is_no_loss_and_the_lease_counts_from_the_last_renewal_sent(
    make_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = make_redis()
    here = Provisioned(server.url, tmp_path / "here")
    here.batch("ok")
    renewer = Renewer(JobStore.connect(server.url, timeout_seconds=0.2, retries=0), CONSUMER, 60_000)
    lease = held(here, renewer)
    before = lease.sent_at
    server.pause()
    renewer.renew_all()
    assert (lease.sent_at, lease.lost, lease.error) == (before, False, None)
    server.resume()
    renewer.renew_all()
    assert lease.sent_at > before
    here.close()


def test_nothing_of_a_slot_is_renewed_once_its_batch_is_past_its_deadline(here: Provisioned) -> None:
    here.batch("ok")
    renewer = Renewer(here.store, CONSUMER, 60_000)
    lease = held(here, renewer)
    before = lease.sent_at
    lease.deadline = time.monotonic() - 1
    renewer.renew_all()
    assert lease.sent_at == before


# A batch by hand


class FullOnce(NullCollector):
    """A spool without room, until there is."""

    full = True

    def collect(self, box: Box, batch_id: str, token: str, job: JobSpec) -> Collected:
        if self.full:
            raise SpoolFull("no room")
        return super().collect(box, batch_id, token, job)


class ByHand:
    """A batch in a slot's hands, with a box and a collector of the test's choice."""

    def __init__(self, here: Provisioned, box: Box, collector: NullCollector) -> None:
        self.renewer = Renewer(here.store, CONSUMER, 60_000)
        self.observer = Observer(ProvisionerMetrics(CollectorRegistry()))
        self.tools = Tools(
            here.store, here.look, box, collector, self.renewer, self.observer, cache_dir(), 3, 60.0
        )  # fmt: skip
        stream = here.store.batches_stream(CONSUMER)
        stream.ensure()
        self.message = BatchMessage.parse(stream.read(1, 0)[0])
        claimed = here.store.claim_batch(self.message, CONSUMER, "t" * 32)
        assert claimed is not None
        self.lease = self.renewer.hold(claimed.batch_id, "t" * 32, time.monotonic(), urgent=False)
        self.run = BatchRun(self.tools, CONSUMER, claimed, self.lease)


def test_finished_audio_waits_for_room_in_the_spool_at_no_cost(here: Provisioned) -> None:
    _, ids = here.batch("ok", "ok")
    collector = FullOnce(here.spool)
    hand = ByHand(here, NullBox(), collector)
    hand.run.prepare()
    hand.run.begin(lambda: None)
    deadline = hand.lease.deadline
    assert sorted(hand.run.open) == ids
    assert hand.run.advance() is False
    assert deadline is not None
    assert hand.lease.deadline == deadline
    collector.full = False
    wait_until(hand.run.advance, what="the audio is handed over once there is room")
    assert hand.run.open == {}
    hand.run.finish()
    assert [here.state(one) for one in ids] == ["uploading"] * 2
    assert sorted(here.uploads()) == ids


def test_a_stop_with_a_full_spool_leaves_the_audio_for_the_next_start(here: Provisioned) -> None:
    batch_id, ids = here.batch("ok")
    hand = ByHand(here, NullBox(), FullOnce(here.spool))
    hand.run.prepare()
    hand.run.begin(lambda: None)
    hand.run.release()
    assert here.look.batch_rows([batch_id])[0] is not None
    assert here.store.batches_stream(CONSUMER).own(10)[0] != []
    assert hand.tools.box.read_events(batch_id, 0) != b""
    assert here.state(ids[0]) == "dispatched"


def test_a_batch_past_its_deadline_is_given_up_and_its_jobs_go_back_as_lost(
    here: Provisioned, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in here.environment().items():
        monkeypatch.setenv(name, value)
    _, ids = here.batch("wait never", "ok")
    box = LocalBox(here.work, CONSUMER)
    hand = ByHand(here, box, NullCollector(here.spool))
    hand.run.prepare()
    hand.run.begin(lambda: None)
    here.wait_spoken(1)
    hand.run.advance()
    hand.lease.deadline = time.monotonic() - 1
    assert hand.run.advance() is True
    assert hand.run.gave_up == "batch_deadline"
    hand.run.finish()
    assert [(here.state(one), here.row(one)["lost"]) for one in ids] == [("queued", 1)] * 2
    assert not box.alive(hand.message.batch_id)
    assert box.batch_ids() == []


def test_a_job_handed_over_after_it_was_cancelled_leaves_nothing_in_the_spool(here: Provisioned) -> None:
    _, ids = here.batch("ok", "ok")

    class Cancelling(NullCollector):
        def __init__(self, spool: str) -> None:
            super().__init__(spool)
            self.discarded: list[Collected] = []

        def collect(self, box: Box, batch_id: str, token: str, job: JobSpec) -> Collected:
            if job["request_id"] == ids[0]:
                here.store.cancel(ids[0], "", "{}")
            return super().collect(box, batch_id, token, job)

        def discard(self, collected: Collected) -> None:
            self.discarded.append(collected)

    collector = Cancelling(here.spool)
    hand = ByHand(here, NullBox(), collector)
    hand.run.prepare()
    hand.run.begin(lambda: None)
    assert hand.run.open == {}
    assert len(collector.discarded) == 1
    assert list(here.uploads()) == [ids[1]]


def test_a_box_that_is_lost_while_it_is_pushed_to_costs_the_jobs_nothing(here: Provisioned) -> None:
    _, ids = here.batch("ok")

    class Gone(NullBox):
        def push(self, batch_id: str, jobs: object) -> object:  # type: ignore[override]
            raise BoxLost("no route to host")

    hand = ByHand(here, Gone(), NullCollector(here.spool))
    with pytest.raises(BoxLost):
        hand.run.prepare()
    hand.run.give_up("box_lost")
    hand.run.finish()
    row = here.row(ids[0])
    assert (row["state"], row["lost"], row["attempt"], row["reason"]) == ("queued", 1, 0, "box_lost")


# Beside the slots


def test_strays_are_ended_and_what_is_ours_is_left_alone(here: Provisioned) -> None:
    batch_id, _ = here.batch("ok")
    held(here, Renewer(here.store, CONSUMER, 60_000))
    for name in (batch_id, "unknown", "another"):
        (here.work / name).mkdir(parents=True)
    row = {"state": "open", "consumer": "other/provisioner-1", "token": "x", "ids": []}
    here.client.hset(here.store.keys.batches_index, "another", json.dumps(row))
    keeper = Housekeeper(LocalBox(here.work, ""), here.look, "tests/provisioner-", here.spool_dir, here.spool)
    assert keeper.end_strays() == ["another", "unknown"]
    assert (here.work / batch_id).is_dir()


def test_the_sweep_keeps_what_an_upload_names(here: Provisioned) -> None:
    _, ids = here.batch("ok")
    with here.slots():
        here.wait_for("uploading", *ids)
    (kept,) = here.spool_folders()
    (here.spool_dir / "batch/stray").mkdir(parents=True)
    for folder in (kept, "batch/stray"):
        os.utime(here.spool_dir / folder, (1, 1))
    Housekeeper(NullBox(), here.look, "x", here.spool_dir, here.spool).go_round()
    assert here.spool_folders() == [kept]


def test_voice_synth_is_asked_rarely() -> None:
    answers = ["broken"]
    asked = []

    def ask() -> str | None:
        asked.append(1)
        return answers[0]

    voice = VoiceSynth(ask)
    assert (voice.trouble(), voice.trouble(), len(asked)) == ("broken", "broken", 1)


def page(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_health_pages_say_what_works_and_what_does_not(here: Provisioned) -> None:
    port = free_port()
    with here.provisioner(PROVISIONER_METRICS_PORT=port, VOICE_SYNTH_BIN=here.folder / "missing") as program:
        wait_until(lambda: program.said("leasing is paused"))
        assert page(port, "/healthz")[0] == 200
        status, body = page(port, "/readyz")
        checks = json.loads(body)["checks"]
        assert (status, checks["redis"], checks["spool"]) == (503, "ok", "ok")
        assert "voice-synth does not run" in checks["voice_synth"]
        assert "voice-synth does not run" in checks["leasing"]
        metrics = page(port, "/metrics")[1]
        assert "jobrunner_slots 1.0" in metrics
        assert "jobrunner_leasing_paused 1.0" in metrics
        assert here.look.live_workers("slot") == ["tests/provisioner-1"]
