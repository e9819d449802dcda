//! A wrapping key in a hardware security module: AES-256-GCM by PKCS#11.
//!
//! The wrapped root key is `version[1] = 1, iv[12], ct[32], tag[16]`, with the place as additional data.
//! The key never leaves the token; a token whose key could leave it is refused. Every question opens a
//! session, proves itself with the PIN and closes it again: there is one question at start.
//!
//! # Why
//! `C_Encrypt`, not `C_WrapKey`: the root key is of our making, and wrapping mechanisms with
//! additional data are missing or wrong in the tokens we know. Some tokens choose the IV themselves
//! and write it over ours: what stands in the buffer afterwards is kept, whoever chose it. A wrong PIN
//! is never tried again, since tokens lock themselves after a few. A module stays loaded until the
//! process ends, since some leave threads behind; after an outage it is initialised anew, since some
//! look for tokens only then. (2026-11)

mod error;

pub use error::Pkcs11Error;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::{AuthPin, Ulong},
};
use zeroize::Zeroizing;

use super::{
    named::Passphrase,
    provider::{Place, Provider, ProviderError},
};
use crate::{base::secret::SecretKey, crypto::RootKey};

const VERSION: u8 = 1;
const IV: usize = 12;
const KEY: usize = 32;
const TAG: usize = 16;
const TAG_BITS: u64 = 8 * TAG as u64;

/// What a configuration says about a token.
pub struct Settings {
    /// The shared library of the token's maker.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the wrapping key in it.
    pub key: String,
    /// What unlocks the token.
    pub pin: Passphrase,
}

/// A key in a token.
pub struct Pkcs11Provider {
    settings: Settings,
    module: Mutex<Module>,
}

/// The library of the token's maker. It is loaded once; a process has one state of it.
#[derive(Default)]
struct Module {
    loaded: Option<Pkcs11>,
    is_initialised: bool,
}

/// Whether a session may make keys.
#[derive(Clone, Copy)]
enum Access {
    Reads,
    Writes,
}

/// A session that is logged in.
struct Open<'a> {
    settings: &'a Settings,
    module: Pkcs11,
    slot: Slot,
    session: Session,
}

impl Pkcs11Provider {
    /// The provider of `settings`. Nothing is loaded yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, module: Mutex::default() }
    }

    /// Does `work` in a session. After an outage the module begins anew.
    fn session<T>(
        &self,
        access: Access,
        work: impl FnOnce(&Open<'_>) -> Result<T, Pkcs11Error>,
    ) -> Result<T, Pkcs11Error> {
        // What a panic leaves behind is a module that is loaded, which is sound.
        let mut module: MutexGuard<'_, Module> =
            self.module.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = module.load(&self.settings)?;
        let done = Open::new(&self.settings, loaded, access).and_then(|open| work(&open));
        if done.as_ref().is_err_and(Pkcs11Error::is_outage) {
            module.end();
        }
        done
    }
}

impl Provider for Pkcs11Provider {
    fn kind(&self) -> &'static str {
        "pkcs11"
    }

    fn key(&self) -> Result<String, ProviderError> {
        Ok(self.settings.name())
    }

    fn create(&self) -> Result<(), ProviderError> {
        let made = self.session(Access::Writes, |open| match open.find() {
            Ok(_) => Ok(()),
            Err(Pkcs11Error::NoKey { .. }) => open.generate(),
            Err(other) => Err(other),
        });
        Ok(made?)
    }

    fn wrap(&self, root: &RootKey, place: &Place) -> Result<Vec<u8>, ProviderError> {
        let aad = place.aad();
        let wrapped = self.session(Access::Reads, |open| {
            let key = open.find()?;
            root.lend(|secret| open.wrap(key, secret, &aad))
        });
        Ok(wrapped?)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place) -> Result<RootKey, ProviderError> {
        let aad = place.aad();
        let secret = self.session(Access::Reads, |open| {
            let key = open.find()?;
            open.unwrap(key, wrapped, &aad)
        });
        Ok(RootKey::from_secret(secret?))
    }
}

impl Settings {
    fn name(&self) -> String {
        format!("{}/{}", self.token, self.key)
    }
}

impl Module {
    fn load(&mut self, settings: &Settings) -> Result<Pkcs11, Pkcs11Error> {
        let failed = |source| Pkcs11Error::Module { path: settings.module.clone(), source };
        let module = match &self.loaded {
            Some(module) => module.clone(),
            None => {
                let module = Pkcs11::new(&settings.module).map_err(failed)?;
                // Never unloaded: what a module has started may still run in it.
                std::mem::forget(module.clone());
                self.loaded.insert(module).clone()
            }
        };
        if !self.is_initialised {
            match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                // By another provider of this process.
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
                Err(source @ Error::Pkcs11(..)) => {
                    return Err(Pkcs11Error::Gone { token: settings.token.clone(), source });
                }
                Err(other) => return Err(failed(other)),
            }
            self.is_initialised = true;
        }
        Ok(module)
    }

    fn end(&mut self) {
        self.is_initialised = false;
        if let Some(module) = &self.loaded {
            // A module that cannot even end is asked again the next time all the same.
            let _ = module.clone().finalize();
        }
    }
}

impl<'a> Open<'a> {
    fn new(settings: &'a Settings, module: Pkcs11, access: Access) -> Result<Self, Pkcs11Error> {
        let told = settings.told("be listed");
        let token = || settings.token.clone();
        let mut found = Vec::new();
        let mut matching = Vec::new();
        for slot in module.get_slots_with_token().map_err(&told)? {
            // One broken reader does not hide the others.
            let Ok(about) = module.get_token_info(slot) else { continue };
            found.push(about.label().to_owned());
            if about.label() == settings.token {
                matching.push((slot, about));
            }
        }
        let (slot, about) = match (matching.pop(), matching.is_empty()) {
            (Some(one), true) => one,
            (Some(_), false) => {
                return Err(Pkcs11Error::Ambiguous { what: "tokens", label: token() });
            }
            (None, _) => {
                found.retain(|label| !label.is_empty());
                return Err(Pkcs11Error::NoToken { token: token(), found });
            }
        };
        if about.user_pin_locked() {
            return Err(Pkcs11Error::Locked { token: token() });
        }
        if about.user_pin_final_try() {
            return Err(Pkcs11Error::LastTry { token: token() });
        }
        let session = match access {
            Access::Reads => module.open_ro_session(slot),
            Access::Writes => module.open_rw_session(slot),
        };
        let session = session.map_err(settings.told("open a session"))?;
        log_in(settings, &session)?;
        Ok(Self { settings, module, slot, session })
    }

    /// The wrapping key, if it is one that may be used.
    fn find(&self) -> Result<ObjectHandle, Pkcs11Error> {
        let Settings { key, .. } = self.settings;
        let told = self.settings.told("look for its keys");
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Token(true),
            Attribute::Label(key.as_bytes().to_vec()),
        ];
        let found = self.session.find_objects(&wanted).map_err(&told)?;
        match found.as_slice() {
            [] => Err(Pkcs11Error::NoKey { key: self.settings.name() }),
            [one] => {
                let asked: Vec<_> = REQUIRED.iter().map(|required| required.asked).collect();
                let said = self.session.get_attributes(*one, &asked).map_err(&told)?;
                match REQUIRED.iter().find(|required| !said.contains(&(required.value)())) {
                    Some(Required { fault, .. }) => {
                        Err(Pkcs11Error::Key { key: self.settings.name(), fault })
                    }
                    None => Ok(*one),
                }
            }
            _ => Err(Pkcs11Error::Ambiguous { what: "secret keys", label: self.settings.name() }),
        }
    }

    fn generate(&self) -> Result<(), Pkcs11Error> {
        let mut template = vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Token(true),
            Attribute::Label(self.settings.key.as_bytes().to_vec()),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
        ];
        template.extend(REQUIRED.iter().map(|required| (required.value)()));
        let made = self.session.generate_key(&Mechanism::AesKeyGen, &template);
        made.map_err(self.settings.told("make a key"))?;
        // Some tokens make something else than they were asked for.
        self.find().map(drop)
    }

    fn wrap(&self, key: ObjectHandle, secret: &[u8], aad: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        let mut iv = [0; IV];
        let token = || self.settings.token.clone();
        let act = "encrypt";
        getrandom::fill(&mut iv).map_err(|_| Pkcs11Error::Iv {
            token: token(),
            how: "needs an IV, and the operating system gives no random bytes",
        })?;
        let mut sealed = self.encrypt(key, &mut iv, secret, aad);
        if let Err(Error::Pkcs11(RvError::MechanismParamInvalid | RvError::ArgumentsBad, _)) =
            sealed
        {
            // Tokens that insist on choosing the IV want to see none.
            iv = [0; IV];
            sealed = self.encrypt(key, &mut iv, secret, aad);
        }
        let sealed = sealed.map_err(|source| match source {
            Error::Pkcs11(RvError::MechanismInvalid, _) => {
                Pkcs11Error::NoGcm { token: token(), source }
            }
            source => self.settings.told(act)(source),
        })?;
        if iv == [0; IV] {
            return Err(Pkcs11Error::Iv { token: token(), how: "does not say which IV it used" });
        }
        if sealed.len() != KEY + TAG {
            let how = "puts something beside ciphertext and tag, as tokens do that choose the IV";
            return Err(Pkcs11Error::Iv { token: token(), how });
        }
        Ok([&[VERSION], &iv[..], &sealed].concat())
    }

    fn encrypt(
        &self,
        key: ObjectHandle,
        iv: &mut [u8],
        secret: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let params = GcmParams::new(iv, aad, Ulong::from(TAG_BITS))?;
        self.session.encrypt(&Mechanism::AesGcm(params), key, secret)
    }

    fn unwrap(
        &self,
        key: ObjectHandle,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<SecretKey, Pkcs11Error> {
        let refused = || Pkcs11Error::Authentication { key: self.settings.name() };
        let (iv, sealed) = match wrapped.split_first() {
            Some((&VERSION, rest)) if rest.len() == IV + KEY + TAG => rest.split_at(IV),
            _ => return Err(refused()),
        };
        let mut iv = iv.to_vec();
        let opened = GcmParams::new(&mut iv, aad, Ulong::from(TAG_BITS))
            .and_then(|params| self.session.decrypt(&Mechanism::AesGcm(params), key, sealed));
        let opened = Zeroizing::new(opened.map_err(|source| self.undecrypted(source))?);
        let secret: [u8; KEY] = opened.as_slice().try_into().map_err(|_| refused())?;
        Ok(SecretKey::new(secret))
    }

    /// A tag that does not match has many names among tokens, of which some mean worse elsewhere.
    fn undecrypted(&self, source: Error) -> Pkcs11Error {
        let said = match source {
            Error::Pkcs11(said, Function::Decrypt | Function::DecryptFinal) => said,
            source => return self.settings.told("decrypt")(source),
        };
        let is_about_the_data = matches!(
            said,
            RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::FunctionFailed
                | RvError::GeneralError
                | RvError::SignatureInvalid
        );
        // A token that still answers did not mean that it is broken.
        let answers = || self.module.get_token_info(self.slot).is_ok();
        if is_about_the_data && answers() {
            return Pkcs11Error::Authentication { key: self.settings.name() };
        }
        self.settings.told("decrypt")(source)
    }
}

/// What the wrapping key has to be, and what it is if it is not.
struct Required {
    asked: AttributeType,
    value: fn() -> Attribute,
    fault: &'static str,
}

impl Required {
    const fn new(asked: AttributeType, value: fn() -> Attribute, fault: &'static str) -> Self {
        Self { asked, value, fault }
    }
}

const REQUIRED: &[Required] = &[
    Required::new(AttributeType::KeyType, || Attribute::KeyType(KeyType::AES), "is not an AES key"),
    Required::new(
        AttributeType::ValueLen,
        || Attribute::ValueLen(Ulong::from(KEY as u64)),
        "is not of 256 bits",
    ),
    Required::new(
        AttributeType::Private,
        || Attribute::Private(true),
        "can be used without the PIN",
    ),
    Required::new(AttributeType::Sensitive, || Attribute::Sensitive(true), "can be read in clear"),
    Required::new(
        AttributeType::Extractable,
        || Attribute::Extractable(false),
        "can be taken out of the token",
    ),
    Required::new(AttributeType::Encrypt, || Attribute::Encrypt(true), "may not encrypt"),
    Required::new(AttributeType::Decrypt, || Attribute::Decrypt(true), "may not decrypt"),
];

fn log_in(settings: &Settings, session: &Session) -> Result<(), Pkcs11Error> {
    let pin = settings.pin.read().map_err(Pkcs11Error::Pin)?;
    let token = || settings.token.clone();
    // A PIN that is no text is no PIN of a token that speaks UTF-8.
    let text =
        str::from_utf8(pin.expose()).map_err(|_| Pkcs11Error::PinWrong { token: token() })?;
    match session.login(UserType::User, Some(&AuthPin::from(text))) {
        // By another provider of this process.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => Err(Pkcs11Error::PinWrong { token: token() }),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(Pkcs11Error::Locked { token: token() }),
        Err(other) => Err(settings.told("let its user log in")(other)),
    }
}
