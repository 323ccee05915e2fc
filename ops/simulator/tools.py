"""The programs of this machine that a box is made of, and the small scripts that make it look rented.

Owns where sshd and its helpers are found, and the texts of the box's shell, `nvidia-smi` and sshd configuration.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
)  # fmt: skip
_NSS_WRAPPERS = ("/usr/lib/*/libnss_wrapper.so", "/usr/lib64/libnss_wrapper.so", "/usr/lib/libnss_wrapper.so")

BANNER = "Welcome to vast.ai. If authentication fails, try again after a few seconds, and double check your ssh key.\n"

SHELL = """\
#!/bin/bash
# What sshd starts for every session: the box's own home, programs and environment.
export HOME={box}/home PATH={box}/bin:$PATH
while IFS= read -r line; do
    [[ $line =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] && export "$line"
done <{box}/etc/environment
cd "$HOME" || exit 1
if [[ -z ${{SSH_ORIGINAL_COMMAND:-}} ]]; then exec /bin/bash -i; fi
command=${{SSH_ORIGINAL_COMMAND//\\/etc\\/ssh\\/ssh_host_/{box}/etc/ssh/ssh_host_}}
command=${{command//\\/etc\\/environment/{box}/etc/environment}}
unset SSH_ORIGINAL_COMMAND
exec /bin/bash -c "$command"
"""

NVIDIA_SMI = """\
#!{python} -IS
# Answers for the card of this box; gpu.json beside it says which, and whether it still works.
import json, sys
from pathlib import Path
gpu = json.loads((Path(__file__).parent / "gpu.json").read_text())
if gpu["broken"]:
    print("Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system to recover this "
          "GPU")
    sys.exit(15)
arguments = sys.argv[1:]
query = next((one.partition("=")[2] for one in arguments if one.startswith("--query-gpu=")), None)
form = next((one.partition("=")[2] for one in arguments if one.startswith("--format=")), "")
if "-L" in arguments:
    for n in range(gpu["count"]):
        print(f"GPU {{n}}: NVIDIA {{gpu['name']}} (UUID: GPU-{{gpu['uuid'][:-1]}}{{n}})")
elif query is not None:
    units = {{"memory.total": " MiB", "memory.used": " MiB", "memory.free": " MiB", "utilization.gpu": " %"}}
    facts = {{"name": "NVIDIA " + gpu["name"], "gpu_name": "NVIDIA " + gpu["name"], "memory.total": gpu["ram_mb"],
             "memory.used": 1, "memory.free": gpu["ram_mb"] - 1, "driver_version": gpu["driver"], "count": gpu["count"],
             "compute_cap": gpu["compute_cap"] / 100, "utilization.gpu": 0, "uuid": "GPU-" + gpu["uuid"],
             "temperature.gpu": 40}}
    names = [one.strip() for one in query.split(",")]
    unknown = [one for one in names if one not in facts and one != "index"]
    if unknown:
        print(f'Field "{{unknown[0]}}" is not a valid field to query.')
        sys.exit(2)
    if "noheader" not in form:
        print(", ".join(one + (f" [{{units[one].strip()}}]" if one in units else "") for one in names))
    for n in range(gpu["count"]):
        print(", ".join(str(n if one == "index" else facts[one]) + ("" if "nounits" in form else units.get(one, ""))
                        for one in names))
else:
    print(f"NVIDIA-SMI {{gpu['driver']}}   Driver Version: {{gpu['driver']}}   CUDA Version: {{gpu['cuda']}}")
    for n in range(gpu["count"]):
        print(f"|  {{n}}  NVIDIA {{gpu['name']}}  |  1MiB / {{gpu['ram_mb']}}MiB  |")
"""

SSHD_CONFIG = """\
HostKey {key}
AuthorizedKeysFile {box}/etc/ssh/authorized_keys {box}/home/.ssh/authorized_keys
ForceCommand {box}/bin/box-shell
Banner {box}/etc/ssh/banner
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserRC no
PrintMotd no
UseDNS no
LoginGraceTime 60
AllowAgentForwarding no
SetEnv VAST_SIMULATOR_BOX={marker}
{subsystem}"""


class MissingToolError(Exception):
    """A program that boxes need is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Tools:
    """Where everything is, and the name a client logs in with."""

    sshd: str
    ssh_keygen: str
    sftp_server: str | None
    nss_wrapper: str | None
    login: str
    own_mounts: bool


def find_tools() -> Tools:
    """Look for sshd and its helpers; raises MissingToolError."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    sshd = shutil.which("sshd", path=path)
    keygen = shutil.which("ssh-keygen", path=path)
    if sshd is None or keygen is None or shutil.which("bash") is None:
        raise MissingToolError(
            "the simulator's boxes are real OpenSSH servers, and `sshd` is neither on PATH nor in /usr/sbin: install"
            " it (Debian and Ubuntu: `apt-get install openssh-server`; it need not run)"
        )
    user = pwd.getpwuid(os.getuid()).pw_name if os.getuid() else "root"
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd's unprivileged half lives; sshd insists on it
    wrapper = next((str(found) for one in _NSS_WRAPPERS for found in Path("/").glob(one[1:])), None)
    needs_wrapper = os.getuid() != 0
    return Tools(
        sshd=sshd,
        ssh_keygen=keygen,
        sftp_server=next((one for one in _SFTP_SERVERS if Path(one).exists()), None),
        nss_wrapper=wrapper if needs_wrapper else None,
        login="root" if not needs_wrapper or wrapper else user,
        own_mounts=_can_mount(),
    )


def mounted_home(free_bytes: int) -> list[str]:
    """The words that give a keeper, which follows them, a home on a disk of this size, seen by itself alone."""
    identity = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    mount = 'mount -t tmpfs -o "size=$1,mode=700" none "$2/home" && mkdir -p "$2/home/.ssh" && shift 2 && exec "$@"'
    return ["unshare", *identity, "--mount", "--propagation", "private", "sh", "-c", mount, "sh", str(free_bytes)]


def _can_mount() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    identity = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    probe = ["unshare", *identity, "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
