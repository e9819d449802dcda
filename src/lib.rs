//! labseal: a transparent encryption sidecar for the HTTP API of a database.
//!
//! It stands between an unmodified LIMS and the API. On the way in it seals sensitive values; on the
//! way out it opens them for callers who may see them, and masks or withholds them for those who may
//! not. This page is how to read the code; what users read is in `README.md` and `docs/`.
//!
//! # One exchange
//!
//! `proxy/exchange.rs` is the life of a request, top to bottom. Each step takes what the one before
//! it proved, and each may end in a [refusal](base::refusal):
//!
//! ```text
//! admit      is its framing sound, which API?              -> Gate
//! identify   who is this?                                  -> Caller
//! classify   what do they want?                            -> Operation
//! decide     what may happen?                              -> Plan
//! readdress  literals in the target become envelopes       -> Addressed
//! seal       window by window: scan, keys, splice          -> SealedBody, Sealed
//! forward    the request, whole, to the database API       -> Response
//! open       window by window: scan, keys, splice          -> Opened, Unsealed
//! record     no record, no release                         -> Receipt
//! release    the answer goes out                           -> Response
//! ```
//!
//! # Floors
//!
//! A module imports only from floors below it; `tests/floors.rs` holds the table and enforces it.
//!
//! ```text
//! cli        commands                              app        puts everything together, reloads
//! config     the operators' file
//! proxy      HTTP: accept, exchange, answers       (names no cipher)
//! seal       scan and splice of bodies             (pure and synchronous)
//! policy     the developers' file, plans           keys       key log, rings, providers
//! dialect    families of APIs                      audit      the log that proves itself
//! auth       makes callers; nothing else can       crypto     the only code that names a cipher
//! model      a request in nobody's words
//! base       secrets, names, refusals, the clock
//! ```
//!
//! # Words
//!
//! One meaning each. If a word changes here, the code is renamed.
//!
//! | word | meaning | not |
//! |---|---|---|
//! | API | one upstream database API, with its dialect and its entities | backend, service |
//! | dialect | what is known of one family of APIs: where records, fields, filters and errors are | adapter, driver |
//! | entity, field | a table, collection or resource type of an API; a place in its records | model, attribute |
//! | class | what a value *is* (mrn, name, result): carries mode, type and mask; keys are per class | category, data type |
//! | mode | how a class is stored: random, deterministic, searchable, plain | scheme |
//! | caller | who is asking, proven | user, client (that is the other end of a connection) |
//! | grant, right | what a caller may do with a class: read, filter, write; one of these | permission, role |
//! | plan | what the policy decided for one operation of one caller | context |
//! | seal, open | plaintext to envelope; envelope to plaintext | encrypt, decrypt (those are the cipher's) |
//! | mask, withhold | show a partial view; show nothing | redact, hide |
//! | envelope | the text stored in place of a value (format LS1, `docs/envelope.md`) | token, blob, ciphertext |
//! | put back | to store an envelope again that a caller was given, unchanged; to give a caller back what the exchange itself sealed | |
//! | stray | an envelope where none belongs | |
//! | ring, key version | a named series of data keys; one of them | keyset |
//! | kid | the five bytes in an envelope that name key version and class | key name |
//! | rung, token | a grain of equality of a searchable class; the keyed text that stands for it | index, hash |
//! | census | a count of what is stored, by key version | statistics |
//! | reseal, unseal | to seal stored values anew under the active versions; to put them back in clear | re-encrypt, migrate |
//! | job | reseal or unseal, from its request to the scan that counts nothing left | task (that is a thread's) |
//! | provider | what wraps and unwraps the root key | KMS (that is one kind) |
//! | key log | the hash-chained log of key operations; the state of all rings is its replay; an epoch is the number of an entry | key table |
//! | window | as much of a body as is held at a time; ends where a record ends | chunk (that is HTTP's), buffer |
//! | scan, splice | the pure pass that finds the places of interest; replacing just those bytes | parse, rewrite |
//! | refusal | an early end of a request, with blame, status, public text and code | error, rejection |
//! | receipt | that the audit log holds an event durably | ack |

pub mod app;
pub mod audit;
pub mod auth;
pub mod base;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod dialect;
pub mod keys;
pub mod model;
pub mod policy;
pub mod proxy;
pub mod seal;
