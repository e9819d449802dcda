//! What protects the memory of a running labseal, seen from outside.

mod kit;

use std::{fs, path::Path, process::Command, time::Duration};

use kit::{
    Request,
    labseal::{Labseal, Setup},
    policy,
    process::{User, command, free_address},
};

fn set_up() -> Labseal {
    Setup::new(policy::LAB, free_address()).init(|_| {})
}

fn of_process(pid: u32, file: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].split_whitespace().map(str::to_owned).collect()
}

fn locked_kib(labseal: &Labseal) -> u64 {
    of_process(labseal.pid(), "status", "VmLck:")[0].parse().unwrap()
}

fn warnings(labseal: &Labseal) -> Vec<String> {
    let ready: serde_json::Value =
        serde_json::from_str(&Request::get("/readyz").send(labseal.ops()).text()).unwrap();
    assert_eq!(ready["ready"], true);
    ready["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
}

/// Whether this process may lock as much memory as it likes, and so whether its children may.
fn may_lock() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let capabilities = &of_process(std::process::id(), "status", "CapEff:")[0];
    let capabilities = u64::from_str_radix(capabilities, 16).unwrap();
    let limit = &of_process(std::process::id(), "limits", "Max locked memory")[0];
    capabilities >> CAP_IPC_LOCK & 1 == 1 || limit == "unlimited"
}

#[test]
fn a_running_labseal_locks_its_memory_and_dumps_no_core() {
    let mut labseal = set_up();
    labseal.run();
    assert_eq!(of_process(labseal.pid(), "limits", "Max core file size")[..2], ["0", "0"]);
    match may_lock() {
        true => {
            let resident: u64 = of_process(labseal.pid(), "status", "VmRSS:")[0].parse().unwrap();
            assert!(locked_kib(&labseal) >= resident, "{} of {resident}", locked_kib(&labseal));
            assert_eq!(warnings(&labseal), [""; 0]);
        }
        false => assert!(warnings(&labseal)[0].contains("LimitMEMLOCK=infinity")),
    }
}

#[test]
fn memory_that_cannot_be_locked_is_told_in_log_and_readiness_and_nothing_else_changes() {
    let mut labseal = set_up();
    // Root is not asked for its limit: what it needs is the capability.
    let mut limited = command(User::Same, "prlimit");
    limited.args(["--memlock=65536:65536", "setpriv", "--bounding-set=-ipc_lock"]);
    if nix::unistd::getuid().is_root() {
        limited.arg("--inh-caps=-ipc_lock");
    }
    limited.arg(env!("CARGO_BIN_EXE_labseal"));
    labseal.launch(limited);
    assert_eq!(locked_kib(&labseal), 0);
    let warnings = warnings(&labseal);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("LimitMEMLOCK=infinity"), "{warnings:?}");
    assert!(labseal.log().contains("memory is not fully protected"));
    assert_eq!(of_process(labseal.pid(), "limits", "Max core file size")[..2], ["0", "0"]);
}

/// Whether the user can read the memory of a process, which takes the right to trace it.
fn can_read_memory(user: User, pid: u32) -> bool {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        command(user, "head").args(["-c1", &path]).output().unwrap().status.success()
    };
    // The first page of `mem` is never there: opening it is the question.
    let open = format!("exec 3<>/proc/{pid}/mem");
    let opens = command(user, "sh").args(["-c", &open]).output().unwrap().status.success();
    let others = ["environ", "auxv"].map(read);
    assert!(others.iter().all(|reads| *reads == opens), "{others:?} {opens}");
    opens
}

#[test]
fn another_process_of_the_same_user_cannot_look_into_it() {
    let mut labseal = set_up();
    give(labseal.folder());
    labseal.launch(command(User::Database, env!("CARGO_BIN_EXE_labseal")));
    // What can be looked into at all: a process of this user that forbids nothing.
    let mut open = command(User::Database, "sleep").arg("60").spawn().unwrap();
    kit::wait_until("sleep", Duration::from_secs(10), || {
        fs::read_to_string(format!("/proc/{}/comm", open.id())).is_ok_and(|comm| comm == "sleep\n")
    });
    assert!(can_read_memory(User::Database, open.id()));
    assert!(!can_read_memory(User::Database, labseal.pid()));
    open.kill().unwrap();
    open.wait().unwrap();
}

/// Lets the database's user own the folder, where it is another one than ours.
fn give(folder: &Path) {
    if nix::unistd::getuid().is_root() {
        let given = Command::new("chown").arg("-R").arg("postgres").arg(folder).status().unwrap();
        assert!(given.success());
    }
}
