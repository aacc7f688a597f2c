//! What the program says about itself, on standard error.
use std::io::IsTerminal;

use clap::{ArgAction, Args, ValueEnum};
use tracing::Level;

/// Options of every command.
#[derive(Args)]
pub(super) struct Logging {
    /// Say more about what is done; twice for everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// How messages are written
    #[arg(long, value_enum, default_value = "text", global = true)]
    log_format: Format,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl Logging {
    pub(super) fn format(&self) -> Format {
        self.log_format
    }

    /// Sends messages to standard error from now on.
    pub(super) fn start(&self) {
        let level = match self.verbose {
            0 => Level::WARN,
            1 => Level::INFO,
            _ => Level::DEBUG,
        };
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
        let subscriber = subscriber.with_ansi(std::io::stderr().is_terminal());
        // Fails only where something set another one before, as tests may.
        let _ = match self.log_format {
            Format::Text => {
                tracing::subscriber::set_global_default(subscriber.without_time().with_target(false).finish())
            }
            Format::Json => tracing::subscriber::set_global_default(subscriber.json().finish()),
        };
    }
}
