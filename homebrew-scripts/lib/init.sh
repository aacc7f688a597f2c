# shellcheck shell=bash
# What the init scripts have in common: their arguments, and what must hold before they begin. Needs report.sh,
# arguments.sh, accounts.sh and view.sh, and a function help.

name='' prefix=/usr/local wanted='' passed_on=()

# read_arguments "--OPTION …" ARGUMENT…: sets name, prefix, wanted (the scoreboard) and, of the options named,
# passed_on, which the script that runs as NAME gets.
read_arguments() {
    local own=" $1 "
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help)
                help
                exit 0
                ;;
            --prefix=*) prefix=${1#*=} ;;
            --scoreboard=*) wanted=${1#*=} ;;
            --*=*)
                [[ $own == *" ${1%%=*} "* ]] || unknown_option "$1"
                passed_on+=("$1")
                ;;
            -*) unknown_option "$1" ;;
            *) take_name "$1" ;;
        esac
        shift
    done
}

# Whether the arguments make sense, and the machine is ready for them.
check_arguments() {
    [ -n "$name" ] || usage_error "give the name of the base image's user: ${0##*/} NAME"
    check_directory --prefix "$prefix"
    [ -z "$wanted" ] || check_directory --scoreboard "$wanted"
    require_root "acting as another user"
    require_own "$name"
    require_mount "$prefix" "$wanted"
}
