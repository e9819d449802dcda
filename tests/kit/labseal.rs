//! labseal itself, as an operator runs it: files, `init`, `run`, signals.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use ::labseal::base::digest::Digest;
use tempfile::TempDir;

use super::{
    client::Request,
    process::{self, Process, User, free_address},
    random, wait_until,
};

/// Callers that prove themselves with a key. `stranger` has one that no policy names.
const CALLERS: [&str; 6] = ["lims", "clinician", "billing", "archivist", "blind", "writer"];

/// How one labseal is set up.
pub struct Setup {
    policy: String,
    upstream: SocketAddr,
    /// Extra members of the first listener: `, tls: {…}`.
    listener: String,
    /// Another listener, as a line of YAML, and the API it serves.
    extra: String,
    bind: Option<String>,
    store: String,
    /// Further members of `keys:`.
    keys: String,
    /// The members of `keys.provider`.
    provider: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// This policy in front of this upstream, on a loopback port.
    pub fn new(policy: &str, upstream: SocketAddr) -> Self {
        let policy = policy.to_owned();
        let (listener, extra) = (String::new(), String::new());
        let store = "sqlite:labseal.db".to_owned();
        let (keys, environment) = (String::new(), Vec::new());
        let provider = "kind: file, path: root.key, passphrase: \"file:passphrase\"".to_owned();
        Self { policy, upstream, listener, extra, bind: None, store, keys, provider, environment }
    }

    /// With TLS; the paths are relative to the configuration.
    pub fn tls(mut self, members: &str) -> Self {
        self.listener = format!(", tls: {{{members}}}");
        self
    }

    /// Listening on a Unix socket instead.
    pub fn unix(mut self, socket: &Path) -> Self {
        self.bind = Some(format!("unix:{}", socket.display()));
        self
    }

    /// With the key log there.
    pub fn store(mut self, address: &str) -> Self {
        self.store = address.to_owned();
        self
    }

    /// With these members of `keys:` as well.
    pub fn keys(mut self, members: &str) -> Self {
        self.keys = format!(", {members}");
        self
    }

    /// With these members of `keys.provider` instead of a file's, and this in the environment.
    pub fn provider(mut self, members: &str, environment: &[(&str, String)]) -> Self {
        self.provider = members.to_owned();
        let owned = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        self.environment = environment.iter().map(owned).collect();
        self
    }

    /// With these lines after the others in the configuration.
    pub fn also(mut self, yaml: &str) -> Self {
        self.extra.push_str(yaml);
        self
    }

    /// Writes the files and runs `init`, without `run`. `prepare` may add files to the folder.
    pub fn init(self, prepare: impl FnOnce(&Path)) -> Labseal {
        let this = self.files(prepare);
        this.must(&["init"]);
        this
    }

    /// Starts another replica of `first`, with its keys, in a folder of its own.
    pub fn beside(self, first: &Labseal) -> Labseal {
        let mut labseal = self.files(|folder| {
            for name in ["root.key", "passphrase"] {
                std::fs::copy(first.folder().join(name), folder.join(name)).expect("a copy");
            }
        });
        labseal.run();
        labseal
    }

    fn files(self, prepare: impl FnOnce(&Path)) -> Labseal {
        let folder = TempDir::with_prefix("labseal-run-").expect("a temporary folder");
        let (address, ops) = (free_address(), free_address());
        let path = folder.path();
        std::fs::create_dir(path.join("keys")).expect("a folder");
        let key = || random::<32>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let keys: Vec<_> = CALLERS.iter().map(|name| (*name, key())).collect();
        for (name, key) in &keys {
            let digest = format!("{}\n", Digest::of(&[key.as_bytes()]));
            private(&path.join(format!("keys/{name}.sha256")), &digest);
        }
        private(&path.join("passphrase"), &key());
        std::fs::write(path.join("policy.yaml"), &self.policy).expect("the policy is written");
        let bind = self.bind.unwrap_or_else(|| address.to_string());
        let config = format!(
            "apiVersion: labseal/v1\nkind: Config\npolicy: policy.yaml\nlisteners:\n  \
             - {{name: lims, bind: \"{bind}\"{listener}}}\napis:\n  - {{name: lims-db, listener: \
             lims, path_prefix: /, upstream: \"http://{upstream}\"}}\nkeys: {{store: \
             \"{store}\", provider: {{{provider}}}{keys_also}}}\ntenant: main\naudit: {{dir: audit}}\nadmin: {{socket: \
             labseal.sock, ops: \"{ops}\"}}\n{extra}",
            store = self.store,
            provider = self.provider,
            keys_also = self.keys,
            listener = self.listener,
            upstream = self.upstream,
            extra = self.extra,
        );
        std::fs::write(path.join("labseal.yaml"), config).expect("the configuration is written");
        prepare(path);
        let stranger = key();
        Labseal {
            server: None,
            address,
            ops,
            keys,
            stranger,
            environment: self.environment,
            folder,
        }
    }

    /// Writes the files, runs `init`, starts `run` and waits until it is ready.
    pub fn start(self) -> Labseal {
        let mut labseal = self.init(|_| {});
        labseal.run();
        labseal
    }
}

/// One labseal with its folder.
pub struct Labseal {
    server: Option<Process>,
    address: SocketAddr,
    ops: SocketAddr,
    keys: Vec<(&'static str, String)>,
    stranger: String,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

impl Labseal {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are.
    pub fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// Its folder: configuration, policy, key store, audit, log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The key of a caller.
    pub fn key(&self, caller: &str) -> &str {
        let found = self.keys.iter().find(|(name, _)| *name == caller).map(|(_, key)| key);
        found.unwrap_or_else(|| {
            assert_eq!(caller, "stranger", "no such caller");
            &self.stranger
        })
    }

    /// Starts `run`, logging all it can, and waits until it is ready.
    pub fn run(&mut self) {
        self.launch(process::command(User::Same, env!("CARGO_BIN_EXE_labseal")));
    }

    /// The same, but a limit on the size of its files makes writes fail instead of killing it.
    pub fn run_where_files_can_fail(&mut self) {
        let mut command = process::command(User::Same, "env");
        command.arg("--ignore-signal=XFSZ").arg(env!("CARGO_BIN_EXE_labseal"));
        self.launch(command);
    }

    /// Starts `run` with this command for the binary, and waits until it is ready.
    pub fn launch(&mut self, command: Command) {
        self.begin_run(command, &[]);
        self.until_ready();
    }

    /// Starts `run` and does not wait for anything.
    pub fn begin_to_run(&mut self, more: &[&str]) {
        self.begin_run(process::command(User::Same, env!("CARGO_BIN_EXE_labseal")), more);
    }

    fn begin_run(&mut self, mut command: Command, more: &[&str]) {
        command.envs(self.environment.iter().cloned());
        command
            .arg("run")
            .args(more)
            .arg("--config")
            .arg(self.config())
            .args(["--log-level", "trace"]);
        command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        let log = self.folder.path().join("run.log");
        self.server = Some(Process::start(command, &log));
    }

    /// Waits until it is ready.
    pub fn until_ready(&mut self) {
        let ops = self.ops;
        wait_until("labseal", Duration::from_secs(60), || {
            assert!(self.runs(), "{}", self.log());
            Request::get("/readyz").try_send(ops).is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Waits until `run` has ended by itself, with this code.
    pub fn ends(&mut self, code: i32) {
        let mut server = self.server.take().expect("it runs");
        wait_until("labseal to end", Duration::from_secs(60), || !server.runs());
        assert_eq!(server.code(), Some(code), "{}", self.log());
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("labseal.yaml")
    }

    /// Runs another command with the same configuration.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = process::command(User::Same, env!("CARGO_BIN_EXE_labseal"));
        command.args(arguments).arg("--config").arg(self.config());
        command.envs(self.environment.iter().cloned());
        command.output().expect("labseal starts")
    }

    /// The same, which must succeed; gives what it printed.
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?} {}:\n{out}{error}", output.status);
        out
    }

    /// Starts another command with the same configuration, to be killed.
    pub fn begin(&self, arguments: &[&str]) -> Process {
        let mut command = process::command(User::Same, env!("CARGO_BIN_EXE_labseal"));
        command.args(arguments).arg("--config").arg(self.config());
        Process::start(command, &self.folder.path().join("command.log"))
    }

    /// Ends `run` as a service supervisor does; it must end well.
    pub fn stop(&mut self) {
        let mut server = self.server.take().expect("it runs");
        let status = server.stop("TERM", Duration::from_secs(30));
        assert!(status.success(), "run ended with {status}:\n{}", self.log());
    }

    /// Kills `run` without warning.
    pub fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
    }

    /// Whether `run` still runs.
    pub fn runs(&mut self) -> bool {
        self.server.as_mut().is_some_and(Process::runs)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").pid()
    }

    /// Sends a signal to `run`.
    pub fn signal(&self, signal: &str) {
        self.server.as_ref().expect("it runs").signal(signal);
    }

    /// All it logged so far.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("run.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What Prometheus would scrape.
    pub fn metrics(&self) -> String {
        let answer = Request::get("/metrics").send(self.ops);
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// The audit folder.
    pub fn audit(&self) -> PathBuf {
        self.folder.path().join("audit")
    }
}

/// Writes a file that only its owner may read.
pub fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("the file is written");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("the file is ours");
}
