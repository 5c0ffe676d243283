//! The command line: the settings of the library, word by word.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use jiff::Timestamp;
use mns_emulator::{AccessKey, Clock, Format, Injection, Settings};

const EXAMPLES: &str = "\
Examples:
  mns-emulator --listen 127.0.0.1:8400 --access-key-id AK --access-key-secret SK
  mns-emulator --queue orders --fault throttle=0.1 --fault drop_after:delete_message=0.05
  mns-emulator --frozen-at 2024-01-01T00:00:00Z    # then: curl -X POST ENDPOINT/_emulator/clock?advance_ms=30000

It prints its endpoint, and runs until it is interrupted. Queues live in memory.
Exit codes: 0 ended, 64 usage, 69 cannot listen, 70 internal.";

/// A local Alibaba Cloud MNS (Simple Message Queue) for tests
#[derive(Debug, Parser)]
#[command(name = "mns-emulator", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The access key that requests must be signed with; without one they are let in unsigned
    #[arg(long, value_name = "ID", requires = "access_key_secret")]
    pub(crate) access_key_id: Option<String>,
    /// The secret of the access key
    #[arg(long, value_name = "SECRET", requires = "access_key_id")]
    access_key_secret: Option<String>,
    /// The STS token that must come along
    #[arg(long, value_name = "TOKEN", requires = "access_key_id")]
    security_token: Option<String>,
    /// Create this queue at the start (may be repeated)
    #[arg(long = "queue", value_name = "NAME")]
    pub(crate) queues: Vec<String>,
    /// Which generation of the service answers
    #[arg(long, value_enum, default_value_t = Generation::Current)]
    format: Generation,
    /// XML on one line, instead of indented
    #[arg(long)]
    compact: bool,
    /// Send bodies in chunks, without a content length
    #[arg(long)]
    chunked: bool,
    /// Take only the documents' spelling of the query, and a right Content-MD5 and Content-Type
    #[arg(long)]
    strict: bool,
    /// How far the date of a signed request may be off, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    max_skew: u64,
    /// Take signed requests of any date
    #[arg(long)]
    any_date: bool,
    /// Answer long polls that find nothing after four fifths of their wait
    #[arg(long)]
    answers_early: bool,
    /// How many long polls may wait at once
    #[arg(long, value_name = "NUMBER")]
    poll_limit: Option<usize>,
    /// For how long the name of a deleted queue cannot be taken again, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    name_rest: u64,
    /// Let something go wrong: FAULT, FAULT=SHARE or FAULT:OPERATION=SHARE (may be repeated)
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Injection>,
    /// For how long the fault `slow` holds an answer back, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    slow_by: u64,
    /// Makes ids and the dice of the faults repeatable
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Let time stand still at this moment; it is moved through /_emulator/clock
    #[arg(long, value_name = "TIMESTAMP")]
    frozen_at: Option<Timestamp>,
    /// Log every request
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Generation {
    /// As recorded in 2026
    Current,
    /// As in the vendor's documents
    Old,
}

impl Args {
    pub(crate) fn settings(self) -> Settings {
        let key = self.access_key_id.zip(self.access_key_secret);
        let key = key.map(|(id, secret)| AccessKey { id, secret, security_token: self.security_token });
        Settings {
            listen: self.listen,
            access_keys: key.into_iter().collect(),
            max_skew: (!self.any_date).then(|| Duration::from_secs(self.max_skew)),
            format: match self.format {
                Generation::Current => Format::Current,
                Generation::Old => Format::Old,
            },
            compact: self.compact,
            chunked: self.chunked,
            strict: self.strict,
            answers_early: self.answers_early,
            poll_limit: self.poll_limit.unwrap_or(usize::MAX),
            name_rest: Duration::from_secs(self.name_rest),
            slow_by: Duration::from_millis(self.slow_by),
            clock: self.frozen_at.map_or_else(Clock::running, Clock::frozen_at),
            seed: self.seed,
            faults: self.faults,
            observer: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_words_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_secret_never_comes_without_its_id() {
        let parse = |words: &[&str]| Args::try_parse_from([&["mns-emulator"], words].concat());
        assert!(parse(&["--access-key-secret", "SK"]).is_err());
        let keys =
            parse(&["--access-key-id", "AK", "--access-key-secret", "SK"]).unwrap().settings().access_keys;
        assert_eq!(keys, [AccessKey::new("AK", "SK")]);
    }
}
