#!/bin/bash
# Removes a base image's user: its processes, its scoreboard link, its account, and on request its home.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/report.sh
. "$here/lib/report.sh"
# shellcheck source=lib/arguments.sh
. "$here/lib/arguments.sh"
# shellcheck source=lib/accounts.sh
. "$here/lib/accounts.sh"

help() {
    cat <<'HELP'
Usage: cleanup.sh NAME [--home] [--scoreboard=DIR]

Removes the user NAME that new-user.sh made: ends its processes, takes it off the scoreboard and deletes the
account. Its home stays, and with it the base image, unless --home is given.

  --home             remove the home too
  --scoreboard=DIR   the scoreboard [default: /run/obuilder, else /var/run/obuilder]
HELP
}

# The uid that a home was left with when its user went.
owner_of() { find "$1" -prune -type d -exec ls -dn {} + 2>/dev/null | awk '{ print $3 }'; }

remove_home() {
    # Out of its place first: there is never half a home.
    local going=${1%/*}/.$name.going
    rm -rf "$going"
    mv "$1" "$going"
    rm -rf "$going"
    say "removed $1"
}

name='' with_home='' scoreboard=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            help
            exit 0
            ;;
        --home) with_home=yes ;;
        --scoreboard=*)
            scoreboard=${1#*=}
            check_directory --scoreboard "$scoreboard"
            ;;
        -*) unknown_option "$1" ;;
        *) take_name "$1" ;;
    esac
    shift
done
[ -n "$name" ] || usage_error "give the name of the user: cleanup.sh NAME"
require_root "removing a user"
if [ -z "$scoreboard" ]; then
    scoreboard=/run/obuilder
    [ -d /run ] || scoreboard=/var/run/obuilder
fi

uid=$(uid_of "$name")
if [ -z "$uid" ]; then
    [ -z "$with_home" ] || lacking "there is no user '$name', so what its home was is not known; remove it by hand"
    say "there is no user $name; nothing to do"
    exit 0
fi
require_own "$name"
home=$(home_of "$name")
rm -f "$(sudoers_of "$name")"
kill_processes "$uid"
rm -f "$scoreboard/$uid" "$scoreboard/.turn-$uid"
if [ -n "$with_home" ] && [ -d "$home" ]; then
    [ "$(owner_of "$home")" = "$uid" ] || lacking "$home does not belong to $name; remove it by hand"
    remove_home "$home"
fi
delete_account "$name" || failed "the account '$name' could not be deleted"
say "removed the user $name (uid $uid)"
