#!/bin/bash
# Installs opam and an OCaml compiler with Homebrew, as the user who runs it: the part of init-ocaml.sh that needs no
# root. One file, as it is run where its neighbours cannot be read.
set -eu

help() {
    cat <<'HELP'
Usage: install-ocaml.sh [--prefix=DIR] [--opam=VERSION] [--ocaml=VERSION] [--compiler=PACKAGE] [--repository=URL]

Installs the formulae opam and ocaml, makes an opam switch of them and adds what steps need to
~/.obuilder_profile.sh.

  --prefix=DIR        where Homebrew is [default: /usr/local]
  --opam=VERSION      the formula opam@VERSION instead of opam
  --ocaml=VERSION     the formula ocaml@VERSION instead of ocaml, such as 4
  --compiler=PACKAGE  the switch's compiler [default: ocaml-system, which is the formula's]; with another, such as
                      ocaml-base-compiler.5.3.0, opam builds it and the formula is not installed
  --repository=URL    opam's packages: a URL or a path [default: https://github.com/ocaml/opam-repository.git]
HELP
}

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

stop() {
    local code=$1
    shift
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "$code"
}

# attempt COMMAND…: says which failed.
attempt() {
    local code=0
    "$@" </dev/null || code=$?
    [ "$code" -eq 0 ] ||
        stop 1 "$* failed with exit status $code (what it said is above); run this again when that is mended"
}

# check_version OPTION VALUE
check_version() {
    case $2 in
        '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._+~-]*) stop 2 "$1=$2 is no version or package" ;;
    esac
}

# formula NAME VERSION
formula() { echo "$1${2:+@$2}"; }

make_switch() {
    local kind=git
    case $repository in
        /*) kind=local ;;
    esac
    if opam switch list --short 2>/dev/null | grep -qxF "$switch"; then
        say "the opam switch $switch is there already"
        return
    fi
    attempt opam init --yes --no-setup --disable-sandboxing --bare --reinit --kind="$kind" default "$repository"
    attempt opam switch create --yes "$switch" "$compiler"
}

write_profile() {
    local new=$profile.new
    # An earlier run's part is left out.
    sed '/^# OCaml$/,/^# end of OCaml$/d' "$profile" >"$new"
    cat >>"$new" <<PROFILE || stop 1 "cannot write $profile; is the disk full?"
# OCaml
export PATH="$prefix/opt/$ocaml_formula/bin:$prefix/opt/$opam_formula/bin:\$PATH"
export OPAMYES=1
export OPAMCONFIRMLEVEL=unsafe-yes
export OPAMERRLOGLEN=0
export OPAMPRECISETRACKING=1
# end of OCaml
PROFILE
    mv -f "$new" "$profile"
}

profile=$HOME/.obuilder_profile.sh
prefix=/usr/local opam='' ocaml='' compiler=ocaml-system switch=default
repository=https://github.com/ocaml/opam-repository.git
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            help
            exit 0
            ;;
        --prefix=/*) prefix=${1#*=} ;;
        --prefix=*) stop 2 "$1 is no absolute path" ;;
        --opam=*)
            opam=${1#*=}
            check_version --opam "$opam"
            ;;
        --ocaml=*)
            ocaml=${1#*=}
            check_version --ocaml "$ocaml"
            ;;
        --compiler=*)
            compiler=${1#*=}
            check_version --compiler "$compiler"
            ;;
        --repository=/* | --repository=*://*) repository=${1#*=} ;;
        --repository=*) stop 2 "$1 is neither a URL nor an absolute path" ;;
        -*) stop 2 "unknown option ${1%%=*}; --help shows those there are, with values written as --option=VALUE" ;;
        *) stop 2 "'$1' is not understood; it takes options only" ;;
    esac
    shift
done
[ "$(id -u)" -ne 0 ] || stop 3 "run as root, which Homebrew refuses; run init-ocaml.sh NAME instead"
prefix=${prefix%/}
[ -x "$prefix/bin/brew" ] || stop 3 "there is no Homebrew at $prefix; install it first: init-homebrew.sh NAME"

export HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_ANALYTICS=1 HOMEBREW_NO_INSTALL_CLEANUP=1
opam_formula=$(formula opam "$opam") ocaml_formula=$(formula ocaml "$ocaml")
attempt "$prefix/bin/brew" install "$opam_formula"
[ "$compiler" != ocaml-system ] || attempt "$prefix/bin/brew" install "$ocaml_formula"
# A formula with a version is not linked into bin.
PATH=$prefix/opt/$ocaml_formula/bin:$prefix/opt/$opam_formula/bin:$PATH
make_switch
write_profile
say "done: opam $(opam --version) with $compiler"
