#!/usr/bin/env bats
# What is wrong on the command line is told in one line, before anything is done.
bats_require_minimum_version 1.5.0

# shellcheck source=scripts.bash
load scripts

commands=(cleanup.sh init-homebrew.sh init-ocaml.sh)

@test "help is given on standard output, without root" {
    for script in new-user.sh install-homebrew.sh install-ocaml.sh "${commands[@]}"; do
        run --separate-stderr "$scripts/$script" --help
        [ "$status" -eq 0 ]
        [[ $output == "Usage: $script "* ]]
        [ -z "$stderr" ]
    done
}

@test "an unknown option is named" {
    for script in new-user.sh "${commands[@]}"; do
        refused 2 "$script: unknown option --colour; --help shows those there are" "$scripts/$script" --colour=red
        refused 2 "$script: unknown option -x; --help shows those there are, with values written as --option=VALUE" \
            "$scripts/$script" -x
    done
    for script in install-homebrew.sh install-ocaml.sh; do
        refused 2 "$script: unknown option --colour; --help shows those there are, with values written as --option=VALUE" \
            "$scripts/$script" --colour=red
    done
}

@test "a missing argument is named" {
    refused 2 'new-user.sh: give a user id and a name: new-user.sh UID NAME' "$scripts/new-user.sh"
    refused 2 'new-user.sh: give a user id and a name: new-user.sh UID NAME' "$scripts/new-user.sh" 51999
    refused 2 'cleanup.sh: give the name of the user: cleanup.sh NAME' "$scripts/cleanup.sh"
    for script in init-homebrew.sh init-ocaml.sh; do
        refused 2 "$script: give the name of the base image's user: $script NAME" "$scripts/$script"
    done
}

@test "an argument too many is named" {
    refused 2 "new-user.sh: 'c' is one argument too many; it takes UID and NAME" "$scripts/new-user.sh" 51999 b c
    for script in "${commands[@]}"; do
        refused 2 "$script: 'two words' is one argument too many; it takes one NAME" "$scripts/$script" one 'two words'
    done
}

@test "a name that is a path, empty, odd or too long is refused" {
    for script in new-user.sh "${commands[@]}"; do
        words=()
        [ "$script" != new-user.sh ] || words=(51999)
        for name in a/b / ../x ..; do
            refused 2 "$script: '$name' is no name: a name must not hold '/' or '..'; give one such as macos-homebrew" \
                "$scripts/$script" "${words[@]}" "$name"
        done
        refused 2 "$script: a name must not be empty; give one, such as macos-homebrew" "$scripts/$script" "${words[@]}" ''
        # shellcheck disable=SC2016 # Nothing of it is to be expanded.
        for name in 'a b' 1a 'a;reboot' $'a\nb' 'é' 'a*' '$(id)'; do
            refused 2 "$script: '$name' is no name: it must begin with a letter and hold only letters, digits, '.', '_' and '-'" \
                "$scripts/$script" "${words[@]}" "$name"
        done
        long=$(printf 'a%.0s' {1..32})
        refused 2 "$script: '$long' is too long for an account's name; 31 letters are the most" \
            "$scripts/$script" "${words[@]}" "$long"
    done
}

@test "a uid that is none, or the system's, is refused" {
    for uid in x 7x 1e3 0700 ' 700' '700 '; do
        refused 2 "new-user.sh: '$uid' is no user id; give a number of 500 or more" "$scripts/new-user.sh" "$uid" name
    done
    for uid in 0 1 499; do
        refused 2 "new-user.sh: uid $uid is one of the system's own; give one of 500 or more" \
            "$scripts/new-user.sh" "$uid" name
    done
    refused 2 'new-user.sh: uid 99999999999999999999 is too large; give one below 1000000000' \
        "$scripts/new-user.sh" 99999999999999999999 name
}

@test "a directory that is none is named" {
    refused 2 'new-user.sh: --homes=/no such: there is no such directory' "$scripts/new-user.sh" 51999 n '--homes=/no such'
    refused 2 'new-user.sh: --homes=here is no absolute path' "$scripts/new-user.sh" 51999 n --homes=here
    refused 2 'init-homebrew.sh: --prefix=/no-such: there is no such directory' "$scripts/init-homebrew.sh" n --prefix=/no-such
    refused 2 'init-ocaml.sh: --scoreboard=/no-such: there is no such directory' "$scripts/init-ocaml.sh" n --prefix=/ --scoreboard=/no-such
    refused 2 'cleanup.sh: --scoreboard= is no absolute path' "$scripts/cleanup.sh" n --scoreboard=
}

@test "URLs, versions and package names are checked before anything is run" {
    refused 2 'install-homebrew.sh: --remote=here is neither a URL nor an absolute path' "$scripts/install-homebrew.sh" --remote=here
    refused 2 "install-homebrew.sh: --remote=--upload-pack=x begins with '-'" "$scripts/install-homebrew.sh" --remote=--upload-pack=x
    refused 2 'install-homebrew.sh: --remote= has no value; leave the option out for the default' "$scripts/install-homebrew.sh" --remote=
    refused 2 'install-homebrew.sh: --prefix=opt is no absolute path' "$scripts/install-homebrew.sh" --prefix=opt
    refused 2 'install-ocaml.sh: --ocaml=4;x is no version or package' "$scripts/install-ocaml.sh" '--ocaml=4;x'
    refused 2 'install-ocaml.sh: --compiler=-c is no version or package' "$scripts/install-ocaml.sh" --compiler=-c
    refused 2 'install-ocaml.sh: --repository=git@x is neither a URL nor an absolute path' "$scripts/install-ocaml.sh" --repository=git@x
}

@test "whoever is not root is told so" {
    need root is_root
    copy=$BATS_TEST_TMPDIR/scripts
    cp -r "$scripts" "$copy"
    chmod -R go+rX "$copy" "$BATS_RUN_TMPDIR"
    as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
    refused 3 'new-user.sh: not run as root, which making a user needs; run it with sudo' as_nobody "$copy/new-user.sh" 51999 n
    refused 3 'cleanup.sh: not run as root, which removing a user needs; run it with sudo' as_nobody "$copy/cleanup.sh" n
    for script in init-homebrew.sh init-ocaml.sh; do
        refused 3 "$script: not run as root, which acting as another user needs; run it with sudo" as_nobody "$copy/$script" n
    done
}

@test "without git or curl Homebrew is not begun with" {
    need root is_root
    copy=$BATS_TEST_TMPDIR/install-homebrew.sh
    cp "$scripts/install-homebrew.sh" "$copy"
    mkdir "$BATS_TEST_TMPDIR/bin"
    for tool in id uname setpriv curl; do ln -s "$(command -v $tool)" "$BATS_TEST_TMPDIR/bin"; done
    chmod -R go+rX "$BATS_RUN_TMPDIR"
    with_few_tools() {
        PATH=$BATS_TEST_TMPDIR/bin HOME=/nonexistent setpriv --reuid=65534 --regid=65534 --clear-groups -- /bin/bash "$copy"
    }
    refused 3 'install-homebrew.sh: no program git outside of /usr/local, which Homebrew needs; install it' with_few_tools
    ln -s "$(command -v git)" "$BATS_TEST_TMPDIR/bin"
    rm "$BATS_TEST_TMPDIR/bin/curl"
    refused 3 'install-homebrew.sh: no program curl outside of /usr/local, which Homebrew needs; install it' with_few_tools
}
