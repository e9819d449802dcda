//! Child processes that end with the test, whatever ends it.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    time::Duration,
};

use super::wait_until;

/// Where `tests/run` put the real servers.
pub fn parts() -> PathBuf {
    let parts = std::env::var_os("LABSEAL_PARTS")
        .expect("LABSEAL_PARTS is not set: run tests/run, or tests/run test --test NAME");
    let parts = PathBuf::from(parts);
    assert!(parts.join("installed").exists(), "LABSEAL_PARTS is not complete: run tests/run");
    parts
}

/// The ports that are given out: below those that the system gives to whoever asks for any, in
/// blocks of so many.
const PORTS: std::ops::Range<u16> = 10_000..30_000;
const BLOCK: u16 = 50;

/// A loopback address that nobody uses. Each is given out once, and to one test program at a time: a
/// program locks a block of ports until it ends.
pub fn free_address() -> SocketAddr {
    static OWN: Mutex<(Vec<File>, std::ops::Range<u16>)> = Mutex::new((Vec::new(), 0..0));
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let (locks, ports) = &mut *own;
        for port in ports {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            if TcpListener::bind(address).is_ok() {
                return address;
            }
        }
        let (lock, block) = lock_block();
        locks.push(lock);
        own.1 = block;
    }
}

/// A block of ports that no other test program has, and what keeps it so.
fn lock_block() -> (File, std::ops::Range<u16>) {
    let folder = std::env::temp_dir().join("labseal-ports");
    std::fs::create_dir_all(&folder).expect("a folder for locks");
    for first in PORTS.step_by(usize::from(BLOCK)) {
        let path = folder.join(first.to_string());
        let Ok(file) = File::options().create(true).append(true).open(path) else { continue };
        if file.try_lock().is_ok() {
            return (file, first..first + BLOCK);
        }
    }
    panic!("all blocks of ports are in use");
}

/// Who a process runs as.
#[derive(Clone, Copy)]
pub enum User {
    /// Whoever runs the tests.
    Same,
    /// The database's own user where the tests run as root, which its server refuses.
    Database,
}

/// A command that the kernel kills when the test process ends, even by a signal.
pub fn command(user: User, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if matches!(user, User::Database) && nix::unistd::getuid().is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg("--").arg(program.as_ref());
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// A running child process.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts it, with both outputs going to `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let name = log.file_stem().expect("a log has a name").to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log).expect("the log opens");
        command.stdout(file.try_clone().expect("a second handle")).stderr(file);
        Self { child: spawn(command), name }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }

    /// The code that it ended with, if it has ended by itself.
    pub fn code(&mut self) -> Option<i32> {
        self.child.try_wait().expect("the child can be asked").and_then(|status| status.code())
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill runs").success(), "{} took no {signal}", self.name);
    }

    /// Sends a signal and waits for the end.
    pub fn stop(&mut self, signal: &str, limit: Duration) -> ExitStatus {
        self.signal(signal);
        let mut status = None;
        wait_until(&format!("{} to end after {signal}", self.name), limit, || {
            status = self.child.try_wait().expect("the child can be asked");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Kills it without warning.
    pub fn kill(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Spawns from a thread that lives as long as the process: the kernel's "parent died" signal goes
/// by the parent's thread, and each test has its own, which ends with the test.
fn spawn(command: Command) -> Child {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static KEEPER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, child) = mpsc::channel();
    let program = format!("{command:?}");
    keeper.send((command, answer)).expect("the keeper lives");
    child
        .recv()
        .expect("the keeper answers")
        .unwrap_or_else(|error| panic!("{program} does not start: {error}"))
}

/// Has a folder removed once the test process has ended, however it ends: the shell waits for the
/// end of a pipe that nobody writes to.
pub fn remove_at_exit(folder: &Path) {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "read -r _; for _ in 1 2 3 4 5 6; do sleep 1; rm -rf -- \"$0\" && exit; done"])
        .arg(folder);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    std::mem::forget(shell.spawn().expect("sh runs"));
}

/// Runs a command to its end; fails the test, with its output, unless it succeeds.
pub fn run(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output.stdout
}
