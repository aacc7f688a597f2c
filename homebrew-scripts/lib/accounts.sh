# shellcheck shell=bash
# Accounts of base images: dscl(1) on macOS, shadow-utils on Linux. Needs report.sh.

# Marks an account as made by these scripts; no other is ever changed or removed.
readonly account_comment='obuilder base image'

on_macos() { [ "$(uname -s)" = Darwin ]; }

# The directory that homes, and so base images, lie in.
homes() {
    if on_macos; then echo /Users; else echo /home; fi
}

# uid_of NAME: nothing if there is no such account.
uid_of() { id -u "$1" 2>/dev/null || true; }

# name_of UID: nothing if there is no such account.
name_of() { id -un "$1" 2>/dev/null || true; }

comment_of() {
    if on_macos; then
        # One word stands beside the key, several on the line below.
        dscl . -read "/Users/$1" RealName 2>/dev/null | sed -e 's/^RealName://' -e 's/^ *//' -e '/^$/d'
    else
        getent passwd "$1" | cut -d: -f5
    fi
}

# home_of NAME: nothing if it has none.
home_of() {
    if on_macos; then
        dscl . -read "/Users/$1" NFSHomeDirectory 2>/dev/null | sed 's/^NFSHomeDirectory: *//'
    else
        getent passwd "$1" | cut -d: -f6
    fi
}

# require_own NAME: an account that new-user.sh made.
require_own() {
    [ -n "$(uid_of "$1")" ] || lacking "there is no user '$1'; make it first: new-user.sh UID $1"
    [ "$(comment_of "$1")" = "$account_comment" ] ||
        lacking "the user '$1' is not a base image's (its comment is not '$account_comment'); choose another name"
}

# create_account UID NAME HOME: safe to be called again after it was killed half-way.
create_account() {
    if on_macos; then
        # The mark comes first, so that a half-made account is known as ours.
        dscl . -create "/Users/$2" RealName "$account_comment" &&
            dscl . -create "/Users/$2" UniqueID "$1" &&
            dscl . -create "/Users/$2" PrimaryGroupID 20 &&
            dscl . -create "/Users/$2" NFSHomeDirectory "$3" &&
            dscl . -create "/Users/$2" UserShell /bin/bash &&
            dscl . -create "/Users/$2" IsHidden 1
    elif [ -z "$(uid_of "$2")" ]; then
        useradd --no-log-init --no-create-home --user-group --uid "$1" --home-dir "$3" --shell /bin/bash \
            --comment "$account_comment" "$2"
    fi
}

delete_account() {
    if on_macos; then
        dscl . -delete "/Users/$1"
    else
        # It says that there is no mail and no home, which is as it should be.
        userdel "$1" 2>/dev/null
    fi
}

# processes_of UID: their ids, of those that live.
processes_of() { ps -U "$1" -o pid=,stat= | awk '$2 !~ /^Z/ { print $1 }'; }

# kill_processes UID: until none is left.
kill_processes() {
    local tries left
    command -v ps >/dev/null || lacking "no program ps, which shows what processes a user has; install procps"
    for tries in 1 2 3 4 5 6 7 8 9 10; do
        left=$(processes_of "$1")
        [ -n "$left" ] || return 0
        [ "$tries" -eq 1 ] || sleep 0.2
        # shellcheck disable=SC2086 # A list of numbers.
        kill -KILL $left 2>/dev/null || true
    done
    failed "processes of uid $1 will not die: ${left//$'\n'/ }"
}

# Where a user may be allowed to use sudo without a password; only while Homebrew's installer runs on macOS.
# sudo reads no file with a dot in its name.
sudoers_of() { echo "${OBUILDER_SUDOERS:-/etc/sudoers.d}/obuilder-${1//./_}"; }
