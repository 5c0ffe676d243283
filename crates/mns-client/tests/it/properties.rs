//! What holds for every payload.

use mns_client::{Encoding, EncodingError};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_an_encoding_writes_it_reads_back(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        for encoding in [Encoding::Raw, Encoding::Base64, Encoding::Auto] {
            match encoding.encode(&payload) {
                Ok(text) => prop_assert_eq!(&*encoding.decode(&text).unwrap(), payload.as_slice()),
                Err(error) => {
                    prop_assert_ne!(encoding, Encoding::Base64);
                    prop_assert!(error != EncodingError::NotText || str::from_utf8(&payload).is_err());
                }
            }
        }
    }

    #[test]
    fn auto_has_a_form_for_every_text_and_reads_those_of_both_others(payload in any::<String>()) {
        let text = Encoding::Auto.encode(payload.as_bytes()).unwrap();
        prop_assert_eq!(&*Encoding::Auto.decode(&text).unwrap(), payload.as_bytes());
        let base64 = Encoding::Base64.encode(payload.as_bytes()).unwrap();
        prop_assert_eq!(&*Encoding::Auto.decode(&base64).unwrap(), payload.as_bytes());
    }

    #[test]
    fn auto_reads_something_of_every_text(text in any::<String>()) {
        prop_assert!(Encoding::Auto.decode(&text).is_ok());
    }

    #[test]
    fn json_is_never_taken_for_base64(text in "[ \\n]{0,3}[{\\[][A-Za-z0-9+/=]{0,40}") {
        prop_assert_eq!(&*Encoding::Auto.decode(&text).unwrap(), text.as_bytes());
    }
}
