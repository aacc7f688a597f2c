# shellcheck shell=bash
# Checks of what is given on the command line. Needs report.sh.

unknown_option() {
    case $1 in
        --*=*) usage_error "unknown option ${1%%=*}; --help shows those there are" ;;
        *) usage_error "unknown option $1; --help shows those there are, with values written as --option=VALUE" ;;
    esac
}

# check_name NAME: an account's name, which is also that of its home and of the image.
check_name() {
    case $1 in
        '') usage_error "a name must not be empty; give one, such as macos-homebrew" ;;
        */* | *..*) usage_error "'$1' is no name: a name must not hold '/' or '..'; give one such as macos-homebrew" ;;
        [!A-Za-z_]* | *[!A-Za-z0-9_.-]*)
            usage_error "'$1' is no name: it must begin with a letter and hold only letters, digits, '.', '_' and '-'"
            ;;
    esac
    [ ${#1} -le 31 ] || usage_error "'$1' is too long for an account's name; 31 letters are the most"
}

# take_name NAME: sets `name`, once.
take_name() {
    [ -z "$name" ] || usage_error "'$1' is one argument too many; it takes one NAME"
    check_name "$1"
    name=$1
}

# check_uid UID
check_uid() {
    case $1 in
        '' | *[!0-9]* | 0?*) usage_error "'$1' is no user id; give a number of 500 or more" ;;
    esac
    [ ${#1} -le 9 ] || usage_error "uid $1 is too large; give one below 1000000000"
    [ "$1" -ge 500 ] || usage_error "uid $1 is one of the system's own; give one of 500 or more"
}

# check_directory OPTION PATH: an absolute path to a directory.
check_directory() {
    case $2 in
        /*) ;;
        *) usage_error "$1=$2 is no absolute path" ;;
    esac
    [ -d "$2" ] || usage_error "$1=$2: there is no such directory"
}

require_root() {
    [ "$(id -u)" -eq 0 ] || lacking "not run as root, which $1 needs; run it with sudo"
}
