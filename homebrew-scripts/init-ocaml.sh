#!/bin/bash
# Installs opam and OCaml into a base image that has Homebrew.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/report.sh
. "$here/lib/report.sh"
# shellcheck source=lib/arguments.sh
. "$here/lib/arguments.sh"
# shellcheck source=lib/accounts.sh
. "$here/lib/accounts.sh"
# shellcheck source=lib/view.sh
. "$here/lib/view.sh"

help() {
    cat <<'HELP'
Usage: init-ocaml.sh NAME [--prefix=DIR] [--scoreboard=DIR] [--opam=VERSION] [--ocaml=VERSION]
                     [--compiler=PACKAGE] [--repository=URL]

Installs opam and OCaml for the user NAME, whose home init-homebrew.sh has given Homebrew, through the obuilderfs
mounted at the prefix. Safe to run again.

  --prefix=DIR        where obuilderfs is mounted and Homebrew is [default: /usr/local]
  --scoreboard=DIR    the scoreboard the mount must be for [default: whichever it is for]
  --opam=VERSION      the formula opam@VERSION instead of opam
  --ocaml=VERSION     the formula ocaml@VERSION instead of ocaml, such as 4
  --compiler=PACKAGE  the opam switch's compiler [default: ocaml-system, which is the formula's]; with another,
                      such as ocaml-base-compiler.5.3.0, opam builds it and the formula is not installed
  --repository=URL    opam's packages: a URL, or a path that NAME can read

OBUILDERFS names the program obuilderfs if it is not in PATH.
HELP
}

name='' prefix=/usr/local wanted='' passed_on=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            help
            exit 0
            ;;
        --prefix=*) prefix=${1#*=} ;;
        --scoreboard=*) wanted=${1#*=} ;;
        --opam=* | --ocaml=* | --compiler=* | --repository=*) passed_on+=("$1") ;;
        -*) unknown_option "$1" ;;
        *)
            [ -z "$name" ] || usage_error "'$1' is one argument too many; it takes one NAME"
            check_name "$1"
            name=$1
            ;;
    esac
    shift
done
[ -n "$name" ] || usage_error "give the name of the base image's user: init-ocaml.sh NAME"
check_directory --prefix "$prefix"
[ -z "$wanted" ] || check_directory --scoreboard "$wanted"
require_root "acting as another user"
require_own "$name"
require_mount "$prefix" "$wanted"

begin_turn "$name"
run_in_view "$prefix" "$name" "$here/install-ocaml.sh" --prefix="$prefix" ${passed_on[@]+"${passed_on[@]}"}
say "$name has OCaml: begin specs with (from $name)"
