//! What the program says about itself, on standard error.
use std::io::IsTerminal;

use clap::{ArgAction, Args, ValueEnum};
use tracing::level_filters::LevelFilter;

/// Options of every command.
#[derive(Args)]
pub(super) struct Logging {
    /// Say more about what is done; twice for everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// How much is said: this wins over -v
    #[arg(long, value_enum, global = true, value_name = "LEVEL")]
    verbosity: Option<Verbosity>,
    /// When messages are coloured: by default, at a terminal
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        hide_default_value = true,
        global = true,
        value_name = "WHEN"
    )]
    color: When,
    /// How messages are written
    #[arg(long, value_enum, default_value = "text", global = true)]
    log_format: Format,
}

/// How much is said.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verbosity {
    /// Nothing but the failure
    Quiet,
    /// Errors
    Error,
    /// Warnings too
    Warning,
    /// What is done
    Info,
    /// Everything
    Debug,
}

impl Verbosity {
    fn filter(self) -> LevelFilter {
        match self {
            // A failure is told as an error where messages are JSON.
            Self::Quiet | Self::Error => LevelFilter::ERROR,
            Self::Warning => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// When something is done.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// At a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
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
        let told = match self.verbose {
            0 => Verbosity::Warning,
            1 => Verbosity::Info,
            _ => Verbosity::Debug,
        };
        let level = self.verbosity.unwrap_or(told).filter();
        let coloured = match self.color {
            When::Auto => std::io::stderr().is_terminal(),
            When::Always => true,
            When::Never => false,
        };
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
        let subscriber = subscriber.with_ansi(coloured);
        // Fails only where something set another one before, as tests may.
        let _ = match self.log_format {
            Format::Text => {
                tracing::subscriber::set_global_default(subscriber.without_time().with_target(false).finish())
            }
            Format::Json => tracing::subscriber::set_global_default(subscriber.json().finish()),
        };
    }
}
