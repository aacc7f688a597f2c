# shellcheck shell=bash
# What the scripts say: progress on standard output; a failure as one line on standard error, with the exit
# codes of obuilder: 1 what was run failed, 2 the command is wrong, 3 the machine lacks something.

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

complain() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

failed() {
    complain "$@"
    exit 1
}

usage_error() {
    complain "$@"
    exit 2
}

lacking() {
    complain "$@"
    exit 3
}
