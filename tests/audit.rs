//! The audit log from outside: what it survives, and what `verify` finds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use labseal::{
    audit::{
        self, Action, Audit, AuditError, ClassCounts, Counts, Event, Milestone, Notice, Outcome,
        Phase, Standing, Subject, VerifyError, Who, verify::Fault,
    },
    base::{
        clock::SystemClock,
        digest::Digest,
        ident::{ApiName, CallerName, ClassName, EntityName, Kid, RequestId},
    },
    model::Verb,
};
use tempfile::TempDir;

const SMALL_FILES: u64 = 8_192;

fn event(request: u64) -> Event {
    let counts = ClassCounts { opened: request, ..ClassCounts::default() };
    Event {
        request: RequestId(request),
        phase: Phase::Whole,
        who: Some(Who { name: CallerName::new("lims"), via: "certificate" }),
        action: Some(Action {
            api: ApiName::new("lims-db"),
            subject: Some((Verb::Read, Subject::Entity(EntityName::new("public.patients")))),
        }),
        outcome: Outcome::Answered(200),
        counts: Counts {
            classes: BTreeMap::from([(ClassName::new("mrn"), counts)]),
            strays_passed: 0,
            kids: BTreeSet::from([Kid([1, 2, 3, 4, 5])]),
            ..Counts::default()
        },
        policy: Digest([7; 32]),
        latency: Duration::from_micros(900),
    }
}

fn open(dir: &Path) -> Audit {
    Audit::open_sized(dir, Arc::new(SystemClock), SMALL_FILES).unwrap()
}

fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

/// A closed log of `count` entries, in files of about a dozen.
fn log_of(count: u64) -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("audit");
    let audit = open(&dir);
    on_runtime(async {
        for i in 1..=count {
            assert_eq!(audit.record(event(i)).await.unwrap().seq(), i);
        }
    });
    audit.close();
    (temp, dir)
}

fn file(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("audit-{number:06}.jsonl"))
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn put(path: &Path, lines: &[String]) {
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[track_caller]
fn assert_broken(dir: &Path, number: u32, at: u64, what: Fault) {
    match audit::verify(dir) {
        Err(VerifyError::Broken { file: path, line, fault }) => {
            assert_eq!((path, line, fault), (file(dir, number), at, what));
        }
        other => panic!("{other:?}"),
    }
}

/// The line with another count in it and a hash that fits again, as a forger would make it.
fn forged(line: &str) -> String {
    let (body, _) = line.split_once(",\"hash\":\"").unwrap();
    let body = body.replacen("\"micros\":900", "\"micros\":901", 1);
    format!("{body},\"hash\":\"{}\"}}", Digest::of(&[body.as_bytes()]))
}

#[test]
fn a_sound_log_verifies_across_its_files() {
    let (_temp, dir) = log_of(40);
    let report = audit::verify(&dir).unwrap();
    assert!(report.files >= 3, "{report:?}");
    assert_eq!((report.entries, report.checkpoint, report.unfinished), (40, 40, 0));
    assert_eq!(report.head.seq, 40);
    assert!(report.first.unwrap() <= report.last.unwrap());
    let last = audit::read::last(&dir, 30).unwrap();
    assert_eq!(last.len(), 30);
    assert_eq!((last[0]["seq"].as_u64(), last[29]["seq"].as_u64()), (Some(11), Some(40)));
}

#[test]
fn an_edited_line_is_named() {
    let (_temp, dir) = log_of(40);
    let path = file(&dir, 2);
    let mut all = lines(&path);
    all[3] = all[3].replace("\"opened\":", "\"masked\":");
    put(&path, &all);
    assert_broken(&dir, 2, 4, Fault::Edited);
}

#[test]
fn a_line_that_was_edited_and_hashed_again_is_named() {
    let (_temp, dir) = log_of(40);
    let path = file(&dir, 2);
    let mut all = lines(&path);
    all[3] = forged(&all[3]);
    put(&path, &all);
    assert_broken(&dir, 2, 4, Fault::Replaced);
}

#[test]
fn the_last_line_of_a_file_that_was_hashed_again_is_named_in_that_file() {
    let (_temp, dir) = log_of(40);
    let path = file(&dir, 1);
    let mut all = lines(&path);
    let last = all.len();
    all[last - 1] = forged(&all[last - 1]);
    put(&path, &all);
    assert_broken(&dir, 1, last as u64, Fault::Replaced);
}

#[test]
fn the_last_line_of_all_that_was_hashed_again_differs_from_the_checkpoint() {
    let (_temp, dir) = log_of(5);
    let path = file(&dir, 1);
    let mut all = lines(&path);
    all[4] = forged(&all[4]);
    put(&path, &all);
    assert_broken(&dir, 1, 5, Fault::Replaced);
}

#[test]
fn swapped_lines_are_named_at_the_first() {
    let (_temp, dir) = log_of(40);
    let path = file(&dir, 1);
    let mut all = lines(&path);
    all.swap(2, 3);
    put(&path, &all);
    assert_broken(&dir, 1, 3, Fault::Reordered);
}

#[test]
fn a_line_moved_into_a_later_file_is_named_where_it_is_missed() {
    let (_temp, dir) = log_of(40);
    let mut all = lines(&file(&dir, 1));
    let moved = all.remove(2);
    put(&file(&dir, 1), &all);
    let mut next = lines(&file(&dir, 2));
    next.push(moved);
    put(&file(&dir, 2), &next);
    assert_broken(&dir, 1, 3, Fault::Reordered);
}

#[test]
fn inserted_lines_are_named() {
    let (_temp, dir) = log_of(40);
    let path = file(&dir, 1);
    let sound = lines(&path);
    let mut copied = sound.clone();
    copied.insert(5, sound[1].clone());
    put(&path, &copied);
    assert_broken(&dir, 1, 6, Fault::Inserted);
    let mut foreign = sound;
    foreign.insert(5, "{}".into());
    put(&path, &foreign);
    assert_broken(&dir, 1, 6, Fault::Edited);
}

#[test]
fn missing_lines_are_counted() {
    let (_temp, dir) = log_of(40);
    let path = file(&dir, 1);
    let mut all = lines(&path);
    all.drain(4..7);
    put(&path, &all);
    assert_broken(&dir, 1, 5, Fault::Missing(3));
}

#[test]
fn a_cut_tail_is_found_and_not_written_after() {
    let (_temp, dir) = log_of(5);
    let path = file(&dir, 1);
    let mut all = lines(&path);
    all.pop();
    put(&path, &all);
    match audit::verify(&dir) {
        Err(VerifyError::Cut { line: 4, reached: 4, checkpoint: 5, .. }) => {}
        other => panic!("{other:?}"),
    }
    match Audit::open(&dir, Arc::new(SystemClock)) {
        Err(AuditError::Cut { reached: 4, checkpoint: 5, .. }) => {}
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_tail_cut_within_a_line_is_a_cut_tail() {
    let (_temp, dir) = log_of(5);
    let text = fs::read(file(&dir, 1)).unwrap();
    for cut in [1, 2, 100] {
        fs::write(file(&dir, 1), &text[..text.len() - cut]).unwrap();
        assert!(matches!(audit::verify(&dir), Err(VerifyError::Cut { reached: 4, .. })), "{cut}");
    }
}

#[test]
fn a_missing_file_or_checkpoint_is_named() {
    let (_temp, dir) = log_of(40);
    fs::rename(file(&dir, 2), dir.join("elsewhere")).unwrap();
    match audit::verify(&dir) {
        Err(VerifyError::Gone(path)) => assert_eq!(path, file(&dir, 2)),
        other => panic!("{other:?}"),
    }
    fs::rename(dir.join("elsewhere"), file(&dir, 2)).unwrap();
    assert!(audit::verify(&dir).is_ok());
    fs::remove_file(dir.join("head.json")).unwrap();
    match audit::verify(&dir) {
        Err(VerifyError::Gone(path)) => assert_eq!(path, dir.join("head.json")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(Audit::open(&dir, Arc::new(SystemClock)), Err(AuditError::Broken(_))));
    assert!(matches!(audit::verify(&dir.join("none")), Err(VerifyError::Absent(_))));
}

#[test]
fn a_torn_line_is_cut_off_recorded_and_followed() {
    let (_temp, dir) = log_of(5);
    let mut out = fs::OpenOptions::new().append(true).open(file(&dir, 1)).unwrap();
    out.write_all(b"{\"v\":1,\"seq\":6,\"pre").unwrap();
    drop(out);
    let report = audit::verify(&dir).unwrap();
    assert_eq!((report.entries, report.unfinished), (5, 19));
    let audit = open(&dir);
    assert_eq!(on_runtime(audit.record(event(6))).unwrap().seq(), 7);
    audit.close();
    assert_eq!(audit::verify(&dir).unwrap().entries, 7);
    let last = audit::read::last(&dir, 2).unwrap();
    assert_eq!(
        (last[0]["kind"].as_str(), last[0]["bytes"].as_u64()),
        (Some("recovered"), Some(19))
    );
}

#[test]
fn a_file_begun_just_before_a_crash_is_gone_on_with() {
    let (_temp, dir) = log_of(5);
    fs::write(file(&dir, 2), "").unwrap();
    let audit = open(&dir);
    assert_eq!(on_runtime(audit.record(event(6))).unwrap().seq(), 6);
    audit.close();
    assert_eq!(lines(&file(&dir, 2)).len(), 1);
    assert_eq!(audit::verify(&dir).unwrap().entries, 6);
}

#[test]
fn only_one_process_writes_and_nobody_else_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("audit");
    let audit = open(&dir);
    assert!(matches!(Audit::open(&dir, Arc::new(SystemClock)), Err(AuditError::InUse(_))));
    assert_eq!(on_runtime(audit.record(event(1))).unwrap().seq(), 1);
    audit.close();
    assert!(matches!(on_runtime(audit.record(event(2))), Err(AuditError::Closed)));
    drop(audit);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let modes: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| mode(&entry.unwrap().path())).collect();
    assert_eq!(modes, [0o600; 3]);
    drop(open(&dir));
}

#[test]
fn entries_of_eight_threads_are_all_durable_and_numbered_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("audit");
    let audit = open(&dir);
    let live = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|thread| {
                let audit = audit.clone();
                scope.spawn(move || {
                    on_runtime(async {
                        let mut seqs = Vec::new();
                        for i in 0..100 {
                            audit.note(event(i));
                            seqs.push(audit.record(event(thread * 100 + i)).await.unwrap().seq());
                        }
                        seqs
                    })
                })
            })
            .collect();
        // Under their eyes, the log is sound at every moment.
        let mut live = 0;
        while writers.iter().any(|writer| !writer.is_finished()) {
            audit::verify(&dir).unwrap();
            live += 1;
        }
        let seqs: BTreeSet<_> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        assert_eq!(seqs.len(), 800);
        live
    });
    assert!(live > 0);
    // Not closed: receipts alone say that this much is on the disk.
    assert!(audit::verify(&dir).unwrap().entries >= 800);
    audit.close();
    assert_eq!(audit::verify(&dir).unwrap().entries, 1_600);
}

#[test]
fn the_checkpoint_follows_within_a_second_or_so() {
    let temp = tempfile::tempdir().unwrap();
    let audit = open(temp.path());
    let policy = Digest([1; 32]);
    let started = Notice { milestone: Milestone::Started, policy };
    assert_eq!(on_runtime(audit.record(started)).unwrap().seq(), 1);
    let mut waited = 0;
    while audit::verify(temp.path()).unwrap().checkpoint == 0 {
        assert!(waited < 100);
        waited += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    audit.close();
}

#[test]
fn a_file_that_was_moved_away_ends_the_recording() {
    let temp = tempfile::tempdir().unwrap();
    let audit = open(temp.path());
    assert_eq!(on_runtime(audit.record(event(1))).unwrap().seq(), 1);
    fs::rename(file(temp.path(), 1), temp.path().join("rotated-by-somebody")).unwrap();
    assert!(matches!(on_runtime(audit.record(event(2))), Err(AuditError::Unwritable(_))));
    assert_eq!(audit.standing(), Standing::Poisoned);
    assert!(on_runtime(audit.record(event(3))).is_err());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, "").unwrap();
    let opened = Audit::open(&path.join("audit"), Arc::new(SystemClock));
    assert!(matches!(opened, Err(AuditError::Open { .. })));
}

/// Runs the ignored test `name` of this file in a process of its own.
fn child(name: &str, dir: &Path, shell: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", name, "--nocapture"])
        .env("LABSEAL_TEST_DIR", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn child_dir() -> Option<PathBuf> {
    std::env::var_os("LABSEAL_TEST_DIR").map(PathBuf::from)
}

#[test]
#[ignore = "runs as a child of another test"]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = child_dir() else { return };
    let audit = open(&dir);
    on_runtime(async {
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let audit = audit.clone();
                tokio::spawn(async move {
                    while let Ok(receipt) = audit.record(event(task)).await {
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "durable {}", receipt.seq()).unwrap();
                        out.flush().unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn kill_9_at_any_moment_loses_no_entry_that_was_acknowledged() {
    let temp = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..6 {
        let mut child = child("child_that_writes_until_it_is_killed", temp.path(), "");
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut seen = 0;
        for line in out.lines() {
            let Some(seq) = line.unwrap().strip_prefix("durable ").map(|n| n.parse().unwrap())
            else {
                continue;
            };
            acknowledged = acknowledged.max(seq);
            seen += 1;
            if seen == 40 + 37 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= 40 + 37 * round, "the child ended by itself");
        let report = audit::verify(temp.path()).unwrap();
        assert!(report.entries >= acknowledged, "{report:?} {acknowledged}");
    }
    let audit = open(temp.path());
    assert!(on_runtime(audit.record(event(1))).unwrap().seq() > acknowledged);
    drop(audit);
    audit::verify(temp.path()).unwrap();
}

#[test]
#[ignore = "runs as a child of another test"]
fn child_that_fills_its_disk() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Some(dir) = child_dir() else { return };
    let audit = Audit::open(&dir, Arc::new(SystemClock)).unwrap();
    on_runtime(async {
        let mut durable = 0;
        let error = loop {
            match audit.record(event(1)).await {
                Ok(receipt) => durable = receipt.seq(),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AuditError::Unwritable(std::io::ErrorKind::FileTooLarge)));
        assert!(durable > 10);
        assert_eq!(audit.standing(), Standing::Failing);
        assert!(audit.record(event(1)).await.is_err());
        // What failed was taken back whole.
        let report = audit::verify(&dir).unwrap();
        assert_eq!((report.entries, report.unfinished), (durable, 0));
        let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
        // It finds out by itself, so that readiness comes back without traffic.
        let mut waited = 0;
        while !audit.is_writable() {
            assert!(waited < 100);
            waited += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(audit.record(event(1)).await.unwrap().seq(), durable + 2);
    });
    audit.close();
    audit::verify(&dir).unwrap();
    let last = audit::read::last(&dir, 2).unwrap();
    assert_eq!((last[0]["kind"].as_str(), last[0]["count"].as_u64()), (Some("resumed"), Some(2)));
    writeln!(std::io::stdout(), "went on").unwrap();
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let temp = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes, soft; the signal is ignored so that writes fail instead.
    let shell = "trap '' XFSZ; ulimit -S -f 20;";
    let child = child("child_that_fills_its_disk", temp.path(), shell);
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("went on"), "{text}");
}
