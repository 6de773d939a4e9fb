#!/usr/bin/env bash
# Updates this app: first a backup, then the new version from git, then the Python packages.
# Nothing is updated unless the backup is complete.
set -euo pipefail

# Essential items, for the legacy backup only; the backup system has its own list.
ESSENTIAL=(
    app.py run.py requirements.txt README.md install.sh update.sh config.json custom_modes.json
    .env chasti_pi plugins templates static data uploads
)
LEGACY_UNFINISHED=

main() {
    for argument in "$@"; do
        case $argument in
            -h | --help) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
    done
    cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"
    back_up
    fetch_new_version
    install_requirements
    echo "update.sh: done. Restart the app to use the new version."
}

usage() {
    cat <<'TEXT'
usage: ./update.sh
Makes a backup, then updates the app. Stops before changing anything if the backup fails or is not complete.
TEXT
}

say() {
    echo "update.sh: $*"
}

stop() {
    local status=$1
    shift
    echo "update.sh: $* Nothing was updated." >&2
    exit "$status"
}

back_up() {
    # A dangling link means that the system is meant to be there (a disk not mounted): no reason for the legacy way.
    if [[ -e backups/backup.sh || -L backups/backup.sh || -L backups && ! -e backups ]]; then
        back_up_with_system
    else
        back_up_legacy
    fi
}

back_up_with_system() {
    local status=0
    say "backup before the update: ./backups/backup.sh auto"
    ./backups/backup.sh auto || status=$?
    case $status in
        0) ;;
        3) stop 3 "the backup is not complete: what is listed above could not be read. Make it readable or exclude it, then try again." ;;
        *) stop "$status" "the backup failed with status $status." ;;
    esac
}

back_up_legacy() {
    local name
    name=backup_$(date +%Y%m%d_%H%M%S)
    say "no backup system in backups/; making a plain copy in $name/ instead."
    say "a database that the app is writing to may be copied half-way: stop the app first to be sure."
    [[ ! -e $name ]] || stop 1 "$name exists already."

    # Copied under another name first, so that a copy with the final name is always a whole one.
    LEGACY_UNFINISHED=.$name.unfinished
    trap 'rm -rf -- "$LEGACY_UNFINISHED"' EXIT
    mkdir -m 700 -- "$LEGACY_UNFINISHED"
    local item
    for item in "${ESSENTIAL[@]}" *.ini *.yaml *.toml; do
        if [[ -e $item || -L $item ]]; then
            cp -a -- "$item" "$LEGACY_UNFINISHED/" || stop 1 "the backup failed: $item could not be copied."
        fi
    done
    sync -f "$LEGACY_UNFINISHED"
    mv -T -- "$LEGACY_UNFINISHED" "$name" || stop 1 "the backup failed: $name could not be made."
    trap - EXIT
    say "backup made: $name/"
}

fetch_new_version() {
    # The top level is compared because a folder inside somebody else's repository is not a checkout of this app.
    local top
    top=$(git rev-parse --show-toplevel 2>/dev/null) || top=
    if [[ -z $top || ! $top -ef . || -z $(git remote) ]]; then
        say "this folder is not a git checkout with a remote: there is nothing to fetch."
        return
    fi
    say "git pull --ff-only"
    git pull --ff-only || stop 1 "git could not update this folder (see above)."
}

install_requirements() {
    local python
    for python in venv/bin/python .venv/bin/python; do
        if [[ -x $python ]] && "$python" -m pip --version >/dev/null 2>&1; then
            say "$python -m pip install -r requirements.txt"
            "$python" -m pip install --quiet -r requirements.txt
            return
        fi
    done
    say "no virtual environment here: Flask comes from the system's packages."
}

# bash reads a script while it runs it, and this one may be replaced by the update: nothing may be read after main.
main "$@"
exit
