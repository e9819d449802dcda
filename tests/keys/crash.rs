//! kill -9 at every step of a rotation, and at random moments.
//!
//! The test runs its own binary again, as the process that dies: `LABSEAL_TEST_CRASH` names store
//! and step, and [`dies`] is what runs there.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use labseal::keys::{Keys, Ring, State, Step, WAIT};

use super::{create, open, opened, seal, sqlite};

const VARIABLE: &str = "LABSEAL_TEST_CRASH";

/// Not a test of its own: the process that dies.
#[test]
fn dies() {
    let Ok(order) = std::env::var(VARIABLE) else { return };
    let (step, folder) = order.split_once(' ').unwrap();
    let folder = PathBuf::from(folder);
    let keys = open(&sqlite(&folder)).unwrap();
    let watch = |at: Step| {
        std::fs::write(folder.join("sealed"), seal(&keys.snapshot(), "c-res", "1.10")).unwrap();
        if format!("{at:?}") == step {
            die();
        }
    };
    loop {
        keys.rotate_watched(Ring::Data, WAIT, &watch).unwrap();
    }
}

/// SIGKILL, so that nothing is flushed, unlocked or dropped.
fn die() -> ! {
    let this = std::process::id().to_string();
    Command::new("kill").args(["-KILL", &this]).status().unwrap();
    unreachable!("survived SIGKILL")
}

fn dying(step: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::dies", "--test-threads=1"]);
    command.env(VARIABLE, format!("{step} {}", folder.display()));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Every value sealed before and during still opens, one key is active, and rotation goes on.
fn assert_sound(folder: &Path, before: &[String]) -> Keys {
    let keys = open(&sqlite(folder)).unwrap();
    for envelope in before {
        assert_eq!(opened(&keys.snapshot(), envelope), "1.10");
    }
    let last = std::fs::read_to_string(folder.join("sealed")).unwrap_or_default();
    if !last.is_empty() {
        assert_eq!(opened(&keys.snapshot(), &last), "1.10");
    }
    let active = |keys: &Keys| {
        let versions = keys.describe().unwrap();
        let mut active = versions
            .iter()
            .filter(|version| version.ring == Ring::Data && version.state == State::Active);
        let found = active.next().unwrap().version;
        assert!(active.next().is_none());
        found
    };
    let was = active(&keys);
    assert_eq!(keys.rotate(Ring::Data).unwrap().version, was + 1);
    assert_eq!(active(&keys), was + 1);
    keys
}

#[test]
fn killed_at_any_step_of_a_rotation_nothing_is_lost() {
    for step in Step::ALL {
        let folder = tempfile::tempdir().unwrap();
        let keys = create(&sqlite(folder.path()));
        let mut sealed = vec![seal(&keys.snapshot(), "c-res", "1.10")];
        for _ in 0..3 {
            let status = dying(&format!("{step:?}"), folder.path()).status().unwrap();
            assert!(!status.success(), "{step:?}: the process was to die");
            let keys = assert_sound(folder.path(), &sealed);
            sealed.push(seal(&keys.snapshot(), "c-res", "1.10"));
        }
    }
}

#[test]
fn killed_at_a_random_moment_of_a_rotation_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let keys = create(&sqlite(folder.path()));
    let sealed = [seal(&keys.snapshot(), "c-res", "1.10")];
    let mut random = [0; 12];
    getrandom::fill(&mut random).unwrap();
    for byte in random {
        let _ = std::fs::remove_file(folder.path().join("sealed"));
        let mut child = dying("never", folder.path()).spawn().unwrap();
        // Real time: what is interrupted is a real process in the middle of a system call.
        std::thread::sleep(Duration::from_millis(20 + u64::from(byte) / 4));
        child.kill().unwrap();
        child.wait().unwrap();
        // A write that was cut short is the test's own file, not a sealed value.
        let path = folder.path().join("sealed");
        if std::fs::read_to_string(&path).is_ok_and(|text| text.len() < 60) {
            std::fs::remove_file(&path).unwrap();
        }
        assert_sound(folder.path(), &sealed);
    }
}
