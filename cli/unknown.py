"""The answer to a request id that Redis does not know, with the nearest ones it does know."""

from __future__ import annotations

from cli.exits import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.jobqueue.look import Look


def unknown_request(look: Look, request_id: str) -> NotFound:
    """Return the error; the caller raises it."""
    from difflib import get_close_matches

    from cli.render import clean

    near = get_close_matches(request_id, look.recent_ids(), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(clean(one) for one in near)}?" if near else "job-runner history lists what ended"
    return NotFound(f"{clean(request_id)}: no such request in this Redis", hint)
