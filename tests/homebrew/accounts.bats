#!/usr/bin/env bats
# Users of base images on this machine: made, finished, refused, removed.
bats_require_minimum_version 1.5.0

# shellcheck source=scripts.bash
load scripts

setup() {
    need root is_root
    need 'useradd (passwd)' command -v useradd
    uid=$(free_uid)
    name=obtest-bats-$uid
    homes=$BATS_TEST_TMPDIR/homes
    board=$BATS_TEST_TMPDIR/board
    mkdir "$homes" "$board"
}

teardown() {
    [ -n "${uid-}" ] || return 0
    userdel "$name" 2>/dev/null || true
    rmdir "/run/obuilder-test-bats-$uid"
}

new_user() { "$scripts/new-user.sh" "$uid" "$name" --homes="$homes"; }

clean_up() { "$scripts/cleanup.sh" "$name" --scoreboard="$board" "$@"; }

@test "a new user has an account, a home, local and a profile" {
    run new_user
    [ "$output" = "new-user.sh: user $name (uid $uid) has the home $homes/$name; next: init-homebrew.sh $name" ]
    [ "$(getent passwd "$name")" = "$name:x:$uid:$(id -g "$name"):obuilder base image:$homes/$name:/bin/bash" ]
    [ "$(id -gn "$name")" = "$name" ]
    [ "$(cd "$homes" && find . ! -type l -printf '%p %M %U\n' | sort)" = ". drwxr-xr-x 0
./$name drwxr-xr-x $uid
./$name/.obuilder_profile.sh -rw-r--r-- $uid
./$name/local drwxr-xr-x $uid" ]
}

@test "run twice it changes nothing" {
    new_user
    echo mine >"$homes/$name/.obuilder_profile.sh"
    everything() { getent passwd "$name" && find "$homes" -printf '%p %M %U %T@\n'; }
    before=$(everything)
    new_user
    [ "$(everything)" = "$before" ]
}

@test "killed half-way it finishes what is missing" {
    # After the account, in the midst of the home.
    new_user
    rm -r "${homes:?}/$name"
    mkdir "$homes/.$name.new"
    touch "$homes/.$name.new/left"
    new_user
    [ "$(ls -A "$homes")" = "$name" ]
    [ "$(ls -A "$homes/$name")" = ".obuilder_profile.sh
local" ]
}

@test "a home that stayed serves the user made anew, with the same uid" {
    new_user
    echo kept >"$homes/$name/file"
    clean_up
    new_user
    [ "$(cat "$homes/$name/file")" = kept ]
}

@test "a taken uid, name or home is refused" {
    new_user
    refused 3 "new-user.sh: uid $uid is the user $name's; choose another one" \
        "$scripts/new-user.sh" "$uid" "$name-b" --homes="$homes"
    refused 3 "new-user.sh: the user '$name' is there with uid $uid, not $((uid + 1)); choose another name, or remove it: cleanup.sh $name" \
        "$scripts/new-user.sh" $((uid + 1)) "$name" --homes="$homes"
    refused 3 "new-user.sh: the user '$name' has the home $homes/$name, not $board/$name; choose another name, or remove it: cleanup.sh $name" \
        "$scripts/new-user.sh" "$uid" "$name" --homes="$board"
    clean_up --home
    mkdir "$homes/$name"
    refused 3 "new-user.sh: $homes/$name is there and does not belong to uid $uid; choose another name, or move it away" new_user
    [ -z "$(id -un "$uid" 2>/dev/null)" ]
}

@test "a person's account is neither taken over nor removed" {
    useradd --no-log-init --no-create-home --uid "$uid" --home-dir "$homes/$name" --comment 'A Person' "$name"
    why="the user '$name' is not a base image's (its comment is not 'obuilder base image'); choose another name"
    refused 3 "new-user.sh: $why" new_user
    refused 3 "cleanup.sh: $why" clean_up
    refused 3 "init-homebrew.sh: $why" "$scripts/init-homebrew.sh" "$name"
    [ "$(id -u "$name")" = "$uid" ]
}

@test "without space nothing half-made stays under the home's name" {
    need 'the right to mount' unshare --mount true
    full() {
        # shellcheck disable=SC2016
        unshare --mount sh -ec 'mount -t tmpfs -o size=4k,nr_inodes=2 none "$1"; "$2/new-user.sh" "$3" "$4" --homes="$1" 2>&1 || ls -A "$1"' \
            sh "$homes" "$scripts" "$uid" "$name"
    }
    run full
    [ "$(echo "$output" | tail -n 1)" = "new-user.sh: cannot make the home $homes/$name; is the disk full?" ]
    new_user
}

@test "cleaning up ends processes and removes link and account, and the home when told to" {
    new_user
    ln -s "$homes/$name" "$board/$uid"
    setpriv --reuid="$uid" --regid="$uid" --clear-groups -- sleep 1000 3>&- &
    sleeping=$!
    clean_up
    run wait "$sleeping"
    [ -z "$(ps -U "$uid" -o pid=)" ]
    [ -z "$(ls -A "$board")" ]
    [ -z "$(id -un "$uid" 2>/dev/null)" ]
    [ -d "$homes/$name/local" ]
    new_user
    clean_up --home
    [ -z "$(ls -A "$homes")" ]
    run clean_up
    [ "$status" -eq 0 ]
    [ "$output" = "cleanup.sh: there is no user $name; nothing to do" ]
    refused 3 "cleanup.sh: there is no user '$name', so what its home was is not known; remove it by hand" clean_up --home
}

@test "Homebrew is not installed without a user, a program, a mount" {
    refused 3 "init-homebrew.sh: there is no user '$name'; make it first: new-user.sh UID $name" "$scripts/init-homebrew.sh" "$name"
    new_user
    for script in init-homebrew.sh init-ocaml.sh; do
        OBUILDERFS=no-such-program refused 3 "$script: no program no-such-program; install obuilderfs, or say where it is: OBUILDERFS=/path/to/obuilderfs" \
            "$scripts/$script" "$name"
        cat >"$BATS_TEST_TMPDIR/obuilderfs" <<'FAKE'
#!/bin/sh
echo "obuilderfs: $2: no obuilderfs is mounted there" >&2
exit 3
FAKE
        chmod +x "$BATS_TEST_TMPDIR/obuilderfs"
        OBUILDERFS=$BATS_TEST_TMPDIR/obuilderfs refused 3 "$script: no obuilderfs is mounted at $homes; mount it: obuilderfs SCOREBOARD $homes (it said: obuilderfs: $homes: no obuilderfs is mounted there)" \
            "$scripts/$script" "$name" --prefix="$homes"
    done
}
