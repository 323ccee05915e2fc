"""Files to jobs, jobs to a manifest, a manifest to audio on this machine. Knows no Redis and no process of ours."""
