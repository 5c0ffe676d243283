//! `vodrelay init`: a commented configuration, a fresh callback key, and what to type into VOD's console.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use rand::RngExt;

use crate::exit::{Code, Failure, io_failure};
use crate::output;

/// Arguments of `init`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  vodrelay init --public-url https://relay.example.com/vod/callback")]
pub(crate) struct Args {
    /// The URL under which VOD reaches the relay
    #[arg(long, default_value = "https://relay.example.com/vod/callback")]
    public_url: String,
    /// Where to write the file
    #[arg(long, default_value = "vodrelay.toml", value_name = "FILE")]
    output: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The file that `init` writes; the two placeholders are filled in.
const TEMPLATE: &str = include_str!("init.toml");

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let key_file = args.output.with_file_name("vod-callback.key");
    let key = fresh_key();
    let text = TEMPLATE.replace("{PUBLIC_URL}", &args.public_url);
    crate::config::from_text(
        &text.replace("{ file = \"vod-callback.key\" }", "\"k\""),
        None,
        [("STATE_DIRECTORY".to_owned(), ".".to_owned())].into(),
    )
    .and_then(|loaded| loaded.config.http.resolve(&loaded.surroundings).map(drop))
    .map_err(|error| Failure::new(Code::Usage, format!("--public-url: {}", error.message)))?;
    create(&args.output, &text)?;
    create(&key_file, &format!("{key}\n"))?;
    if args.json {
        output::json(
            &serde_json::json!({"config": args.output, "key_file": key_file, "public_url": args.public_url}),
        );
        return Ok(());
    }
    output::line(format!(
        "wrote {} and {} (the callback key, readable by you alone)",
        args.output.display(),
        key_file.display()
    ));
    output::line(
        "\nIn the console of ApsaraVideo VOD, under callback settings, for each region and application:",
    );
    output::line(format!(
        "  callback URL   {}\n  callback key   the content of {}",
        args.public_url,
        key_file.display()
    ));
    output::line("  event types    DynamicImageComplete, and whatever else your services want");
    output::line(
        "\nThen name your service under [sinks.…] in the file, and run `vodrelay check` and `vodrelay serve`.",
    );
    Ok(())
}

/// Never over a file that is there: it may hold the only copy of a key.
fn create(path: &PathBuf, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            Code::CannotCreate,
            format!(
                "{} is there already, and may be in use; move it away, or use --output in another folder",
                path.display()
            ),
        ),
        _ => io_failure(&format!("cannot create {}", path.display()), &error),
    })?;
    file.write_all(text.as_bytes())
        .map_err(|error| io_failure(&format!("cannot write {}", path.display()), &error))
}

/// 32 characters by VOD's rules: upper case, lower case and digits, at least one of each.
fn fresh_key() -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut random = rand::rng();
    loop {
        let pick = |_| LETTERS.get(random.random_range(0..LETTERS.len())).copied().map_or('A', char::from);
        let key: String = (0..32).map(pick).collect();
        if vod_event::PrivateKey::new(key.clone()).rule_violation().is_none() {
            return key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The package's file is this template with the places that a package has.
    #[test]
    fn the_packages_configuration_is_the_one_of_init() {
        let places = [
            ("data_dir = \"data\"", "data_dir = \"/var/lib/vodrelay\""),
            (" Counts from this file.", ""),
            ("url = \"file:archive\"", "url = \"file:///var/lib/vodrelay/archive\""),
            ("as a JSON object beside this file,", "as a JSON object on this machine,"),
            ("[http]\n", "[http]\n# Under systemd the address is that of vodrelay.socket.\n"),
            ("{PUBLIC_URL}", "https://relay.example.com/vod/callback"),
        ];
        let expect = places.iter().fold(TEMPLATE.to_owned(), |text, (here, there)| {
            assert!(text.contains(here), "{here}");
            text.replace(here, there)
        });
        assert_eq!(include_str!("../../../../packaging/debian/vodrelay.toml"), expect);
    }
}
