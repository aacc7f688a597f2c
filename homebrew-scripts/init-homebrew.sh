#!/bin/bash
# Installs Homebrew into a base image: as its user, who sees its own `local` at the prefix.
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
Usage: init-homebrew.sh NAME [--prefix=DIR] [--scoreboard=DIR] [--remote=URL] [--core-remote=URL]
                        [--installer=URL] [--packages="A B"]

Installs Homebrew for the user NAME, whom new-user.sh has made, through the obuilderfs mounted at the prefix: it
lands in NAME's `local` and believes to be at the prefix. Run again after a failure, it goes on; run again after
that, it installs what is missing of --packages.

  --prefix=DIR       where obuilderfs is mounted and Homebrew goes [default: /usr/local]; on Linux Homebrew's
                     installer knows /home/linuxbrew/.linuxbrew only
  --scoreboard=DIR   the scoreboard the mount must be for [default: whichever it is for]
  --remote=URL       the git repository of Homebrew
  --core-remote=URL  the git repository of its formulae
  --installer=URL    Homebrew's installer
  --packages="A B"   formulae to install

A URL may be a path that NAME can read. OBUILDERFS names the program obuilderfs if it is not in PATH.
HELP
}

read_arguments "--remote --core-remote --installer --packages" "$@"
check_arguments

allow_sudo() {
    local file new
    file=$(sudoers_of "$name")
    new=$file.new
    # A name with a dot is not read by sudo: the rule is there at once or not at all.
    { (umask 0227 && rm -f "$new" && echo "$name ALL=(ALL) NOPASSWD: ALL" >"$new") && mv -f "$new" "$file"; } ||
        failed "cannot write $file; is the disk full?"
}
forbid_sudo() { rm -f "$(sudoers_of "$name")" "$(sudoers_of "$name").new"; }

begin_turn "$name" forbid_sudo
# On macOS Homebrew's installer insists on a user who may use sudo.
! on_macos || allow_sudo
run_in_view "$prefix" "$name" "$here/install-homebrew.sh" --prefix="$prefix" ${passed_on[@]+"${passed_on[@]}"}
say "$name is ready: begin specs with (from $name)"
