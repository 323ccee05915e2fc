"""Consumer groups: several processes may make sure of one at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.errors import QueueCorrupt
from lib.jobqueue.store import JobStore

pytestmark = pytest.mark.both_redis


def test_many_consumers_may_make_sure_of_one_group_at_once(redis_url: str) -> None:
    stores = [JobStore.connect(redis_url) for _ in range(8)]
    for _ in range(20):
        stores[0].client.delete(stores[0].keys.batches_stream)
        with ThreadPoolExecutor(len(stores)) as pool:
            list(pool.map(lambda store: store.batches_stream("slot").ensure(), stores))
    (group,) = stores[0].client.xinfo_groups(stores[0].keys.batches_stream)
    assert group["name"] == "provisioners"
    for store in stores:
        store.client.close()


def test_a_key_of_another_type_is_reported(redis_url: str) -> None:
    store = JobStore.connect(redis_url)
    store.client.set(store.keys.batches_stream, "x")
    with pytest.raises(QueueCorrupt):
        store.batches_stream("slot").ensure()
    store.client.close()
