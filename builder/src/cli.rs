//! The command line of `obuilder`.
#[cfg(target_os = "linux")]
mod build;
mod building;
mod check;
mod clean;
mod delete;
mod dockerfile;
mod doctor;
mod duration;
mod error;
mod existing;
mod fmt;
#[cfg(target_os = "linux")]
mod healthcheck;
mod image;
mod images;
mod input;
mod json;
mod log;
mod logging;
mod ls;
mod macos;
mod place;
mod prune;
mod rights;
mod signals;
mod store;
mod users;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use logging::Logging;

/// Builds specs step by step as throw-away users, and never repeats a step.
#[derive(Parser)]
#[command(name = "obuilder", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    logging: Logging,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build a spec, each step in a container
    #[cfg(target_os = "linux")]
    Build(build::Build),
    /// Build a spec, each step as a user whose /usr/local is its own
    Macos(macos::Macos),
    /// Make, show and remove base images
    Image(image::Images),
    /// Check a spec without building it
    Check(check::Check),
    /// Print a spec as a Dockerfile
    Dockerfile(dockerfile::Dockerfile),
    /// List the results in a store
    Ls(ls::Ls),
    /// Show what the step that made a result printed
    Log(log::Log),
    /// Delete a result and all that was made from it
    Delete(delete::Delete),
    /// Delete the least recently used results, as far as rules let them go
    Prune(prune::Prune),
    /// Delete every result
    Clean(clean::Clean),
    /// Tell and mend what differs in a store
    Doctor(doctor::Doctor),
    /// Copy and check stores as a whole
    Store(store::Stores),
    /// Print a spec, laid out
    Fmt(fmt::Fmt),
    /// Check that this machine can build
    #[cfg(target_os = "linux")]
    Healthcheck(healthcheck::Healthcheck),
}

/// Runs the command that `args` (the program's name first) ask for.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return error::usage(&error),
    };
    cli.logging.start();
    let done = match &cli.command {
        #[cfg(target_os = "linux")]
        Command::Build(command) => command.run(),
        Command::Macos(command) => command.run(),
        Command::Image(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Dockerfile(command) => command.run(),
        Command::Ls(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Delete(command) => command.run(),
        Command::Prune(command) => command.run(),
        Command::Clean(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Store(command) => command.run(),
        Command::Fmt(command) => command.run(),
        #[cfg(target_os = "linux")]
        Command::Healthcheck(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report(cli.logging.format());
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
