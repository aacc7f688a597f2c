#!/bin/bash
# Installs Homebrew at the prefix, as the user who runs it: the part of init-homebrew.sh that needs no root. It also
# serves `obuilder image create --from-script`. One file, as it is run where its neighbours cannot be read.
set -eu

help() {
    cat <<'HELP'
Usage: install-homebrew.sh [--prefix=DIR] [--remote=URL] [--core-remote=URL] [--installer=URL] [--packages="A B"]

Runs Homebrew's own installer, without questions, as the user who calls it; then installs packages and writes
~/.obuilder_profile.sh. Every URL may be a path.

  --prefix=DIR       where Homebrew goes [default: /usr/local]; on Linux its installer knows
                     /home/linuxbrew/.linuxbrew only
  --remote=URL       the git repository of Homebrew [default: the installer's]
  --core-remote=URL  the git repository of its formulae [default: the installer's]
  --installer=URL    the installer [default: https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh]
  --packages="A B"   formulae to install
HELP
}

profile=$HOME/.obuilder_profile.sh
# The profile while Homebrew is being installed: a home without one is no base image, so nobody builds from half.
unfinished=$profile.unfinished

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

stop() {
    local code=$1
    shift
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "$code"
}

# gave_up WHAT CODE: the failure of a program that has said why itself.
gave_up() {
    local free
    free=$(df -Pk "$HOME" | awk 'NR == 2 { print $4 }')
    [ "${free:-0}" -ge 1024 ] || stop 1 "$1 failed: the disk of $HOME is full; make room, then run this again"
    stop 1 "$1 failed with exit status $2 (what it said is above); run this again when that is mended"
}

# check_word OPTION VALUE
check_word() {
    case $2 in
        '') stop 2 "$1= has no value; leave the option out for the default" ;;
        -*) stop 2 "$1=$2 begins with '-'" ;;
    esac
}

# as_url OPTION PLACE: a path as git and curl take it.
as_url() {
    case $2 in
        /*)
            [ -e "$2" ] || stop 3 "$1=$2: $(id -un) finds nothing there"
            echo "file://$2"
            ;;
        *://* | *@*:*) echo "$2" ;;
        *) stop 2 "$1=$2 is neither a URL nor an absolute path" ;;
    esac
}

check_tools() {
    local tool
    for tool in git curl; do
        command -v "$tool" >/dev/null || stop 3 "no program $tool outside of $prefix, which Homebrew needs; install it"
    done
    if [ "$(uname -s)" = Darwin ]; then
        xcode-select -p >/dev/null 2>&1 ||
            stop 3 "no Command Line Tools, which Homebrew needs; install them: xcode-select --install"
    else
        command -v ruby >/dev/null || say "no ruby here; Homebrew brings its own, from the internet"
    fi
}

check_prefix() {
    [ -d "$prefix" ] || stop 3 "--prefix=$prefix: there is no such directory"
    # Not test -w: what counts is that it can be done.
    local probe=$prefix/.obuilder-probe
    { mkdir -p "$probe" && rmdir "$probe"; } 2>/dev/null ||
        stop 3 "$(id -un) cannot write to $prefix; is it the mount point, and the user's home on the scoreboard?"
}

# trust PLACE: git reads a local repository only if its owner is the user, or is told so (safe.directory).
trust() {
    local path=${1#file://}
    case $1 in file://*) ;; *) return 0 ;; esac
    for path in "$path" "${path%/}/.git"; do
        git config --global --get-all safe.directory 2>/dev/null | grep -qxF "$path" ||
            git config --global --add safe.directory "$path"
    done
}

check_remote() {
    trust "$2"
    git ls-remote --exit-code "$2" HEAD >/dev/null || stop 3 "$1=$2 cannot be read (git's reason is above)"
}

# Whether a former run has come to its end.
is_installed() { [ -x "$prefix/bin/brew" ] && grep -q '^# Homebrew' "$profile" 2>/dev/null; }

run_installer() {
    local code=0 script=$HOME/.obuilder_installer
    curl --fail --silent --show-error --location --output "$script" -- "$installer" || {
        code=$?
        rm -f "$script"
        stop 3 "--installer=$installer cannot be read (curl's exit status $code)"
    }
    [ ! -e "$profile" ] || mv -f "$profile" "$unfinished"
    NONINTERACTIVE=1 /bin/bash "$script" </dev/null || code=$?
    rm -f "$script"
    [ "$code" -eq 0 ] || gave_up "Homebrew's installer" "$code"
    [ -x "$prefix/bin/brew" ] ||
        stop 1 "Homebrew's installer has put no bin/brew into $prefix; give the prefix it knows, and mount there"
}

install_packages() {
    local code=0
    [ -n "$packages" ] || return 0
    # shellcheck disable=SC2086 # A list of names.
    "$prefix/bin/brew" install $packages </dev/null || code=$?
    [ "$code" -eq 0 ] || gave_up "brew install $packages" "$code"
}

write_profile() {
    local new=$profile.new
    {
        [ ! -e "$unfinished" ] || cat "$unfinished"
        cat <<PROFILE
# Homebrew
export PATH="$prefix/bin:$prefix/sbin:\$PATH"
export HOMEBREW_NO_AUTO_UPDATE=1
export HOMEBREW_NO_ANALYTICS=1
export HOMEBREW_NO_INSTALL_CLEANUP=1
PROFILE
    } >"$new" || gave_up "writing $profile" 1
    mv -f "$new" "$profile"
    rm -f "$unfinished"
}

prefix=/usr/local remote='' core_remote='' packages=''
installer=https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh
while [ $# -gt 0 ]; do
    case $1 in
        --packages=) ;;
        --*=*) check_word "${1%%=*}" "${1#*=}" ;;
    esac
    case $1 in
        -h | --help)
            help
            exit 0
            ;;
        --prefix=/*) prefix=${1#*=} ;;
        --prefix=*) stop 2 "$1 is no absolute path" ;;
        --remote=*) remote=$(as_url --remote "${1#*=}") ;;
        --core-remote=*) core_remote=$(as_url --core-remote "${1#*=}") ;;
        --installer=*) installer=$(as_url --installer "${1#*=}") ;;
        --packages=*) packages=${1#*=} ;;
        -*) stop 2 "unknown option ${1%%=*}; --help shows those there are, with values written as --option=VALUE" ;;
        *) stop 2 "'$1' is not understood; it takes options only" ;;
    esac
    shift
done
[ "$(id -u)" -ne 0 ] || stop 3 "run as root, which Homebrew refuses; run init-homebrew.sh NAME instead"
case $packages in *[!A-Za-z0-9@._+/\ -]*) stop 2 "--packages=$packages: names of formulae, with blanks between them" ;; esac
prefix=${prefix%/}

export HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_ANALYTICS=1 HOMEBREW_NO_INSTALL_CLEANUP=1
check_tools
check_prefix
if [ -n "$remote" ]; then
    check_remote --remote "$remote"
    export HOMEBREW_BREW_GIT_REMOTE=$remote
fi
if [ -n "$core_remote" ]; then
    check_remote --core-remote "$core_remote"
    export HOMEBREW_CORE_GIT_REMOTE=$core_remote
fi
if is_installed; then
    say "Homebrew is at $prefix already"
    install_packages
else
    run_installer
    install_packages
    write_profile
fi
say "done: $("$prefix/bin/brew" --version | head -n 1) at $("$prefix/bin/brew" --prefix)"
