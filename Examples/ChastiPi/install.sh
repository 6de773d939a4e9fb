#!/usr/bin/env bash
# Prepares this folder to run the app: data folders, the key, and where asked for a virtual environment.
# Safe to run again: what is there stays.
set -euo pipefail

main() {
    local with_venv=no
    for argument in "$@"; do
        case $argument in
            --venv) with_venv=yes ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; exit 2 ;;
        esac
    done
    cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"
    require_python
    make_folders
    make_key
    if [[ $with_venv == yes ]]; then
        make_venv
    fi
    say_how_to_start
}

usage() {
    cat <<'TEXT'
usage: ./install.sh [--venv]
  --venv   install Flask into venv/ here, instead of using the system's python3-flask
TEXT
}

die() {
    echo "install.sh: $*" >&2
    exit 1
}

require_python() {
    command -v python3 >/dev/null || die "python3 is missing: sudo apt-get install python3"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || die "Python 3.9 or newer is needed"
}

make_folders() {
    # The key and the journal are private; uploads and logs follow the umask.
    mkdir -p data uploads logs
    chmod 700 data
}

make_key() {
    if [[ -e data/encryption.key ]]; then
        echo "data/encryption.key is there already."
        return
    fi
    if [[ -e data/journal.db ]]; then
        die "data/encryption.key is missing but the journal is there: restore the key from a backup"
    fi
    # noclobber: of two installations at once only one makes the key.
    (
        umask 077
        set -o noclobber
        python3 -c 'import secrets; print(secrets.token_hex(32))' >data/encryption.key
    )
    echo "made data/encryption.key"
}

make_venv() {
    if [[ ! -x venv/bin/python ]]; then
        python3 -m venv venv || die "cannot make venv/: sudo apt-get install python3-venv"
    fi
    venv/bin/python -m pip install --quiet -r requirements.txt
    echo "venv/ is ready"
}

say_how_to_start() {
    local python=python3
    if [[ -x venv/bin/python ]]; then
        python=venv/bin/python
    fi
    "$python" -c 'import flask' 2>/dev/null ||
        die "Flask is missing: sudo apt-get install python3-flask, or ./install.sh --venv"
    echo "Start the app with: $python run.py"
}

main "$@"
exit
