//! `labseal init`: makes the root key, the key store and the first keys, and tells the custodian
//! what to do with the files.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use serde_json::json;

use crate::{
    app::custody::{self, Asking},
    base::clock::SystemClock,
    config::{Config, SecretRef},
    keys::{Keys, file::FileProvider},
    policy::Policy,
};

use super::check::Unusable;

/// Create the key store and the root key
///
/// Done once, before the first start. Nothing that exists is overwritten. The passphrase is taken
/// from where the configuration says; if it says nothing, you are asked for one, twice. A recovery
/// passphrase is made and left in a file next to the root key: move it to a safe.
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
    let files = Files::of(&config, store);
    match args.json {
        true => anstream::println!("{}", files.json(&config, classes.len())),
        false => files.print(&config, classes.len()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The files that matter, and what is to be done with each.
struct Files {
    store: String,
    root_key: PathBuf,
    recovery: PathBuf,
    passphrase: String,
}

impl Files {
    fn of(config: &Config, store: String) -> Self {
        let root_key = config.keys.provider.path().to_owned();
        Self {
            store,
            recovery: FileProvider::recovery_path(&root_key),
            root_key,
            passphrase: match config.keys.provider.passphrase() {
                Some(SecretRef::Env(name)) => format!("environment variable {name}"),
                Some(SecretRef::File(file)) => file.path().display().to_string(),
                None => "as you typed it".to_owned(),
            },
        }
    }

    fn print(&self, config: &Config, classes: usize) {
        let Self { store, root_key, recovery, passphrase } = self;
        let (root_key, recovery) = (root_key.display(), recovery.display());
        let config_file = config.file.display();
        let policy_file = config.policy.path().display();
        anstream::println!(
            "Created the keys of tenant {}, with {classes} classes registered.

Back up together, now and after every rotation. Nobody can open these without a passphrase:
  {store}   key store
  {root_key}   wrapping key
  {config_file}, {policy_file}

Keep apart from those backups, and from each other. Either opens the wrapping key:
  {passphrase}   passphrase
  {recovery}   recovery passphrase: move it to a safe now

Without the key store, the wrapping key and one of the passphrases, nothing that is sealed can ever be
opened again. See docs/keys.md.

Next: labseal run --config {config_file}",
            config.tenant
        );
    }

    fn json(&self, config: &Config, classes: usize) -> serde_json::Value {
        json!({
            "tenant": config.tenant.as_str(),
            "classes": classes,
            "back_up": [self.store, self.root_key, config.file, config.policy.path()],
            "keep_apart": {"passphrase": self.passphrase, "recovery": self.recovery},
        })
    }
}
