"""A file to jobs whose voices exist: what `plan`, `compile`, `run` and the enqueueing commands begin with."""

from __future__ import annotations

from lib.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lib.jobqueue.spec import JobSpec
    from lib.manifest.rows import Place


def checked_jobs(path: str, cache: str | None) -> list[JobSpec]:
    """Return the jobs of a file, or raise InputError with all its faults, missing voices among them."""
    from lib.manifest import tree
    from lib.manifest.jobs import load_job_file

    if not tree.HAS_C_LOADER:
        from cli import console

        console.warn("job-runner: this PyYAML has no C loader (libyaml); large files will take several times longer")
    file = load_job_file(path)
    check_voices(file.jobs, cache, file.place)
    return file.jobs


def check_voices(jobs: list[JobSpec], cache: str | None, place: Place) -> None:
    """Raise InputError naming every voice, speaker or profile that does not exist."""
    from lib.manifest.summary import missing_voices
    from lib.voices import cache_dir

    problems = missing_voices(jobs, cache_dir(cache), place)
    if problems:
        raise InputError(problems)
