"""What the rows of one file must not do to each other: share a request id or a folder, or nest one in another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lib.jobqueue.spec import JobSpec

Place = Callable[[int, str], str]


def conflicts(jobs: Sequence[JobSpec | None], place: Place) -> list[str]:
    """Return one line for each conflict. A row that is None failed before and is left out.

    `place(row, field)` gives `file:line: jobs[row].field`.
    """
    problems: list[str] = []
    folders: dict[str, int] = {}
    requests: dict[str, int] = {}
    for row, job in enumerate(jobs):
        if job is None:
            continue
        first = folders.setdefault(job["output_name"], row)
        if first != row:
            problems.append(
                f"{place(row, 'output_name')}: {job['output_name']!r} is the output_name of jobs[{first}] too; "
                "give each job its own"
            )
        first = requests.setdefault(job["request_id"], row)
        if first != row and jobs[first]["output_name"] != job["output_name"]:  # type: ignore[index]
            problems.append(
                f"{place(row, 'request_id')}: {job['request_id']!r} is the request_id of jobs[{first}] too; "
                "give each job its own"
            )
        elif first != row and job["request_id"] != job["output_name"].replace("/", ":"):  # else told above
            problems.append(f"{place(row, 'request_id')}: {job['request_id']!r} stands twice; remove one row")
    return problems + _nested(folders, place)


def _nested(folders: dict[str, int], place: Place) -> list[str]:
    problems = []
    for folder, row in folders.items():
        parent = folder
        while "/" in parent:
            parent = parent[: parent.rindex("/")]
            if parent in folders:
                problems.append(
                    f"{place(row, 'output_name')}: {folder!r} lies inside the folder of jobs[{folders[parent]}] "
                    f"({parent!r}); choose another"
                )
                break
    return problems
