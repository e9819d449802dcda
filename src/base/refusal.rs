//! A refusal: the early end of a request, with blame, status, public text and audit code.
//!
//! Every reason to refuse is one [`Code`]; the table below is the only place where a code gets its
//! number, status and words, and `docs/errors.md` is checked against it. A refusal carries names
//! from the policy and words from closed lists, never anything that came in a body, a header or a
//! filter.

use std::{error::Error, fmt};

/// Whose mistake a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller's: the request as it stands will never be answered.
    Caller,
    /// Ours, or our surroundings': keys, log, limits of time.
    Service,
    /// The database API's.
    Upstream,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $status:literal, $title:literal, $remedy:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// `LSnnn`, as in the header `Labseal-Error`.
            pub fn number(self) -> &'static str {
                match self { $(Self::$variant => $number,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// One sentence for whoever gets the answer.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    /// The target cannot be parsed by the dialect, or its decoding is ambiguous.
    MalformedTarget = "LS100", 400, "the path or query cannot be parsed", "send a target that the API's own grammar accepts";
    /// The body is not what its content type says, or not of the declared shape.
    MalformedBody = "LS101", 400, "the body cannot be parsed, so its protected values cannot be found", "send a valid body of the declared shape";
    /// A protected key occurs twice in one object.
    DuplicateKey = "LS102", 400, "a protected key occurs twice in one object", "send each key once";
    /// Text with one of our kids where no envelope belongs.
    StrayEnvelope = "LS103", 400, "an envelope stands where none belongs", "send envelopes only as values of the field they were read from";
    /// The operator cannot be answered on how the field is stored.
    UnsupportedOperator = "LS104", 400, "the operator cannot be answered on a sealed field", "use an equality test, or declare a class mode that supports it";
    /// Ordering by a sealed field would be wrong.
    UnsupportedOrder = "LS105", 400, "sealed fields cannot be ordered by", "order by another field, sort in the client, or declare order: {proxy_sort: …} for the class";
    /// A cast, aggregate or JSON path on a sealed field would be wrong.
    UnsupportedTransform = "LS106", 400, "casts, aggregates and JSON paths cannot be answered on a sealed field", "select the field as it is";
    /// The answer was asked for in a format whose fields cannot be found.
    UnsupportedAnswer = "LS107", 400, "the requested answer format cannot be opened", "accept application/json";
    /// The mode of the field cannot decide conflicts.
    UnsupportedConflict = "LS108", 400, "conflicts cannot be decided on this sealed field", "use a field of a deterministic class, or say by on_conflict or key: that it decides none";
    /// A header would change the meaning of the request behind our back.
    UnsupportedHeader = "LS109", 400, "a header changes the meaning of the request in a way that cannot be followed", "leave out the header that is named";
    /// The framing of the message is ambiguous.
    AmbiguousFraming = "LS110", 400, "the message framing is ambiguous", "send either Content-Length or Transfer-Encoding, once";
    /// No API is configured under the path.
    NoApi = "LS111", 404, "no API is served under this path", "check path_prefix: in the configuration";
    /// A body where the operation has none.
    UnexpectedBody = "LS112", 400, "a body came with a request that has none, so nobody would seal it", "send the request without a body";
    /// A name that some servers would take for that of a protected field.
    NearName = "LS113", 400, "a name could be taken for that of a protected field", "spell the field as the policy declares it";
    /// A test or order is carried out on the opened answer, and the answer is not the whole list.
    NotWhole = "LS114", 400, "this is filtered or ordered after opening, which is right for whole lists alone", "ask for a JSON array without limit, offset, Range, count and aggregates";
    /// A test or order is carried out on the opened answer, and the field is not in it.
    NotSelected = "LS115", 400, "this is filtered or ordered after opening, and the field is not in the answer", "select the field, under a key of its own";
    /// A value of a bound field came without the key of its record.
    RecordKeyMissing = "LS116", 400, "the field is bound to its record, and the request does not say the record's key", "send the key with every record; to change a record, test the key for equality with one value";
    /// A request would change the key to which values are bound.
    RecordKeyChanged = "LS117", 400, "values are bound to this key, so it cannot be changed", "leave the key out of the body or repeat the one that the request tests; write a new record to change it";
    /// An answer would hold bound values without the key of their record.
    UnsupportedProjection = "LS118", 400, "the field is bound to its record, whose key cannot be in this answer", "embed the relation without spreading it, or leave the field out";
    /// A signature covers what would be changed.
    SignedRequest = "LS119", 400, "the request is signed, and sealing what it carries would break the signature", "authenticate to the API by something that does not cover target and body, such as a token or TLS";
    /// A parameter would order or test by what it names.
    NamedByValue = "LS123", 400, "the value of a parameter names a protected field, by which the API would order or test what is sealed", "leave it out, or list the parameter under may_name: of the route if nothing follows from the values of the field";
    /// Whether two records are the same would be decided by a field whose values have two forms.
    MixedKey = "LS126", 400, "the field is in migration, so which record is the same cannot be decided by it", "seal all of its values first, or name another field by on_conflict or key:";
    /// A test that cannot be asked of values in clear and of envelopes at once.
    MixedTest = "LS127", 400, "the field is in migration, and this cannot be asked of its values in both forms", "test another field, or seal all of its values first";
    /// A credential was presented and is not valid.
    InvalidCredential = "LS200", 401, "the credential is not valid", "present a valid credential, or none";
    /// The caller may not read the class.
    ReadNotGranted = "LS201", 403, "the caller may not read this field", "leave the field out of the selection, or ask for a read grant";
    /// The caller may not test the class for equality.
    FilterNotGranted = "LS202", 403, "the caller may not filter by this field", "ask for a filter grant";
    /// The caller may not write the class.
    WriteNotGranted = "LS203", 403, "the caller may not write this field", "leave the field out of the body, or ask for a write grant";
    /// A write to an entity that the policy does not declare.
    UndeclaredEntity = "LS204", 403, "the policy does not declare this entity, so nothing may be written to it", "declare the entity, or list it under undeclared: with a reason";
    /// A call of a function that the policy does not declare.
    UndeclaredFunction = "LS205", 403, "the policy does not declare this function, so it may not be called", "declare the function, or list it under undeclared: with a reason";
    /// The dialect does not know this kind of request.
    Unclassified = "LS206", 403, "the dialect does not know this kind of request, so its protected values cannot be found", "use the part of the API that the dialect covers";
    /// A read of an undeclared entity tests a column name that is protected elsewhere.
    UndeclaredFilter = "LS207", 403, "a column of an undeclared entity has the name of a protected one, and cannot be tested", "declare the entity with its fields";
    /// A field that the policy does not list, where it says that it lists all, or an argument of a
    /// declared function that it does not list.
    UnknownField = "LS208", 403, "the policy does not list one of the fields or arguments, and lets no other through", "send listed ones only, or list it with a class, or with mode: plain and a reason";
    /// An answer in which values in clear could stand that the caller may not see.
    MixedElsewhere = "LS216", 403, "a field is in migration, and its values could stand in this answer in clear, which the caller may not see", "read a declared entity, declare what the function returns, or name the embedded table; or list it under undeclared: with a reason";
    /// A masked value, a null or nothing came back from a caller who cannot see the value.
    MaskedWriteback = "LS300", 409, "the value would overwrite one that the caller cannot see", "leave the field out of the body, or ask for a read: sealed grant";
    /// An envelope of ours came back from a caller, or to a place, where it may not.
    PutBackNotAllowed = "LS301", 409, "this envelope may not be stored here", "only a caller whose read right is sealed may put an envelope back, unchanged and into a field of its class";
    /// More than the window holds.
    RecordTooLarge = "LS400", 413, "a record is larger than 8 MiB", "send smaller records";
    /// A protected value is too large.
    ValueTooLarge = "LS401", 413, "a protected value is too large for its class", "at most 1 MiB, or 1,800 bytes in a deterministic class";
    /// Nesting beyond the limit.
    TooDeep = "LS402", 413, "the body is nested more than 128 levels deep", "send a flatter body";
    /// The head is larger than the limit.
    HeadTooLarge = "LS403", 431, "the request head is too large", "send fewer or shorter headers";
    /// The rewritten target is longer than the limit.
    TargetTooLong = "LS404", 414, "the request target is too long", "test fewer values in one request";
    /// More body than is held before it is forwarded.
    BodyTooLarge = "LS405", 413, "the body is larger than the limit", "send it in parts, or raise limits.body_bytes in the configuration";
    /// More records than are filtered or ordered after opening.
    TooManyRecords = "LS406", 413, "there are more records than can be filtered or ordered after opening", "narrow the request, or raise proxy_sort: in the policy or db-max-rows of the API";
    /// More members of a coded body than what comes of them is worth.
    TooManyMembers = "LS408", 413, "the coded body has too many members for what is in them", "compress the body as a whole";
    /// A protected write in a content type that cannot be read.
    UnsupportedContentType = "LS410", 415, "protected values cannot be found in this content type", "send application/json in UTF-8";
    /// A protected write in a content encoding that cannot be read.
    UnsupportedContentEncoding = "LS411", 415, "protected values cannot be found in this content encoding", "send gzip, deflate, br or zstd, one of them, or no Content-Encoding";
    /// The value is not of the class's type.
    WrongType = "LS420", 422, "the value is not of the type of its class", "send a value that the column would accept";
    /// Something in us broke.
    Internal = "LS500", 500, "internal error", "look up the request id in the log";
    /// A stored value is not a valid envelope of its class.
    Integrity = "LS501", 502, "a stored value failed its integrity check", "see the audit log; the value was altered, or was never sealed";
    /// The upstream cannot be reached.
    UpstreamUnreachable = "LS502", 502, "the database API cannot be reached", "check upstream: in the configuration, and the API itself";
    /// The upstream's answer cannot be read.
    UpstreamUnreadable = "LS503", 502, "the answer of the database API cannot be read", "check that the API answers what the dialect expects, in a coding that was asked for";
    /// The upstream did not answer in time.
    UpstreamTimeout = "LS504", 504, "the database API did not answer in time", "try again, or check the API";
    /// The caller did not send the body in time.
    RequestTimeout = "LS505", 408, "the request did not arrive in time", "send the request without pauses";
    /// A value does not pass the test that its token passed.
    Collision = "LS506", 502, "two values share a search token, so this part of a list would be wrong", "ask for the whole list, without limit, offset, Range and count";
    /// A stored value in clear is not of the class's type.
    MixedValue = "LS507", 502, "a stored value in clear is not of the type of its class", "correct the value in the database, or the type: of the class";
    /// No key for the class is at hand.
    KeysUnavailable = "LS530", 503, "keys are not available", "check the key store; see readiness";
    /// The audit log cannot be written, so nothing was done.
    AuditUnavailable = "LS531", 503, "the audit log cannot be written; nothing was done", "free space for the audit log";
    /// The audit log could not be written after the write went out.
    OutcomeUnrecorded = "LS532", 503, "the audit log cannot be written; the write may have been applied", "read the record before writing again";
    /// This replica has lost touch with the key store, so nothing is sealed.
    KeysStale = "LS533", 503, "this replica has lost touch with the key store, so nothing is sealed", "check the key store and the way to it; see readiness";
    /// This replica has lost touch with the key store for so long that nothing is opened either.
    KeysExpired = "LS534", 503, "this replica has lost touch with the key store for too long, so nothing is opened", "check the key store and the way to it; see keys.grace";
    /// The key has sealed all that it may.
    KeyExhausted = "LS535", 503, "the key has sealed as many values as it may", "rotate: labseal keys rotate data";
    /// A value may be under a key that this replica has not learnt of.
    UnknownKey = "LS536", 503, "a value is under a key that this replica does not know, and the key store cannot be asked", "check the key store and the way to it; see readiness";
}

impl Code {
    /// Whose mistake it is.
    pub fn blame(self) -> Blame {
        match self {
            Self::Collision
            | Self::Integrity
            | Self::MixedValue
            | Self::UpstreamUnreachable
            | Self::UpstreamUnreadable
            | Self::UpstreamTimeout => Blame::Upstream,
            Self::Internal
            | Self::KeysUnavailable
            | Self::KeysStale
            | Self::KeysExpired
            | Self::KeyExhausted
            | Self::UnknownKey
            | Self::AuditUnavailable
            | Self::OutcomeUnrecorded => Blame::Service,
            _ => Blame::Caller,
        }
    }
}

/// The early end of a request.
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// The declared field it is about, as `entity.field`.
    pub field: Option<String>,
    /// The operator or construct, from a closed list of the dialect.
    pub operator: Option<&'static str>,
    /// What about it, where the code alone does not say; from a closed list.
    pub reason: Option<&'static str>,
    /// The state of the key that the value is under, where that is why it does not open: for the
    /// audit, never for the answer.
    pub key_state: Option<&'static str>,
    /// The line of the policy file that decided, or that would have to change.
    pub policy_line: Option<usize>,
    /// What went wrong underneath; for the log, never for the answer.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Refusal {
    /// A refusal that names nothing but its reason.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            field: None,
            operator: None,
            reason: None,
            key_state: None,
            policy_line: None,
            source: None,
        }
    }

    /// Names the declared field.
    pub fn on(mut self, field: impl fmt::Display) -> Self {
        self.field = Some(field.to_string());
        self
    }

    /// Names the operator or construct.
    pub fn by(mut self, operator: &'static str) -> Self {
        self.operator = Some(operator);
        self
    }

    /// Says what about it.
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Says to the audit in which state the key is.
    pub fn under(mut self, key_state: Option<&'static str>) -> Self {
        self.key_state = key_state;
        self
    }

    /// Names the policy line.
    pub fn at_line(mut self, line: usize) -> Self {
        self.policy_line = Some(line);
        self
    }

    /// Keeps the cause for the log.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What happened, in one line for the answer: field, operator, reason. Never a value.
    pub fn details(&self) -> String {
        let mut text = String::new();
        if let Some(field) = &self.field {
            text.push_str(&format!("field {field}: "));
        }
        if let Some(operator) = self.operator {
            text.push_str(&format!("{operator}: "));
        }
        text.push_str(self.code.title());
        if let Some(reason) = self.reason {
            text.push_str(&format!(": {reason}"));
        }
        text
    }

    /// What to do, in one line for the answer, with the policy line where there is one.
    pub fn hint(&self) -> String {
        match self.policy_line {
            Some(line) => format!("{} (policy line {line})", self.code.remedy()),
            None => self.code.remedy().to_owned(),
        }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.number(), self.details())
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_once_and_in_order() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    }

    #[test]
    fn a_refusal_names_field_operator_and_policy_line() {
        let refusal = Refusal::new(Code::UnsupportedOperator)
            .on("public.patients.last_name")
            .by("ilike")
            .at_line(7);
        assert!(refusal.details().starts_with("field public.patients.last_name: ilike: "));
        assert!(refusal.hint().ends_with("(policy line 7)"));
    }
}
