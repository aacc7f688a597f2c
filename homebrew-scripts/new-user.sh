#!/bin/bash
# Makes the user whose home is to become a base image: account, home, local/, .obuilder_profile.sh.
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
Usage: new-user.sh UID NAME [--homes=DIR]

Makes the user NAME with the user id UID (500 or more) and the home DIR/NAME, which is a base image: a spec may
begin with (from NAME). Run again, it finishes what is missing and changes nothing else.

  --homes=DIR   where homes are [default: /home, on macOS /Users]
HELP
}

# make_home HOME UID NAME: beside its place, then in it, so that there is never half a home.
make_home() {
    local new=${1%/*}/.$3.new group
    rm -rf "$new"
    if ! mkdir -m 0755 "$new" "$new/local" || ! : >"$new/.obuilder_profile.sh"; then
        rm -rf "$new"
        failed "cannot make the home $1; is the disk full?"
    fi
    group=$(id -g "$3")
    chown -R "$2:$group" "$new"
    mv "$new" "$1"
}

# check_free UID NAME HOME: nobody else's uid, name or home. An account killed half-way may lack a home.
check_free() {
    local uid name home
    name=$(name_of "$1")
    uid=$(uid_of "$2")
    [ -z "$name" ] || [ "$name" = "$2" ] ||
        lacking "uid $1 is the user $name's; choose another one"
    [ -z "$uid" ] || [ "$uid" = "$1" ] ||
        lacking "the user '$2' is there with uid $uid, not $1; choose another name, or remove it: cleanup.sh $2"
    [ -z "$uid" ] || require_own "$2"
    home=$(home_of "$2")
    [ -z "$home" ] || [ "$home" = "$3" ] ||
        lacking "the user '$2' has the home $home, not $3; choose another name, or remove it: cleanup.sh $2"
    # A home may stay when its user goes.
    [ ! -e "$3" ] || [ -n "$(find "$3" -prune -user "$1" -type d)" ] ||
        lacking "$3 is there and does not belong to uid $1; choose another name, or move it away"
}

uid='' name='' homes=$(homes)
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            help
            exit 0
            ;;
        --homes=*) homes=${1#*=} ;;
        -*) unknown_option "$1" ;;
        *)
            if [ -z "$uid" ]; then
                [ -n "$1" ] || check_uid ''
                uid=$1
            elif [ -z "$name" ]; then
                check_name "$1"
                name=$1
            else
                usage_error "'$1' is one argument too many; it takes UID and NAME"
            fi
            ;;
    esac
    shift
done
[ -n "$name" ] || usage_error "give a user id and a name: new-user.sh UID NAME"
check_uid "$uid"
check_directory --homes "$homes"
require_root "making a user"

home=${homes%/}/$name
check_free "$uid" "$name" "$home"
create_account "$uid" "$name" "$home" || failed "the user '$name' could not be made; run it again when that is mended"
[ -e "$home" ] || make_home "$home" "$uid" "$name"
say "user $name (uid $uid) has the home $home; next: init-homebrew.sh $name"
