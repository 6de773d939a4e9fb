#!/usr/bin/env bash
# Backs up and restores the app that this folder (backups/) lies in: finds the app and the program chastipi-backup, runs the
# program with whatever it is given, notes both in the app's logs/backup.log, and ends with the program's exit status.
# README.md beside this file is the guide; `backup.sh --help` lists the verbs.
#
# Environment: CHASTIPI_BACKUP_BIN names the program where none of the usual places is right.
set -euo pipefail

NEEDED_SWIFT=6.2
NEEDED_MEMORY_KB=2000000

KIT=     # this folder, all links resolved
APP=     # the app it belongs to
PROGRAM= # what is run
CHECKOUT= # the source that the program could be built from
LOG=
declare -a ARGUMENTS=()

main() {
    KIT=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
    APP=$(dirname -- "$KIT")
    LOG=$APP/logs/backup.log

    local started=$SECONDS status=0
    note "backup.sh $(masked "$@")"
    find_program || status=1
    if [[ $status -eq 0 ]]; then
        place_options "$@"
        run_program "${ARGUMENTS[@]}" || status=$?
        status=$(explained "$status")
    fi
    note "ended with status $status ($(meaning "$status")) after $((SECONDS - started)) s"
    return "$status"
}

say() {
    printf 'backup.sh: %s\n' "$*" >&2
}

# --- the program -------------------------------------------------------------------------------------------------------------

find_program() {
    local candidate
    if [[ -n ${CHASTIPI_BACKUP_BIN:-} ]]; then
        PROGRAM=$CHASTIPI_BACKUP_BIN
        [[ -f $PROGRAM ]] || { say "error: CHASTIPI_BACKUP_BIN names $PROGRAM, which is not a file."; return 1; }
        return
    fi
    find_checkout
    for candidate in "$KIT/bin/chastipi-backup" "$KIT/chastipi-backup" ${CHECKOUT:+"$CHECKOUT/.build/release/chastipi-backup"}; do
        # An empty file is a copy that was cut off.
        if [[ -f $candidate && -s $candidate ]]; then
            PROGRAM=$candidate
            return
        fi
    done
    if PROGRAM=$(type -P chastipi-backup); then
        return
    fi
    build_program
}

# The source, where this folder is part of it, lies in its example, or the app has the source beside it.
find_checkout() {
    local candidate
    for candidate in "$APP" "$APP/../.." "$APP/../chastipi-backup"; do
        # What we build we run: nobody else's folder, even if it lies where ours could be.
        if grep -qs 'name: "chastipi-backup"' "$candidate/Package.swift" && owned_by_us "$candidate/Package.swift"; then
            CHECKOUT=$(readlink -f -- "$candidate")
            return
        fi
    done
}

owned_by_us() {
    [[ -O $1 || $(stat -L -c %u -- "$1") -eq 0 || $(stat -L -c %u -- "$1") -eq $(stat -c %u -- "$KIT") ]]
}

build_program() {
    local reason
    if reason=$(reason_not_to_build); then
        say "error: the program chastipi-backup is missing ($KIT/bin/chastipi-backup)."
        say "Get it from a source checkout of chastipi-backup, on this or a like computer: make kit APP=$(printf %q "$APP")"
        say "It is not built here: $reason."
        return 1
    fi
    say "the program is missing; building it in $CHECKOUT (this takes some minutes) ..."
    # Standard output belongs to the verb. Packages are not installed behind the user's back.
    if ! CHASTIPI_NO_INSTALL=1 make -C "$CHECKOUT" build >&2 </dev/null; then
        say "error: the build failed (see above). Try: make -C $(printf %q "$CHECKOUT") build"
        return 1
    fi
    PROGRAM=$CHECKOUT/.build/release/chastipi-backup
    [[ -f $PROGRAM ]] || { say "error: the build left no $PROGRAM."; return 1; }
}

# Prints why building is out of the question; fails where nothing speaks against it.
reason_not_to_build() {
    local version available
    if [[ -z $CHECKOUT ]]; then
        echo "this folder is not in or beside a source checkout"
        return
    fi
    if ! command -v swift >/dev/null || ! command -v make >/dev/null; then
        echo "Swift $NEEDED_SWIFT or newer and make are needed"
        return
    fi
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1)
    if [[ $(printf '%s\n' "$NEEDED_SWIFT" "${version:-0}" | sort -V | head -n 1) != "$NEEDED_SWIFT" ]]; then
        echo "Swift $NEEDED_SWIFT or newer is needed, this one is ${version:-unknown}"
        return
    fi
    available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
    if [[ ${available:-0} -lt $NEEDED_MEMORY_KB ]]; then
        echo "a build needs 2 GB of free memory, there are $((${available:-0} / 1000)) MB"
        return
    fi
    return 1
}

# --- its arguments -----------------------------------------------------------------------------------------------------------

# Says where app and backups are, unless the user did. The options go right after the verb: behind a `--` they would be names.
place_options() {
    local -a verb=() places=()
    local words
    words=$(words_of_verb "$@")
    if [[ $words -gt 0 ]]; then
        verb=("${@:1:words}")
        shift "$words"
        # Another app's backups are not ours to keep: with --app DIR the program looks in DIR/backups.
        if ! has_option --app "$@"; then
            places+=(--app "$APP")
            has_option --backup-dir "$@" || places+=(--backup-dir "$KIT")
        fi
    fi
    ARGUMENTS=("${verb[@]}" "${places[@]}" "$@")
}

# How many words the verb has: none where the program is only asked for help or its version.
words_of_verb() {
    case ${1:-} in
        '' | -* | help) echo 0 ;;
        config) [[ ${2:--} == -* ]] && echo 0 || echo 2 ;;
        repository)
            case ${2:--} in
                -*) echo 0 ;;
                key | repair) [[ ${3:--} == -* ]] && echo 0 || echo 3 ;;
                *) echo 2 ;;
            esac
            ;;
        *) echo 1 ;;
    esac
}

has_option() {
    local wanted=$1 argument
    shift
    for argument in "$@"; do
        case $argument in
            --) return 1 ;;
            "$wanted" | "$wanted"=*) return 0 ;;
        esac
    done
    return 1
}

# --- running it --------------------------------------------------------------------------------------------------------------

CHILD=
CAUGHT=

# The program runs in the background, because bash would hold back a signal until a program in the foreground has ended. It
# keeps our standard input and stays in the terminal's foreground group, so it can ask questions. Ctrl-C reaches it twice, from
# the terminal and from here: the program takes signals in quick succession for one.
run_program() {
    local status
    trap 'forward HUP' HUP
    trap 'forward INT' INT
    trap 'forward TERM' TERM
    # A closed standard input could not be handed on.
    [[ -e /proc/self/fd/0 ]] || exec </dev/null
    # bash makes programs in the background ignore INT and QUIT; `trap -` undoes that.
    (
        trap - HUP INT QUIT TERM
        exec "$PROGRAM" "$@"
    ) <&0 &
    CHILD=$!
    # A signal may have come before CHILD was known.
    [[ -z $CAUGHT ]] || kill -s "$CAUGHT" "$CHILD" 2>/dev/null || true
    while true; do
        CAUGHT=
        status=0
        # A forwarded signal ends the waiting, not the program; bash's own remark on a killed program is replaced by ours.
        wait "$CHILD" 2>/dev/null || status=$?
        [[ -n $CAUGHT ]] || break
    done
    trap - HUP INT TERM
    return "$status"
}

forward() {
    CAUGHT=$1
    [[ -z $CHILD ]] || kill -s "$1" "$CHILD" 2>/dev/null || true
}

# Prints the status to end with: the program's own, or 1 with a reason where it could not even start.
explained() {
    local status=$1 machine
    case $status in
        1)
            # bash itself ends with 1 where it cannot run a program for another machine.
            if machine=$(foreign_machine); then
                say "error: $PROGRAM is a program for $machine, and this computer is $(uname -m)."
                say "Put in a kit that was made on a computer like this one (make kit APP=DIR)."
            fi
            ;;
        126)
            say "error: $PROGRAM cannot be run: it is not executable (chmod +x), or its file system is mounted noexec."
            status=1
            ;;
        127)
            say "error: $PROGRAM could not start: a library is missing, or it was built for another system."
            say "To see which: ldd $(printf %q "$PROGRAM")"
            status=1
            ;;
        137) say "error: the program was killed (signal 9; perhaps memory ran out). If it was restoring, run: backup.sh recover" ;;
        134 | 135 | 136 | 139)
            say "error: the program crashed (signal $((status - 128))). If it was restoring, run: backup.sh recover"
            ;;
    esac
    echo "$status"
}

# Prints what machine the program is for, if that is another one than the running bash is for.
foreign_machine() {
    local theirs
    theirs=$(machine_of "$PROGRAM")
    [[ -n $theirs && $theirs != "$(machine_of "/proc/$$/exe")" ]] || return 1
    case $theirs in
        40) echo "32-bit ARM" ;;
        62) echo x86_64 ;;
        183) echo aarch64 ;;
        243) echo RISC-V ;;
        *) echo "another machine" ;;
    esac
}

# Prints the byte that stands for the machine in an ELF file; nothing for any other file.
machine_of() {
    local -a bytes
    read -r -a bytes < <(od -An -v -tu1 -w19 -N19 -- "$1" 2>/dev/null) || true
    [[ "${bytes[*]:0:4}" != "127 69 76 70" ]] || echo "${bytes[18]:-}"
}

# --- the log -----------------------------------------------------------------------------------------------------------------

# Adds a line to the log. A log that cannot be written never stops a backup.
note() {
    local line
    printf -v line '%(%Y-%m-%dT%H:%M:%S%z)T [%d] %s' -1 $$ "$1"
    (
        umask 077
        # Whoever can write in logs/ must not make us write elsewhere or wait for ever.
        if [[ -d $APP/logs ]] || mkdir -- "$APP/logs"; then
            if [[ ! -L $LOG && (-f $LOG || ! -e $LOG) ]]; then
                printf '%s\n' "$line" >>"$LOG"
            fi
        fi
    ) 2>/dev/null || true
}

# The arguments on one line as the shell would read them, without secrets.
masked() {
    local argument shown hide_next=no
    local -a words=()
    for argument in "$@"; do
        printf -v shown %q "$argument"
        if [[ $hide_next == yes ]]; then
            shown='***'
            hide_next=no
        elif [[ $argument == --password*=* || $argument == --encrypt=* ]]; then
            printf -v shown '%q=***' "${argument%%=*}"
        elif [[ $argument == --password* ]]; then
            hide_next=yes
        elif [[ $shown =~ ^(.*://[^/@:]*:).*(@.*)$ ]]; then
            # user:password@ in an address
            shown="${BASH_REMATCH[1]}***${BASH_REMATCH[2]}"
        fi
        words+=("$shown")
    done
    echo "${words[*]}"
}

meaning() {
    case $1 in
        0) echo "done" ;;
        1) echo "failed" ;;
        2) echo "wrong usage" ;;
        3) echo "done, but not everything" ;;
        4) echo "too old" ;;
        10) echo "no such backup" ;;
        11) echo "locked by another run" ;;
        12) echo "wrong password" ;;
        20) echo "damage found" ;;
        129 | 130 | 143) echo "interrupted" ;;
        *) echo "ended by a fault" ;;
    esac
}

main "$@"
