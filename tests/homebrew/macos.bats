#!/usr/bin/env bats
# What the scripts would start on macOS: its programs are replaced by ones that write down how they were called.
bats_require_minimum_version 1.5.0

# shellcheck source=scripts.bash
load scripts

setup() {
    need root is_root
    fake=$BATS_TEST_TMPDIR/fake
    log=$BATS_TEST_TMPDIR/log
    homes=$BATS_TEST_TMPDIR/homes
    mkdir "$fake" "$homes" "$BATS_TEST_TMPDIR/sudoers"
    export log homes OBUILDER_SUDOERS=$BATS_TEST_TMPDIR/sudoers PATH=$fake:$PATH
    fake uname 'echo Darwin'
    # The user database: a file for each record and key.
    # shellcheck disable=SC2016
    fake dscl 'record=$log.db/${3##*/}
case $2 in
    -create) mkdir -p "$record"; printf "%s" "${5-}" >"$record/$4" ;;
    -read) [ -e "$record/$4" ] || exit 56; case $(cat "$record/$4") in *" "*) printf "%s:\n %s\n" "$4" "$(cat "$record/$4")" ;; *) echo "$4: $(cat "$record/$4")" ;; esac ;;
    -delete) rm -r "$record" ;;
esac'
    # shellcheck disable=SC2016
    fake id 'case $1 in
    -u) [ $# -eq 2 ] || { echo 0; exit; }; [ -e "$log.db/$2/UniqueID" ] && cat "$log.db/$2/UniqueID" ;;
    -un) for record in "$log.db"/*; do [ "$(cat "$record/UniqueID" 2>/dev/null)" != "$2" ] || basename "$record"; done ;;
    -g) cat "$log.db/$2/PrimaryGroupID" ;;
esac'
    fake ps ''
}

# fake NAME SCRIPT
fake() {
    # shellcheck disable=SC2016 # The fake writes its own arguments.
    printf '#!/bin/bash\necho "%s $*" >>"$log"\n%s\n' "$1" "$2" >"$fake/$1"
    chmod +x "$fake/$1"
}

@test "an account is made with dscl, its mark first" {
    "$scripts/new-user.sh" 51998 base --homes="$homes"
    [ "$(grep '^dscl . -create' "$log")" = "dscl . -create /Users/base RealName obuilder base image
dscl . -create /Users/base UniqueID 51998
dscl . -create /Users/base PrimaryGroupID 20
dscl . -create /Users/base NFSHomeDirectory $homes/base
dscl . -create /Users/base UserShell /bin/bash
dscl . -create /Users/base IsHidden 1" ]
    [ "$(stat -c '%u:%g' "$homes/base/local")" = 51998:20 ]
}

@test "run twice, or killed after any of the commands, it ends with the same account" {
    "$scripts/new-user.sh" 51998 base --homes="$homes"
    whole=$(cd "$log.db" && grep -r . . | sort)
    "$scripts/new-user.sh" 51998 base --homes="$homes"
    [ "$(cd "$log.db" && grep -r . . | sort)" = "$whole" ]
    for key in IsHidden UserShell NFSHomeDirectory PrimaryGroupID UniqueID; do
        rm "$log.db/base/$key"
        "$scripts/new-user.sh" 51998 base --homes="$homes"
        [ "$(cd "$log.db" && grep -r . . | sort)" = "$whole" ]
    done
}

@test "the installer runs with sudo allowed, which is taken back however it ends" {
    "$scripts/new-user.sh" 51998 base.1 --homes="$homes"
    mkdir "$BATS_TEST_TMPDIR/board"
    # shellcheck disable=SC2016
    fake obuilderfs 'echo "scoreboard        ${log%/*}/board"'
    # shellcheck disable=SC2016
    fake sudo 'case $* in *DARWIN_USER_TEMP_DIR) echo /var/folders/xy ;; *) cat "$OBUILDER_SUDOERS/obuilder-base_1" >>"$log"; readlink "${log%/*}/board/51998" >>"$log"; exit 7 ;; esac'
    run "$scripts/init-homebrew.sh" base.1 --prefix=/opt
    echo "$output"
    [ "$status" -eq 7 ]
    grep -qxF 'base.1 ALL=(ALL) NOPASSWD: ALL' "$log"
    grep -qxF "$homes/base.1" "$log"
    grep -q "^sudo -H -u base.1 -- /usr/bin/env -i PATH=/opt/bin:/opt/sbin:/usr/local/bin:[^ ]* HOME=$homes/base.1 USER=base.1 LOGNAME=base.1 TMPDIR=/var/folders/xy /bin/bash -c " "$log"
    grep -q 'install-homebrew.sh --prefix=/opt$' "$log"
    [ -z "$(find "$OBUILDER_SUDOERS" "$BATS_TEST_TMPDIR/board" -mindepth 1)" ]
}

@test "cleaning up deletes the account and the right to sudo" {
    "$scripts/new-user.sh" 51998 base --homes="$homes"
    touch "$OBUILDER_SUDOERS/obuilder-base"
    "$scripts/cleanup.sh" base --scoreboard="$BATS_TEST_TMPDIR"
    [ ! -e "$log.db/base" ]
    [ -z "$(ls -A "$OBUILDER_SUDOERS")" ]
    [ -d "$homes/base/local" ]
}

@test "without the Command Line Tools Homebrew is not begun with" {
    fake xcode-select 'exit 2'
    copy=$BATS_TEST_TMPDIR/install-homebrew.sh
    cp "$scripts/install-homebrew.sh" "$copy"
    chmod -R go+rX "$BATS_RUN_TMPDIR"
    touch "$log"
    chmod 0666 "$log"
    rm "$fake/id"
    HOME=$homes refused 3 'install-homebrew.sh: no Command Line Tools, which Homebrew needs; install them: xcode-select --install' \
        setpriv --reuid=65534 --regid=65534 --clear-groups -- /bin/bash "$copy"
}
