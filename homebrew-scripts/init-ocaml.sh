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
# shellcheck source=lib/init.sh
. "$here/lib/init.sh"

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

read_arguments "--opam --ocaml --compiler --repository" "$@"
check_arguments

begin_turn "$name"
run_in_view "$prefix" "$name" "$here/install-ocaml.sh" --prefix="$prefix" ${passed_on[@]+"${passed_on[@]}"}
say "$name has OCaml: begin specs with (from $name)"
