# shellcheck shell=bash
# What the tests of the scripts share.

# shellcheck disable=SC2034 # For the tests.
scripts=$BATS_TEST_DIRNAME/../../homebrew-scripts

# refused CODE LINE COMMAND…: fails with CODE, one line and nothing on standard output.
refused() {
    local code=$1 line=$2
    shift 2
    run --separate-stderr "$@"
    # shellcheck disable=SC2154 # Set by run.
    if [ "$status" -ne "$code" ] || [ "$stderr" != "$line" ] || [ -n "$output" ]; then
        printf 'exit code %s, not %s\nstderr: %s\nnot:    %s\nstdout: %s\n' \
            "$status" "$code" "$stderr" "$line" "$output"
        return 1
    fi
}

# need WHAT COMMAND…: without it the test is skipped, in CI it fails.
need() {
    local what=$1
    shift
    "$@" >/dev/null 2>&1 && return
    [ "${CI-}" != true ] || {
        echo "this test cannot run here: it needs $what"
        return 1
    }
    skip "it needs $what"
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# free_uid: one that no account has, and no other test of this machine.
free_uid() {
    local uid=$((52000 + RANDOM % 900))
    while [ -n "$(id -un "$uid" 2>/dev/null)" ] || ! mkdir "/run/obuilder-test-bats-$uid" 2>/dev/null; do
        uid=$((uid + 1))
    done
    echo "$uid"
}
