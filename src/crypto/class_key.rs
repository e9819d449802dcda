//! Class keys: the handles that seal and open values of one class under one key version.
//!
//! The expanded keys are kept in the handle, so that sealing costs little more than the cipher.
//! Handles have no accessors and are neither `Clone` nor `Debug` in content.
//!
//! Modes `r` and `s` take their keys from the data ring, mode `d` and all tokens from the index
//! ring. In mode `d` the nonce is HMAC-SHA256(K, TUP(type ‖ value))[..12]; opening computes it again,
//! so that a value has one envelope under a key, whoever made it.
//!
//! **Commitment** (flag C): AES-256-GCM-SIV does not commit to its key; one ciphertext can be made to
//! open under two (Len, Grubbs, Ristenpart, USENIX Security 2021) by whoever knows both. A class that is
//! registered as committed carries HMAC-SHA256(K, text so far ‖ AAD)[..16], K from the label `com`, behind
//! its nonce. It is checked before the cipher, and such a class opens nothing without it.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::base::{
    class::{ClassParams, Commitment, Mode},
    ident::{ClassId, Kid, Tenant},
    secret::Plaintext,
};

use super::{
    Kind, Ladder, MAX_DETERMINISTIC, MAX_VALUE, NoRandomness, NonceSource, Token, Typed,
    aead::{Cipher, NONCE, TAG},
    binding::{Binding, Record},
    derive::{DeriveError, Label, length},
    envelope::{self, COMMITMENT, Flags, HEADER, HEADER_TEXT, Parity, Parsed},
    mac::{HmacKey, sha256},
    pad::{self, Padding},
    ring::RingKey,
};

/// Why a value was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No nonce.
    #[error("no nonce")]
    NoRandomness(#[from] NoRandomness),
    /// A boolean with bytes in it.
    #[error("a boolean carries no bytes")]
    NotEmpty,
    /// Too long for the mode.
    #[error("the value is longer than {limit} bytes")]
    TooLong {
        /// The longest that the mode takes.
        limit: usize,
    },
    /// The key is of another mode.
    #[error("the key is of another mode")]
    WrongMode,
}

/// The envelope does not open. Why is nobody's business: every cause looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the envelope does not open")]
pub struct OpenFailed;

/// The key of a class in mode `r` or `s`, from the data ring.
pub struct DataClassKey {
    mode: Mode,
    kid: Kid,
    padding: Padding,
    ciphers: Ciphers,
}

/// What a value is sealed with: the cipher, and the key of the commitment if the class carries one.
struct Ciphers {
    cipher: Cipher,
    commitment: Option<HmacKey>,
}

impl DataClassKey {
    /// Derives the key of a class as it is registered, committed or not.
    pub fn of_class(
        ring: &RingKey,
        tenant: &Tenant,
        params: &ClassParams,
    ) -> Result<Self, DeriveError> {
        let mut key = Self::derive(ring, tenant, &params.id, params.mode)?;
        key.ciphers.commitment = match params.commitment {
            Commitment::Absent => None,
            Commitment::Carried => {
                Some(HmacKey::new(ring.derive(Label::Com, tenant, &params.id)?.expose()))
            }
        };
        Ok(key)
    }

    /// Derives the key of a class that is not committed. `mode` is the mode of the class: an envelope of another one does not open.
    pub fn derive(
        ring: &RingKey,
        tenant: &Tenant,
        class: &ClassId,
        mode: Mode,
    ) -> Result<Self, DeriveError> {
        let label = match mode {
            Mode::Deterministic => return Err(DeriveError::WrongMode),
            Mode::Random => Label::EncR,
            Mode::Searchable => Label::EncS,
        };
        let cipher = Cipher::new(ring.derive(label, tenant, class)?.expose());
        let ciphers = Ciphers { cipher, commitment: None };
        Ok(Self { mode, kid: ring.kid(tenant, class)?, padding: Padding::Buckets, ciphers })
    }

    /// The same key, sealing with this padding. Opening takes either.
    pub fn with_padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Names the key version and class.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// Opens an envelope of mode `r` or `s` that is bound to no record.
    pub fn open(&self, envelope: &Parsed<'_>) -> Result<Typed, OpenFailed> {
        open(&self.ciphers, self.mode, self.kid, None, envelope)
    }

    /// Opens an envelope of mode `r` or `s` that is bound to this record.
    pub fn open_in(&self, record: &Record, envelope: &Parsed<'_>) -> Result<Typed, OpenFailed> {
        open(&self.ciphers, self.mode, self.kid, Some(record), envelope)
    }

    fn seal(
        &self,
        mode: Mode,
        head: &[u8],
        flags: Flags,
        (value, record): (&Typed, Option<&Record>),
        nonces: &mut dyn NonceSource,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if self.mode != mode {
            return Err(SealError::WrongMode);
        }
        check(value, MAX_VALUE)?;
        let nonce = nonces.nonce()?;
        let flags = flags.bound(record).committed(self.ciphers.carries());
        write(&self.ciphers, head, flags, self.kid, nonce, (value, record), out)
    }
}

/// The key of a class in the index ring: mode `d`, and the tokens of mode `s`.
pub struct IndexClassKey {
    kid: Kid,
    ciphers: Ciphers,
    nonces: HmacKey,
    rungs: HmacKey,
}

impl IndexClassKey {
    /// Derives the key.
    pub fn derive(ring: &RingKey, tenant: &Tenant, class: &ClassId) -> Result<Self, DeriveError> {
        let cipher = Cipher::new(ring.derive(Label::EncD, tenant, class)?.expose());
        Ok(Self {
            kid: ring.kid(tenant, class)?,
            ciphers: Ciphers { cipher, commitment: None },
            nonces: HmacKey::new(ring.derive(Label::NonceD, tenant, class)?.expose()),
            rungs: HmacKey::new(ring.derive(Label::Rung, tenant, class)?.expose()),
        })
    }

    /// Names the key version and class.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// The token of a normal form, which `name` names: HMAC-SHA256 over TUP(name, form), or over
    /// TUP(name, "sha256", SHA-256(form)) where the form does not fit a tuple.
    pub fn token(&self, name: &str, normal: &Plaintext) -> Token {
        let name = name.as_bytes();
        // Invariant: names are short literals.
        let name_len = length(name).unwrap_or_default();
        let form = normal.expose();
        Token::from_tag(&match length(form) {
            Some(form_len) => self.rungs.tag(&[&[2], &name_len, name, &form_len, form]),
            None => {
                let digest = sha256(form);
                self.rungs.tag(&[&[3], &name_len, name, &[0, 6], b"sha256", &[0, 32], &digest])
            }
        })
    }

    /// Opens an envelope of mode `d`, if it is the one that its value has.
    pub fn open(&self, envelope: &Parsed<'_>) -> Result<Typed, OpenFailed> {
        let value = open(&self.ciphers, Mode::Deterministic, self.kid, None, envelope)?;
        let nonce = self.nonce(&value).ok_or(OpenFailed)?;
        if bool::from(nonce.ct_eq(envelope.nonce())) { Ok(value) } else { Err(OpenFailed) }
    }

    fn nonce(&self, value: &Typed) -> Option<[u8; NONCE]> {
        let bytes = value.value.expose();
        let size = u16::try_from(1 + bytes.len()).ok()?.to_be_bytes();
        let tag = self.nonces.tag(&[&[1], &size, &[value.kind.byte()], bytes]);
        tag.first_chunk().copied()
    }
}

/// Seals in mode `r`: appends the envelope to `out`, or nothing.
pub fn seal_random(
    key: &DataClassKey,
    value: &Typed,
    nonces: &mut dyn NonceSource,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    seal_random_in(key, None, value, nonces, out)
}

/// The same, bound to a record if there is one.
pub fn seal_random_in(
    key: &DataClassKey,
    record: Option<&Record>,
    value: &Typed,
    nonces: &mut dyn NonceSource,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let flags = Flags::new(key.padding, None);
    key.seal(Mode::Random, b"ls1r", flags, (value, record), nonces, out)
}

/// Seals in mode `s` behind `ladder`; `parity` is that of the index-key version that made it.
pub fn seal_searchable(
    key: &DataClassKey,
    ladder: &Ladder,
    parity: Parity,
    value: &Typed,
    nonces: &mut dyn NonceSource,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    seal_searchable_in(key, None, (ladder, parity), value, nonces, out)
}

/// The same, bound to a record if there is one. The tokens are not: equality is found all the same.
pub fn seal_searchable_in(
    key: &DataClassKey,
    record: Option<&Record>,
    (ladder, parity): (&Ladder, Parity),
    value: &Typed,
    nonces: &mut dyn NonceSource,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let flags = Flags::new(key.padding, Some(parity));
    key.seal(Mode::Searchable, ladder.as_str().as_bytes(), flags, (value, record), nonces, out)
}

/// Seals in mode `d`: the same value gives the same envelope.
pub fn seal_deterministic(
    key: &IndexClassKey,
    value: &Typed,
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    check(value, MAX_DETERMINISTIC)?;
    let nonce = key.nonce(value).ok_or(SealError::TooLong { limit: MAX_DETERMINISTIC })?;
    let flags = Flags::new(Padding::Buckets, None);
    write(&key.ciphers, b"ls1d", flags, key.kid, nonce, (value, None), out)
}

/// Opens an envelope of mode `r`.
pub fn open_random(key: &DataClassKey, envelope: &Parsed<'_>) -> Result<Typed, OpenFailed> {
    if envelope.mode() == Mode::Random { key.open(envelope) } else { Err(OpenFailed) }
}

/// Opens an envelope of mode `s`. Its tokens are authenticated with it.
pub fn open_searchable(key: &DataClassKey, envelope: &Parsed<'_>) -> Result<Typed, OpenFailed> {
    if envelope.mode() == Mode::Searchable { key.open(envelope) } else { Err(OpenFailed) }
}

/// Opens an envelope of mode `d`.
pub fn open_deterministic(key: &IndexClassKey, envelope: &Parsed<'_>) -> Result<Typed, OpenFailed> {
    key.open(envelope)
}

impl Ciphers {
    fn carries(&self) -> Commitment {
        if self.commitment.is_some() { Commitment::Carried } else { Commitment::Absent }
    }

    /// HMAC-SHA256(K, text so far ‖ AAD)[..16]. The text so far has a length that its first characters
    /// tell, so the joint is unambiguous.
    fn commitment(&self, so_far: [&[u8]; 2], binding: &Binding) -> Option<[u8; COMMITMENT]> {
        let [head, header] = so_far;
        let tag = self.commitment.as_ref()?.tag(&[head, header, binding.as_bytes()]);
        tag.first_chunk().copied()
    }
}

fn check(value: &Typed, limit: usize) -> Result<(), SealError> {
    if value.value.len() > limit {
        return Err(SealError::TooLong { limit });
    }
    if value.kind.is_whole() && !value.value.is_empty() {
        return Err(SealError::NotEmpty);
    }
    Ok(())
}

/// Appends an envelope. The end of `out` serves as scratch room, so nothing else is allocated.
fn write(
    ciphers: &Ciphers,
    head: &[u8],
    flags: Flags,
    kid: Kid,
    nonce: [u8; NONCE],
    (value, record): (&Typed, Option<&Record>),
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    // Made first, since it may refuse and what follows is scratch room in clear.
    let binding = Binding::new(head, flags, kid, record).ok_or(SealError::WrongMode)?;
    let bytes = value.value.expose();
    let content = 1 + bytes.len();
    let ct_len = if flags.is_padded() { pad::padded(content) } else { content };
    let com_len = if ciphers.commitment.is_some() { COMMITMENT } else { 0 };
    let body_len = HEADER + com_len + ct_len + TAG;
    let text_len = head.len() + envelope::text_len(body_len);

    let start = out.len();
    out.resize(start + text_len + body_len, 0);
    // Invariant: all lengths below add up to the room that was just made.
    let (text, body) = out[start..].split_at_mut(text_len);
    body[0] = flags.byte();
    body[1..6].copy_from_slice(&kid.0);
    body[6..HEADER].copy_from_slice(&nonce);
    text[..head.len()].copy_from_slice(head);
    let (header, rest) = text[head.len()..].split_at_mut(HEADER_TEXT);
    envelope::encode(&body[..HEADER], header);
    if let Some(commitment) = ciphers.commitment([head, header], &binding) {
        body[HEADER..HEADER + com_len].copy_from_slice(&commitment);
    }
    let (ct, tag) = body[HEADER + com_len..].split_at_mut(ct_len);
    ct[0] = value.kind.byte();
    ct[1..content].copy_from_slice(bytes);
    if flags.is_padded() {
        ct[content] = 0x80;
    }
    let sealed = match ciphers.cipher.seal(&nonce, binding.as_bytes(), ct) {
        Ok(sealed) => sealed,
        Err(_) => {
            out[start..].zeroize();
            out.truncate(start);
            return Err(SealError::TooLong { limit: MAX_VALUE });
        }
    };
    tag.copy_from_slice(&sealed);
    envelope::encode(&body[HEADER..], rest);
    out.truncate(start + text_len);
    Ok(())
}

fn open(
    ciphers: &Ciphers,
    mode: Mode,
    kid: Kid,
    record: Option<&Record>,
    envelope: &Parsed<'_>,
) -> Result<Typed, OpenFailed> {
    let flags = envelope.flags();
    let is_of_class = envelope.mode() == mode && flags.commitment() == ciphers.carries();
    if !is_of_class || envelope.kid() != kid {
        return Err(OpenFailed);
    }
    let sealed = envelope.sealed().map_err(|_| OpenFailed)?;
    let head = envelope.head().as_bytes();
    let binding = Binding::new(head, flags, kid, record).ok_or(OpenFailed)?;
    match (ciphers.commitment(envelope.so_far(), &binding), &sealed.commitment) {
        (None, None) => {}
        (Some(expected), Some(found)) if bool::from(expected.ct_eq(found)) => {}
        (None | Some(_), None | Some(_)) => return Err(OpenFailed),
    }
    let mut bytes = sealed.ct;
    let opened = ciphers.cipher.open(envelope.nonce(), binding.as_bytes(), &mut bytes, &sealed.tag);
    opened.map_err(|_| OpenFailed)?;
    unpack(bytes, flags).ok_or(OpenFailed)
}

/// Takes type byte and padding off. Whatever is not canonical is refused, authentic or not.
fn unpack(bytes: Vec<u8>, flags: Flags) -> Option<Typed> {
    let mut bytes = zeroize::Zeroizing::new(bytes);
    let content = if flags.is_padded() { pad::content(&bytes)? } else { bytes.len() };
    let kind = Kind::from_byte(*bytes.first()?)?;
    bytes.truncate(content);
    if bytes.is_empty() || kind.is_whole() && content != 1 {
        return None;
    }
    bytes.remove(0);
    Some(Typed::new(kind, Plaintext::new(std::mem::take(&mut *bytes))))
}
