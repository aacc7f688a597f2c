# shellcheck shell=bash
# Commands run as a base image's user who sees its own `local` at the prefix. Needs report.sh and accounts.sh.

obuilderfs=${OBUILDERFS:-obuilderfs}

# require_mount PREFIX WANTED: sets `scoreboard` to that of the obuilderfs mounted at PREFIX, which must be WANTED
# unless that is empty.
require_mount() {
    local status
    command -v "$obuilderfs" >/dev/null ||
        lacking "no program $obuilderfs; install obuilderfs, or say where it is: OBUILDERFS=/path/to/obuilderfs"
    case $obuilderfs in [!/]*/*) obuilderfs=$PWD/$obuilderfs ;; esac
    status=$("$obuilderfs" status "$1" 2>&1) ||
        lacking "no obuilderfs is mounted at $1; mount it: obuilderfs ${2:-SCOREBOARD} $1 (it said: $status)"
    scoreboard=$(printf '%s\n' "$status" | sed -n 's/^scoreboard  *//p')
    [ -d "$scoreboard" ] || lacking "the obuilderfs at $1 shows the scoreboard '$scoreboard', which is not there"
    [ -z "$2" ] || [ "$scoreboard" -ef "$2" ] ||
        lacking "the obuilderfs at $1 is for the scoreboard $scoreboard, not for $2; unmount it, or use its scoreboard"
}

# begin_turn NAME [LAST]: shows NAME's home to NAME, until the script ends; one script at a time for each user. The
# command LAST is run at the end too. `scoreboard` must be set.
begin_turn() {
    turn_name=$1 turn_uid=$(uid_of "$1") turn_last=${2:-true}
    take_turn "$scoreboard/.turn-$turn_uid"
    trap end_turn EXIT
    trap 'exit 130' INT TERM HUP
    # What a killed script left running must not work beside us.
    kill_processes "$turn_uid"
    publish "$turn_uid" "$(home_of "$turn_name")"
}

end_turn() {
    trap - EXIT
    "$turn_last"
    kill_processes "$turn_uid"
    [ -z "$published" ] || rm -f "$scoreboard/$turn_uid"
    rm -f "$scoreboard/.turn-$turn_uid"
}

# take_turn FILE: a turn whose process is gone counts for nothing.
take_turn() {
    local holder
    until ln -s "$$" "$1" 2>/dev/null; do
        holder=$(readlink "$1") || failed "cannot write to the scoreboard $scoreboard; is its disk full?"
        ! kill -0 "$holder" 2>/dev/null || lacking "process $holder is at work for $turn_name; wait for it, or end it"
        rm -f "$1"
    done
}

# publish UID HOME: sets `published` unless the home was shown already.
published=
publish() {
    local link=$scoreboard/$1 shown
    shown=$(readlink "$link" || true)
    [ "$shown" != "$2" ] || return 0
    [ -z "$shown" ] ||
        lacking "uid $1 is shown $shown, not $2; if no build uses it, remove the link: rm $link"
    ln -s "$2" "$link" || failed "cannot make the link $link; is the scoreboard's disk full?"
    published=yes
}

# run_in_view PREFIX NAME SCRIPT ARGUMENT…: runs the text of SCRIPT, as NAME may not be able to read the file.
run_in_view() {
    # In the background, so that a signal is not kept waiting.
    start_in_view "$@" &
    wait $!
}

start_in_view() {
    local prefix=$1 name=$2 script=$3
    shift 3
    set -- /bin/bash -c "$(cat "$script")" "${script##*/}" "$@"
    local path=$prefix/bin:$prefix/sbin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
    cd /
    if on_macos; then
        sudo -H -u "$name" -- /usr/bin/env -i PATH="$path" HOME="$(home_of "$name")" USER="$name" \
            LOGNAME="$name" TMPDIR="$(sudo -u "$name" getconf DARWIN_USER_TEMP_DIR)" "$@" </dev/null
    else
        # shellcheck disable=SC2016 # The inner shell knows the user's variables.
        "$obuilderfs" enter "$prefix" --uid="$(uid_of "$name")" -- \
            /bin/sh -c 'exec env -i PATH="$0" HOME="$HOME" USER="$USER" LOGNAME="$LOGNAME" "$@"' "$path" "$@" \
            </dev/null
    fi
}
