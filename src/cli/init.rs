//! `labseal init`: makes or finds the wrapping key, makes the key store and the first keys, and tells the
//! custodian what to do with each.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use serde_json::json;

use crate::{
    app::custody::{self, Asking},
    base::clock::SystemClock,
    config::{Config, ProviderSection, SecretRef},
    keys::{Keys, file::FileProvider, provider::Provider},
    policy::Policy,
};

use super::check::Unusable;

/// Create the key store and the root key
///
/// Done once, before the first start. Nothing that exists is overwritten. The passphrase, or the PIN of
/// the token, is taken from where the configuration says; if it says nothing, you are asked. A root key
/// file gets a recovery passphrase, which is left in a file next to it: move it to a safe. In a token
/// the wrapping key is made unless it is there; a key of AWS KMS has to be there.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config).map_err(Unusable)?;
    // The policy before the keys: if it cannot be read, nothing is left half done.
    let (policy, _) = Policy::load(config.policy.path()).map_err(Unusable)?;
    let classes: Vec<_> = policy.classes().iter().map(|class| class.params.clone()).collect();

    let address = custody::store_address(&config)?;
    let provider = custody::provider(&config, Asking::Twice)?;
    let keys = Keys::create(&address, provider.as_ref(), &config.tenant, Arc::new(SystemClock))?;
    keys.register(&classes)?;

    let store = match address.path() {
        Some(path) => path.display().to_string(),
        None => address.to_string(),
    };
    let custody = Custody::of(&config, store, provider.as_ref())?;
    match args.json {
        true => anstream::println!("{}", custody.json(&config, classes.len())),
        false => custody.print(&config, classes.len()),
    }
    Ok(ExitCode::SUCCESS)
}

/// What matters, and what is to be done with each: places, with what they are.
struct Custody {
    kind: &'static str,
    key: String,
    back_up: Vec<(String, &'static str)>,
    keep_apart: Vec<(String, &'static str)>,
    /// What the wrapping key needs that is not a file of ours.
    duty: Option<String>,
}

impl Custody {
    fn of(config: &Config, store: String, provider: &dyn Provider) -> anyhow::Result<Self> {
        let section = &config.keys.provider;
        let secret = match section.secret() {
            Some(SecretRef::Env(name)) => format!("environment variable {name}"),
            Some(SecretRef::File(file)) => file.path().display().to_string(),
            None => "as you typed it".to_owned(),
        };
        let (kind, key) = (provider.kind(), provider.key()?);
        let mut back_up = vec![(store, "key store")];
        let (keep_apart, duty) = match section {
            ProviderSection::AwsKms { .. } => {
                let duty =
                    format!("Never let the KMS key {key} be deleted: deny kms:ScheduleKeyDeletion");
                (Vec::new(), Some(duty))
            }
            ProviderSection::File { path, .. } => {
                back_up.push((path.path().display().to_string(), "wrapping key"));
                let recovery = FileProvider::recovery_path(path.path()).display().to_string();
                (vec![(secret, "passphrase"), (recovery, "recovery")], None)
            }
            ProviderSection::Pkcs11 { token, key, .. } => {
                let duty = format!(
                    "Back up key {key} of token {token} by the token's own means (a second token, or a \
                     wrapped copy under the maker's backup key): it cannot be taken out otherwise"
                );
                (vec![(secret, "pin")], Some(duty))
            }
        };
        back_up.push((config.file.display().to_string(), "configuration"));
        back_up.push((config.policy.path().display().to_string(), "policy"));
        Ok(Self { kind, key, back_up, keep_apart, duty })
    }

    fn print(&self, config: &Config, classes: usize) {
        let Self { kind, key, back_up, keep_apart, duty } = self;
        let config_file = config.file.display();
        let line = |(place, what): &(String, &str)| match *what {
            "recovery" => format!("  {place}   recovery passphrase: move it to a safe now\n"),
            "pin" => format!("  {place}   PIN\n"),
            what => format!("  {place}   {what}\n"),
        };
        let [back_up, keep_apart] =
            [back_up, keep_apart].map(|places| places.iter().map(line).collect::<String>());
        anstream::println!(
            "Created the keys of tenant {}, with {classes} classes registered. Wrapped by {kind} key {key}.

Back up together, now and after every rotation. Nobody can open these without the wrapping key:
{back_up}",
            config.tenant
        );
        if !keep_apart.is_empty() {
            anstream::println!("Keep apart from those backups, and from each other:\n{keep_apart}");
        }
        if let Some(duty) = duty {
            anstream::println!("{duty}.\n");
        }
        anstream::println!(
            "Without the key store and the wrapping key, nothing that is sealed can ever be opened again. \
             See docs/keys.md.

Next: labseal run --config {config_file}"
        );
    }

    fn json(&self, config: &Config, classes: usize) -> serde_json::Value {
        let keep_apart: serde_json::Map<_, _> =
            self.keep_apart.iter().map(|(place, what)| (what.to_string(), json!(place))).collect();
        json!({
            "tenant": config.tenant.as_str(),
            "classes": classes,
            "provider": {"kind": self.kind, "key": self.key},
            "back_up": self.back_up.iter().map(|(place, _)| place).collect::<Vec<_>>(),
            "keep_apart": keep_apart,
        })
    }
}
