//! `labseal inspect`: what an envelope says about itself. It is never opened.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::bail;
use serde_json::Value;

use crate::{
    app::custody,
    base::{
        class::{Commitment, Mode},
        clock::SystemClock,
        ident::Kid,
    },
    config::Config,
    crypto::envelope::{self, Bond, Parity, Parsed},
    policy::Policy,
};

use super::check::Unusable;

/// Say what an envelope tells about itself; never opens it
///
/// Format, mode, search tokens, flags, kid and sizes need no key. With --config also the ring, the
/// key version, its state and the class. Exits with 1 if the text is not an envelope.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The text, as it is stored
    envelope: String,
    /// The configuration file, to look the kid up in the key store
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = args.envelope.trim();
    let Ok(parsed) = envelope::parse(text.as_bytes()) else {
        let (at, wrong) = diagnose(text.as_bytes());
        bail!("not an envelope: {wrong} (at byte {at} of {})", text.len());
    };
    let mut facts = format(&parsed, text);
    if let Some(file) = &args.config {
        let config = Config::load(file).map_err(Unusable)?;
        facts.extend(look_up(&config, parsed.kid())?);
    }
    match args.json {
        true => anstream::println!("{}", Value::Object(facts.into_iter().collect())),
        false => {
            for (name, value) in facts {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                anstream::println!("{name:<14}{value}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn facts<const N: usize>(facts: [(&str, Value); N]) -> Vec<(String, Value)> {
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What needs no key.
fn format(parsed: &Parsed<'_>, text: &str) -> Vec<(String, Value)> {
    let flags = parsed.flags();
    let mut found = facts([
        ("format", "LS1".into()),
        ("mode", parsed.mode().as_str().into()),
        ("kid", parsed.kid().to_string().into()),
        ("padded", flags.is_padded().into()),
        ("bound", (flags.bond() == Bond::Record).into()),
        ("committed", (flags.commitment() == Commitment::Carried).into()),
        ("text_bytes", text.len().into()),
        ("sealed_bytes", parsed.ciphertext_len().into()),
    ]);
    if parsed.mode() == Mode::Searchable {
        let parity = match flags.index_parity() {
            Parity::Even => "even",
            Parity::Odd => "odd",
        };
        found.extend(facts([
            ("rungs", parsed.rungs().into()),
            ("tokens", parsed.tokens().into()),
            ("index_version", parity.into()),
        ]));
    }
    found
}

/// What the key store knows of a kid.
fn look_up(config: &Config, kid: Kid) -> anyhow::Result<Vec<(String, Value)>> {
    let keys = custody::open_keys(config, Arc::new(SystemClock))?;
    let versions = keys.describe()?;
    let found = versions.iter().find_map(|version| {
        let (class, _) = version.kids.iter().find(|(_, other)| *other == kid)?;
        Some((version, class))
    });
    let Some((version, class)) = found else {
        return Ok(facts([("known", false.into())]));
    };
    let mut found = facts([
        ("known", true.into()),
        ("ring", version.ring.as_str().into()),
        ("version", version.version.into()),
        ("state", version.state.as_str().into()),
        ("class_id", class.as_str().into()),
    ]);
    // The name of the class is the policy's; a policy with problems does not stop an inspection.
    if let Ok((policy, _)) = Policy::load(config.policy.path())
        && let Some(named) = policy.classes().iter().find(|other| other.params.id == *class)
    {
        found.extend(facts([("class", named.name.as_str().into())]));
    }
    Ok(found)
}

/// Where a text stops being an envelope, and how.
fn diagnose(text: &[u8]) -> (usize, &'static str) {
    let differs = |at: usize| text.get(at) != b"ls1".get(at);
    if let Some(at) = (0..3).find(|at| differs(*at)) {
        return (at, "an envelope begins with ls1");
    }
    let rungs = match (text.get(3), text.get(4)) {
        (Some(b'r' | b'd'), _) => 0,
        (Some(b's'), Some(digit @ b'1'..=b'4')) => usize::from(digit - b'0'),
        (Some(b's'), _) => return (4, "mode s needs a number of rungs, 1 to 4"),
        (Some(_) | None, _) => return (3, "the mode must be one of r, d and s"),
    };
    let body = if rungs == 0 { 4 } else { 5 + rungs * 12 };
    let is_token = |byte: &u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    if let Some(at) = (5..body).find(|at| !text.get(*at).is_some_and(is_token)) {
        return (at, "a search token has twelve of a-z and 2-7");
    }
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let rest = text.get(body..).unwrap_or_default();
    if let Some(at) = rest.iter().position(|byte| !is_base64(byte)) {
        return (body + at, "the body is base64url without padding");
    }
    // 18 bytes of header are 24 characters, then at least one byte and the tag.
    if rest.len() < 24 + 23 {
        return (text.len(), "the text ends before an envelope can: it was cut off");
    }
    if envelope::kid_at(text).is_none() {
        return (body, "the flags are not of this format, or not allowed in this mode");
    }
    (text.len(), "no envelope has this length and last character: it was cut off or altered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_envelope_is_told_where_it_goes_wrong() {
        for (text, at) in [
            ("", 0),
            ("Svensson", 0),
            ("ls2r", 2),
            ("ls1x", 3),
            ("ls1s9", 4),
            ("ls1s1aaaaaaaaaaa1", 16),
            ("ls1rAA=A", 6),
            ("ls1rAAAA", 8),
        ] {
            assert_eq!(diagnose(text.as_bytes()).0, at, "{text}");
        }
    }
}
