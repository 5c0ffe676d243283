//! Makes ids and handles that look like the service's, of either generation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::settings::Format;

#[derive(Debug)]
pub(crate) struct Mint {
    format: Format,
    random: StdRng,
    made: u64,
}

impl Mint {
    pub(crate) fn new(format: Format, random: StdRng) -> Self {
        Self { format, random, made: 0 }
    }

    /// The id of a message.
    pub(crate) fn message_id(&mut self, now: Timestamp) -> String {
        match self.format {
            Format::Current => format!("{:032X}", self.random.random::<u128>()),
            Format::Old => {
                let number = 200_000_000 + self.next();
                format!("{:016X}-1-{:X}-{number}", self.random.random::<u64>(), now.as_millisecond())
            }
        }
    }

    /// The id of a request, which begins with the second in which it came.
    pub(crate) fn request_id(&mut self, now: Timestamp) -> String {
        let rest = self.random.random::<u64>();
        format!("{:08X}{rest:016X}", now.as_second() & i64::from(u32::MAX))
    }

    /// A handle for the message, unlike any before.
    pub(crate) fn handle(
        &mut self,
        message_id: &str,
        now: Timestamp,
        hidden_ms: i64,
        priority: u8,
    ) -> String {
        let number = self.next();
        match self.format {
            Format::Current => {
                let moment = now.as_millisecond();
                let tail: String =
                    (0..5).map(|_| char::from(self.random.random_range(b'a'..=b'z'))).collect();
                let receipt = format!("{number} {moment} {hidden_ms} 2 0 emulator-0 0 {number}|{tail}");
                format!("{message_id}-{}", STANDARD.encode(receipt))
            }
            Format::Old => {
                let receipt = format!("8589934593-{}-{number}-{priority}", now.as_second());
                format!("1-{}", STANDARD.encode(receipt))
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::handle::is_well_formed;

    #[test]
    fn ids_and_handles_have_the_form_of_their_generation() {
        let now = Timestamp::from_second(0x6592_0081).unwrap();
        let mut mint = Mint::new(Format::Current, StdRng::seed_from_u64(0));
        let id = mint.message_id(now);
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)), "{id}");
        assert!(mint.handle(&id, now, 30_000, 8).starts_with(&format!("{id}-")));
        assert!(is_well_formed(&mint.handle(&id, now, 30_000, 8)));
        let request = mint.request_id(now);
        assert!(request.starts_with("65920081") && request.len() == 24, "{request}");

        let mut mint = Mint::new(Format::Old, StdRng::seed_from_u64(0));
        assert_eq!(mint.message_id(now).split('-').count(), 4);
        let handle = mint.handle("any", now, 30_000, 8);
        assert!(handle.starts_with("1-") && is_well_formed(&handle), "{handle}");
        assert_ne!(handle, mint.handle("any", now, 30_000, 8));
    }
}
