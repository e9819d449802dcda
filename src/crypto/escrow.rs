//! A key in the hands of several people: split by Shamir's scheme, so that any M of N shares give it back
//! and M − 1 say nothing of it (Shamir, CACM 1979, over GF(256), byte by byte).
//!
//! What is split is an [`EscrowKey`], random and used for nothing but to seal a root key and to
//! authenticate what stands around it. The scheme itself notices no altered share: any M shares give *some*
//! key. So everything that is joined is compared with the key's [`EscrowKey::commitment`].
//!
//! # Why
//! 2026-11: crate `blahaj`, the repaired fork of `sharks`, whose polynomials could lack their highest
//! coefficient (RUSTSEC-2024-0398); `vsss-rs` was found to draw odd bytes only. The tests below look at
//! the distribution of what it deals, whatever the version. It takes its coefficients from a generator of its own
//! that the operating system seeds.

use blahaj::{Share as Dealt, Sharks};
use zeroize::Zeroizing;

use crate::base::secret::SecretKey;

use super::{
    Kek, NoRandomness, RootKey, WrapError, WrappedKey, WrongMac,
    derive::{Label, derive},
    mac::HmacKey,
    nonce::random_key,
    residue::wiped,
};

/// How many shares there are, and how many of them it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    needed: u8,
    all: u8,
}

/// Not a way to share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQuorum {
    /// One share would be the key itself.
    #[error("at least two shares must be needed: with one, every custodian has the key alone")]
    Alone,
    /// Nobody could ever bring that many.
    #[error("{needed} of {all} shares can never be brought together")]
    TooFew {
        /// How many are needed.
        needed: u8,
        /// How many there are.
        all: u8,
    },
}

impl Quorum {
    /// `needed` of `all`.
    pub fn new(needed: u8, all: u8) -> Result<Self, NoQuorum> {
        match (needed, all) {
            (0 | 1, _) => Err(NoQuorum::Alone),
            _ if needed > all => Err(NoQuorum::TooFew { needed, all }),
            _ => Ok(Self { needed, all }),
        }
    }

    /// How many shares it takes.
    pub fn needed(self) -> u8 {
        self.needed
    }

    /// How many shares there are.
    pub fn all(self) -> u8 {
        self.all
    }
}

/// One share of an escrow key.
pub struct Share {
    number: u8,
    secret: SecretKey,
}

impl Share {
    /// Takes a share over.
    pub fn new(number: u8, secret: SecretKey) -> Self {
        Self { number, secret }
    }

    /// Which of the shares it is, from 1.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Its bytes, for the file of its custodian.
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

/// The key that seals a root key for escrow.
pub struct EscrowKey {
    secret: SecretKey,
    wrapper: Kek,
    commitment: HmacKey,
    check: HmacKey,
}

impl EscrowKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        random_key().map(Self::from_secret)
    }

    fn from_secret(secret: SecretKey) -> Self {
        // Invariant: the only failure of `derive` is a part that is too long, and there is none.
        #[allow(clippy::unwrap_used)]
        let mac = |label| HmacKey::new(derive(&secret, label, &[]).unwrap().expose());
        let (commitment, check) = (mac(Label::EscrowCommit), mac(Label::EscrowCheck));
        Self { wrapper: Kek::from_secret(&secret), commitment, check, secret }
    }

    /// Deals the shares.
    pub fn split(&self, quorum: Quorum) -> Vec<Share> {
        wiped(|| {
            let dealer = Sharks(quorum.needed).dealer(self.secret.expose());
            dealer.take(usize::from(quorum.all)).map(|dealt| share(&dealt)).collect()
        })
    }

    /// What these shares give, which is a key whatever they are: compare its commitment. `None` where
    /// two have one number.
    pub fn join(shares: &[Share]) -> Option<Self> {
        let needed = u8::try_from(shares.len()).ok()?;
        let secret = wiped(|| {
            let dealt: Vec<Dealt> = shares.iter().map(dealt).collect::<Option<_>>()?;
            let joined = Zeroizing::new(Sharks(needed).recover(&dealt).ok()?);
            let joined = joined.as_array::<32>()?;
            Some(SecretKey::filled(|room| room.copy_from_slice(joined)))
        })?;
        Some(Self::from_secret(secret))
    }

    /// Thirty-two bytes that commit to the key and to `text`: HMAC-SHA256 under KDF(key, "escrow-commit").
    pub fn commitment(&self, text: &[u8]) -> [u8; 32] {
        wiped(|| self.commitment.tag(&[text]))
    }

    /// Compares a commitment, in constant time.
    pub fn verify_commitment(&self, text: &[u8], commitment: &[u8]) -> Result<(), WrongMac> {
        wiped(|| self.commitment.verify(&[text], commitment)).map_err(|_| WrongMac)
    }

    /// Authenticates a file of the escrow: HMAC-SHA256 under KDF(key, "escrow-check").
    pub fn check(&self, text: &[u8]) -> [u8; 32] {
        wiped(|| self.check.tag(&[text]))
    }

    /// Checks what [`Self::check`] made, in constant time.
    pub fn verify_check(&self, text: &[u8], check: &[u8]) -> Result<(), WrongMac> {
        wiped(|| self.check.verify(&[text], check)).map_err(|_| WrongMac)
    }

    /// Seals a root key. `aad` says of which escrow.
    pub fn wrap(&self, root: &RootKey, aad: &[u8]) -> Result<WrappedKey, WrapError> {
        self.wrapper.wrap(root, aad)
    }

    /// Opens a root key.
    pub fn unwrap(&self, wrapped: &WrappedKey, aad: &[u8]) -> Result<RootKey, WrapError> {
        self.wrapper.unwrap(wrapped, aad)
    }
}

fn share(dealt: &Dealt) -> Share {
    let bytes = Zeroizing::new(Vec::from(dealt));
    let (number, secret) = bytes.split_first().unwrap_or((&0, &[]));
    // Invariant: a dealt share is as long as the secret, which has 32 bytes.
    Share::new(*number, SecretKey::filled(|room| room.copy_from_slice(secret)))
}

fn dealt(share: &Share) -> Option<Dealt> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(33));
    bytes.push(share.number);
    bytes.extend_from_slice(share.secret.expose());
    // The number 0 would be the key itself.
    Dealt::try_from(&bytes[..]).ok().filter(|_| share.number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(needed: u8, all: u8) -> Quorum {
        Quorum::new(needed, all).unwrap()
    }

    fn pick(shares: &[Share], numbers: &[usize]) -> Vec<Share> {
        let copy = |at: &usize| {
            let share = &shares[*at];
            let secret = SecretKey::filled(|room| room.copy_from_slice(share.secret.expose()));
            Share::new(share.number, secret)
        };
        numbers.iter().map(copy).collect()
    }

    #[test]
    fn any_that_are_enough_give_the_key_and_fewer_give_another() {
        let key = EscrowKey::generate().unwrap();
        let committed = key.commitment(b"escrow");
        let shares = key.split(quorum(3, 5));
        let is_it = |numbers: &[usize]| {
            let joined = EscrowKey::join(&pick(&shares, numbers)).unwrap();
            joined.verify_commitment(b"escrow", &committed).is_ok()
        };
        for (a, b, c) in [(0, 1, 2), (4, 2, 0), (1, 3, 4), (2, 3, 1)] {
            assert!(is_it(&[a, b, c]));
            assert!(!is_it(&[a, b]));
        }
        assert!(is_it(&[0, 1, 2, 3, 4]));
        assert!(EscrowKey::join(&pick(&shares, &[1, 1, 2])).is_none());
        assert!(EscrowKey::join(&[]).is_none());
        let mut forged = pick(&shares, &[0, 1, 2]);
        forged[1].number = 0;
        assert!(EscrowKey::join(&forged).is_none());
    }

    #[test]
    fn a_quorum_of_one_or_of_more_than_there_are_is_none() {
        assert_eq!(Quorum::new(1, 3), Err(NoQuorum::Alone));
        assert_eq!(Quorum::new(0, 0), Err(NoQuorum::Alone));
        assert_eq!(Quorum::new(4, 3), Err(NoQuorum::TooFew { needed: 4, all: 3 }));
        assert!(Quorum::new(2, 2).is_ok() && Quorum::new(255, 255).is_ok());
    }

    #[test]
    fn an_altered_share_gives_a_key_that_the_commitment_tells_from_the_right_one() {
        let key = EscrowKey::generate().unwrap();
        let committed = key.commitment(b"escrow");
        let mut shares = key.split(quorum(2, 3));
        let altered = SecretKey::filled(|room| {
            room.copy_from_slice(shares[1].secret.expose());
            room[31] ^= 1;
        });
        shares[1] = Share::new(2, altered);
        let joined = EscrowKey::join(&pick(&shares, &[0, 1])).unwrap();
        assert!(joined.verify_commitment(b"escrow", &committed).is_err());
        let joined = EscrowKey::join(&pick(&shares, &[0, 2])).unwrap();
        assert!(joined.verify_commitment(b"escrow", &committed).is_ok());
        assert!(joined.verify_commitment(b"another", &committed).is_err());
    }

    /// How far counts are from all being equally likely.
    fn chi_square(counts: &[u32; 256]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / 256.0;
        counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
    }

    /// With a coefficient that is never zero, a share would never equal the secret (RUSTSEC-2024-0398);
    /// with one that is always odd, its lowest bit would be told by the secret's.
    #[test]
    fn fewer_shares_than_are_needed_say_nothing_of_the_secret() {
        // χ² with 255 degrees of freedom is above 380 once in a million runs.
        const MOST: f64 = 380.0;
        const DEALT: u32 = 6_000;
        for (needed, secret) in [(2, [0x53; 32]), (3, [0; 32])] {
            let mut of_share = [[0_u32; 256]; 2];
            let mut of_both = [0_u32; 256];
            let mut equal = 0_u32;
            for _ in 0..DEALT {
                let shares: Vec<Share> =
                    Sharks(needed).dealer(&secret).take(2).map(|dealt| share(&dealt)).collect();
                for (one, other) in shares[0].secret.expose().iter().zip(shares[1].secret.expose())
                {
                    of_share[0][usize::from(*one)] += 1;
                    of_share[1][usize::from(*other)] += 1;
                    of_both[usize::from(one ^ other)] += 1;
                    equal += u32::from(*one == secret[0]);
                }
            }
            for counts in &of_share {
                assert!(chi_square(counts) < MOST, "{needed}: {}", chi_square(counts));
            }
            // Nor do two shares hang together by more than the line that goes through them.
            assert!(chi_square(&of_both) < MOST, "{needed}: {}", chi_square(&of_both));
            let (expected, deviation) = (f64::from(DEALT) / 8.0, (f64::from(DEALT) / 8.0).sqrt());
            let away = (f64::from(equal) - expected).abs() / deviation;
            assert!(away < 5.0, "{needed}: a share was the secret {equal} times, not {expected}");
        }
    }

    #[test]
    fn a_dealer_that_shuns_zero_or_even_numbers_would_be_noticed() {
        let mut counts = [0_u32; 256];
        for round in 0..DEALT_BYTES {
            counts[usize::try_from(round % 255).unwrap() + 1] += 1;
        }
        assert!(chi_square(&counts) > 380.0, "no zero: {}", chi_square(&counts));
        let mut counts = [0_u32; 256];
        for round in 0..DEALT_BYTES {
            counts[usize::try_from(round % 128).unwrap() * 2 + 1] += 1;
        }
        assert!(chi_square(&counts) > 380.0, "odd only: {}", chi_square(&counts));
    }

    const DEALT_BYTES: u32 = 6_000 * 32;
}
