//! Key types can be neither copied nor shown nor written anywhere: this file stops compiling when one of them
//! gains such a trait. That it would is shown by the doc tests of `labseal::crypto::RootKey`.

use labseal::{
    base::secret::{Plaintext, SecretKey},
    crypto::{DataClassKey, EscrowKey, IndexClassKey, Kek, RingKey, RootKey, Share},
    keys::Keys,
};

/// A module in which none of the types may have the trait. `Lacks` is implemented once for every type and once
/// more for those that have it: which of the two is meant is then not known.
macro_rules! lacking {
    ($name:ident, $trait:path: $($type:ty),+) => {
        mod $name {
            use super::*;

            trait Lacks<Which> {
                fn it() {}
            }

            struct Have;

            impl<T: ?Sized> Lacks<()> for T {}
            impl<T: $trait> Lacks<Have> for T {}

            #[test]
            fn is_no_trait_of_a_key() {
                $(<$type as Lacks<_>>::it();)+
            }
        }
    };
}

lacking!(
    clone,
    Clone: SecretKey,
    RootKey,
    RingKey,
    Kek,
    DataClassKey,
    IndexClassKey,
    EscrowKey,
    Share
);
lacking!(
    debug,
    std::fmt::Debug: RootKey,
    RingKey,
    Kek,
    DataClassKey,
    IndexClassKey,
    EscrowKey,
    Share,
    Keys
);
lacking!(
    display,
    std::fmt::Display: Plaintext,
    SecretKey,
    RootKey,
    RingKey,
    Kek,
    DataClassKey,
    IndexClassKey,
    EscrowKey,
    Share
);
lacking!(
    serialize,
    serde::Serialize: Plaintext,
    SecretKey,
    RootKey,
    RingKey,
    Kek,
    DataClassKey,
    IndexClassKey,
    EscrowKey,
    Share
);
lacking!(
    bytes,
    AsRef<[u8]>: Plaintext,
    SecretKey,
    RootKey,
    RingKey,
    Kek,
    DataClassKey,
    IndexClassKey,
    EscrowKey,
    Share
);
