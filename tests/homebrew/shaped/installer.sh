#!/bin/bash
# Does what Homebrew's installer does: directories, owners, groups, a git repository, a link. @PREFIX@ is its prefix,
# which it knows and does not ask for.
set -eu

abort() {
    echo "$1" >&2
    exit 1
}

prefix=@PREFIX@
repository=$prefix/Homebrew
[ "$(id -u)" -ne 0 ] || abort "Don't run this as root!"
[ -n "${NONINTERACTIVE-}" ] || abort "would ask for RETURN, and nobody is there"
[ -w "$prefix" ] || abort "would ask for sudo, as $prefix cannot be written"
[ "$(id -un)" = "$USER" ] || abort "USER is $USER, the user is $(id -un)"

directories=()
for directory in bin etc include lib opt sbin share share/zsh share/zsh/site-functions var var/homebrew \
    var/homebrew/linked var/homebrew/locks Cellar Caskroom Homebrew Frameworks; do
    [ -d "$prefix/$directory" ] || directories+=("$prefix/$directory")
done
if [ ${#directories[@]} -gt 0 ]; then
    mkdir -p "${directories[@]}"
    chmod g+rwx "${directories[@]}"
    chmod 0755 "$prefix/share/zsh" "$prefix/share/zsh/site-functions"
    chown "$USER" "${directories[@]}"
    chgrp "$(id -gn)" "${directories[@]}"
fi

cd "$repository" >/dev/null
git -c init.defaultBranch=main init --quiet
git config remote.origin.url "$HOMEBREW_BREW_GIT_REMOTE"
git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
git config core.autocrlf false
git fetch --quiet --force origin
git reset --quiet --hard origin/main
ln -sf ../Homebrew/bin/brew "$prefix/bin/brew"
taps=$repository/Library/Taps/homebrew
mkdir -p "$taps"
[ -d "$taps/homebrew-core" ] || git clone --quiet "$HOMEBREW_CORE_GIT_REMOTE" "$taps/homebrew-core"
"$prefix/bin/brew" doctor
