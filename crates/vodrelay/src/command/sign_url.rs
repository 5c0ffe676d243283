//! `vodrelay sign-url`: an image's URL as a CDN domain with URL signing takes it.

use clap::Args as ClapArgs;
use jiff::Timestamp;
use serde_json::json;
use vod_event::{CdnAuth, CdnAuthType, UrlAuthError};

use super::key::KeyArgs;
use crate::exit::{Code, Failure};
use crate::output;

/// Arguments of `sign-url`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    vodrelay sign-url --type A --key-env CDN_KEY http://vod.example.com/a/b.gif\n  \
    vodrelay sign-url --type C2 --key-file cdn.key --timestamp 1700000000 \\\n    http://vod.example.com/a/b.gif\n  \
    curl -sI \"$(vodrelay sign-url --type A --key-env CDN_KEY http://vod.example.com/a/b.gif)\"\n\n\
    The URL lives for as long after the timestamp as the domain's validity period says, 30 minutes unless that was \
    changed. Where it is answered 403, the header X-Tengine-Error tells whether the signature or the time was wrong.")]
pub(crate) struct Args {
    /// The domain's type of URL signing: A, B, C (its first form, also C1) or C2
    #[arg(long = "type", value_name = "TYPE", value_parser = auth_type)]
    auth_type: CdnAuthType,
    #[command(flatten)]
    key: KeyArgs,
    /// The time of the signature, in seconds since 1970 [default: now]
    #[arg(long, value_name = "TS", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// Of type A: a random word of letters and digits [default: 0]
    #[arg(long)]
    rand: Option<String>,
    /// Of type A: the user, letters and digits [default: 0]
    #[arg(long)]
    uid: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The URL
    url: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let at = match args.timestamp {
        None => Timestamp::now(),
        Some(seconds) => Timestamp::from_second(seconds).map_err(|_| {
            Failure::new(Code::Usage, format!("--timestamp {seconds}: expected seconds since 1970"))
        })?,
    };
    let signed = auth(args)?.sign(&args.url, at).map_err(|error| wrong(&error))?;
    if args.json {
        output::json(&json!({
            "url": signed,
            "type": args.auth_type.to_string(),
            "timestamp": at.as_second(),
        }));
    } else {
        output::line(signed);
    }
    Ok(())
}

fn auth_type(text: &str) -> Result<CdnAuthType, String> {
    if text.eq_ignore_ascii_case("oss") {
        return Err("this command signs for CDN domains; for a bucket of OSS the archive signs by itself, as auth of \
                    image_hosts says"
            .to_owned());
    }
    text.parse().map_err(|error: UrlAuthError| error.to_string())
}

fn auth(args: &Args) -> Result<CdnAuth, Failure> {
    let mut auth = CdnAuth::new(args.auth_type, args.key.require()?);
    if args.auth_type != CdnAuthType::A && (args.rand.is_some() || args.uid.is_some()) {
        return Err(Failure::new(Code::Usage, "--rand and --uid belong to --type A"));
    }
    if let Some(rand) = &args.rand {
        auth = auth.with_rand(rand).map_err(|error| wrong(&error))?;
    }
    if let Some(uid) = &args.uid {
        auth = auth.with_uid(uid).map_err(|error| wrong(&error))?;
    }
    Ok(auth)
}

fn wrong(error: &UrlAuthError) -> Failure {
    Failure::new(Code::Usage, error.to_string())
}
