"""The job queue: the job spec, and every transition of a job in Redis.

`normalize_job_spec` and `content_hash` are re-exported lazily, so that importing a sibling costs nothing. Neither
imports Redis.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.jobqueue.spec import content_hash, normalize_job_spec

__all__ = ["content_hash", "normalize_job_spec"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from lib.jobqueue import spec

        return getattr(spec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
