//! `tunnelcast cert`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use time::{OffsetDateTime, macros::format_description};

use super::Output;
use crate::{
    error::Error,
    trust::{Identity, TrustError},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what the certificate is: its key's hash as it stands in links, its names, until when it is valid
    Show(Place),
    /// Make a new certificate on the same key, so that links stay good; a server that runs takes it within a second
    Renew(Renew),
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the server's key and certificate
    #[arg(long, value_name = "DIR", default_value = "certs")]
    certs: PathBuf,
}

#[derive(Debug, Args)]
struct Renew {
    #[command(flatten)]
    place: Place,
    /// Another host name or address that it shall be good for; may be given several times
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
}

#[derive(Serialize)]
struct Certificate {
    pin: String,
    valid_until: Option<String>,
    names: Vec<String>,
    certs: String,
}

pub(super) fn run(arguments: Arguments, output: &Output) -> Result<(), Error> {
    let (identity, place) = match arguments.what {
        What::Show(place) => {
            let found = Identity::existing(&place.certs)?;
            let cert = place.certs.join("cert.pem");
            (found.ok_or(TrustError::Missing { path: cert })?, place)
        }
        What::Renew(Renew { place, host }) => (Identity::renew(&place.certs, &host)?, place),
    };
    let valid_until = identity.valid_until().and_then(|end| {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        OffsetDateTime::from(end).format(format).ok()
    });
    let certificate = Certificate {
        pin: identity.pin().to_string(),
        valid_until,
        names: identity.names(),
        certs: place.certs.display().to_string(),
    };
    let words = format!(
        "key          {} (as #k= in links)\nvalid until  {}\ngood for     {}\nin           {}",
        certificate.pin,
        certificate.valid_until.as_deref().unwrap_or("unknown"),
        certificate.names.join(", "),
        certificate.certs,
    );
    output.event("certificate", &certificate, &words)
}
