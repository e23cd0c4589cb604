//! One file per verb; clap lives only here.

mod ask;
mod bitrate;
mod choose;
mod ctl;
mod demo;
mod devices;
mod doctor;
mod duration;
mod output;
mod publish;
mod runtime;
mod serve;
mod token;
mod viewer;
mod watch;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Ask a server who is there, and send people away
    Ctl(ctl::Arguments),
    /// Make, list and take back tokens: who may watch, publish or administer a server
    Token(token::Arguments),
    /// List cameras with their formats, microphones and speakers
    Devices,
}

/// Runs the program: parses the command line, does what it says, and gives the exit status.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
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
