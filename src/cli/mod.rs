//! One file per verb; clap lives only here.

mod ask;
mod bitrate;
mod bounds;
mod cert;
mod choose;
mod config_file;
mod ctl;
mod demo;
mod devices;
mod doctor;
mod duration;
mod output;
mod publish;
mod runtime;
mod serve;
mod systemd;
mod token;
mod viewer;
mod watch;
mod words;

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{error::Error, telemetry};

pub use output::Output;

/// Live video and sound through the one port that every firewall leaves open.
#[derive(Debug, Parser)]
#[command(name = "tunnelcast", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Print one JSON object a line on standard output, and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// Say more on standard error; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Server and viewer in one process on loopback: the test card, with sound
    Demo(demo::Arguments),
    /// Serve a camera, a file, a pipe or the test card, and print one link to it
    Serve(serve::Arguments),
    /// Send a camera, a file, a pipe or the test card to a server that relays it
    Publish(publish::Arguments),
    /// See and hear what a link leads to
    Watch(watch::Arguments),
    /// Try every way to a server for real, and say what this network does to each
    Doctor(doctor::Arguments),
    /// Show or renew the certificate of the server on this machine
    Cert(cert::Arguments),
    /// Ask a server who is there, and send people away
    Ctl(ctl::Arguments),
    /// Make, list and take back tokens: who may watch, publish or administer a server
    Token(token::Arguments),
    /// List cameras with their formats, microphones and speakers
    Devices,
}

/// Options, and for `serve` what the environment and its configuration file say.
fn parse() -> Result<Arguments, clap::Error> {
    let command = Arguments::command().mut_subcommand("serve", config_file::with_environment);
    let mut matches = command.clone().try_get_matches()?;
    if let Some(file) = configuration(&matches) {
        let mut filled = Ok(());
        let command = command.mut_subcommand("serve", |serve| {
            match config_file::with_file(serve.clone(), &file) {
                Ok(serve) => serve,
                Err(err) => {
                    filled = Err(err);
                    serve
                }
            }
        });
        filled?;
        matches = command.try_get_matches()?;
    }
    let arguments = Arguments::from_arg_matches(&matches)?;
    if let Verb::Serve(serve) = &arguments.verb {
        serve.make_sense()?;
    }
    if let Verb::Token(token) = &arguments.verb {
        token.make_sense()?;
    }
    Ok(arguments)
}

/// The file that `serve` is to read.
fn configuration(matches: &ArgMatches) -> Option<PathBuf> {
    let (_, serve) = matches.subcommand().filter(|(verb, _)| *verb == "serve")?;
    serve.get_one("config").cloned()
}

/// Runs the program: parses the command line, does what it says, and gives the exit status.
pub fn run() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(err) => {
            // clap prints help to standard output with status 0 and mistakes to standard error with status 2.
            let code = err.exit_code();
            return if err.print().is_ok() && code == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    telemetry::start(arguments.verbose);
    let output = Output::new(arguments.json);
    let result = match arguments.verb {
        Verb::Demo(demo) => demo::run(demo, &output),
        Verb::Serve(serve) => serve::run(serve, &output),
        Verb::Publish(publish) => publish::run(publish, &output),
        Verb::Watch(watch) => watch::run(watch, &output),
        Verb::Doctor(doctor) => doctor::run(doctor, &output),
        Verb::Cert(cert) => cert::run(cert, &output),
        Verb::Ctl(ctl) => ctl::run(ctl, &output),
        Verb::Token(token) => token::run(token, &output),
        Verb::Devices => devices::run(&output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has gone (`| head`): nothing is wrong, and nobody is left to tell.
        Err(Error::Output(err)) if err.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(err) => {
            output.fault(&err);
            err.status().into()
        }
    }
}
