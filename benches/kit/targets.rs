//! What is compared: each target is a server that answers the same load, and the processes it costs.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use labseal::base::digest::Digest;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tempfile::TempDir;

use super::{
    kit::{
        self, Database, PostgRest, Postgres,
        labseal::private,
        process::{self, Process, User, free_address},
        wait_until,
    },
    load::{Aim, Client},
    meter,
};

const KEY: &str = "a key of the bench, for nothing else";

/// A server under load.
pub struct Target {
    /// Its name in every report.
    pub name: &'static str,
    /// Where the load goes.
    pub aim: Aim,
    /// The processes between client and API; for a whole API, that too.
    pub pids: Vec<u32>,
}

/// All servers, until it is dropped.
pub struct Fleet {
    /// In the order in which they take turns.
    pub targets: Vec<Target>,
    // Children end with it.
    _processes: Vec<Process>,
    _postgrest: PostgRest,
    _database: Database,
    _folder: TempDir,
}

/// How many fields of a record are protected.
const COUNTS: [usize; 3] = [1, 10, 50];

/// About 500 bytes with ten values of 16 bytes or so; fifty make it 2,000.
fn record(fields: usize) -> String {
    let values = (0..fields.max(10)).map(|at| format!("\"f{at:02}\":\"value no {at:02} 0123456\""));
    let values: Vec<_> = values.collect();
    format!(
        "{{\"id\":41873,{},\"ward\":\"haematology\",\"status\":\"final\",\"priority\":\"routine\",\
         \"analyzer\":\"COBAS-8000-2\",\"collected_at\":\"2026-11-24T06:15:00+00:00\"}}",
        values.join(",")
    )
}

fn field_names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("f{at:02}")).collect()
}

/// The same API behind two listeners, with protected entities or with none.
fn policy(is_protected: bool) -> String {
    let entities = COUNTS.map(|count| {
        let fields = field_names(count).join(": {class: detail}, ");
        format!("      lab.records{count}: {{fields: {{{fields}: {{class: detail}}}}}}\n")
    });
    let entities = format!("    schemas: [lab]\n    entities:\n{}", entities.concat());
    let entities = if is_protected { &*entities } else { "" };
    let apis = ["plain", "tls"]
        .map(|name| format!("  - name: {name}\n    dialect: postgrest\n{entities}"));
    format!(
        "apiVersion: labseal/v1\nkind: Policy\nclasses:\n  detail: {{id: c-detail, mode: random, \
         type: text, mask: {{\"null\": true}}}}\ncallers:\n  lims: {{api_key: {{header: X-Api-Key, \
         sha256_file: lims.sha256}}}}\ngrants:\n  lims: {{\"*\": {{read: clear, filter: allow, \
         write: allow}}}}\napis:\n{}",
        apis.concat()
    )
}

fn get(path: &str) -> Arc<[u8]> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {KEY}\r\n\r\n")
        .into_bytes()
        .into()
}

fn post(path: &str, body: &str) -> Arc<[u8]> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {KEY}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into()
}

/// Asks once, and gives the body of the answer.
fn once(aim: &Aim) -> String {
    String::from_utf8(Client::new(aim).exchange().to_vec()).unwrap()
}

impl Fleet {
    /// Starts everything, writes the records through each proxy, and checks that each gives back what
    /// was written and that what is stored is sealed.
    pub fn start() -> Self {
        let mut yard = Yard::new();
        let upstream = yard.helper("answer");
        let transit = yard.helper("transit");
        let tls = Tls::new(yard.folder.path());
        let mut targets = Vec::new();
        let plain = |to: SocketAddr, request| Aim { to, tls: None, request };

        targets.push(yard.target("direct", plain(upstream.0, get("/plain")), &[upstream.1]));
        let nginx = yard.nginx(upstream.0, &tls);
        targets.push(yard.target("nginx-plain", plain(nginx.plain, get("/plain")), &nginx.pids));
        targets.push(yard.target("nginx-tls", tls.aim(nginx.tls, get("/plain")), &nginx.pids));
        let haproxy = yard.haproxy(upstream.0, &tls);
        targets.push(yard.target(
            "haproxy-plain",
            plain(haproxy.plain, get("/plain")),
            &haproxy.pids,
        ));
        targets.push(yard.target(
            "haproxy-tls",
            tls.aim(haproxy.tls, get("/plain")),
            &haproxy.pids,
        ));

        let empty = yard.labseal("empty", false, upstream.0, &tls, yard.memory());
        targets.push(yard.target("labseal-empty", plain(empty.plain, get("/plain")), &empty.pids));
        targets.push(yard.target(
            "labseal-empty-tls",
            tls.aim(empty.tls, get("/plain")),
            &empty.pids,
        ));
        let lab = yard.labseal("lab", true, upstream.0, &tls, yard.memory());
        let names = ["labseal-open-1", "labseal-open-10", "labseal-open-50"];
        for (name, count) in names.into_iter().zip(COUNTS) {
            let (path, record) = (format!("/records{count}"), record(count));
            once(&plain(lab.plain, post(&path, &record)));
            let stored = once(&plain(upstream.0, get(&path)));
            assert_eq!(stored.matches("\"ls1r").count(), count, "{stored}");
            let aim = plain(lab.plain, get(&format!("{path}?id=eq.1")));
            assert_eq!(once(&aim), record);
            targets.push(yard.target(name, aim, &lab.pids));
        }
        let written = post("/records10", &record(10));
        targets.push(yard.target("labseal-seal-10", plain(lab.plain, written.clone()), &lab.pids));
        let read = get("/records10?id=eq.1");
        targets.push(yard.target("labseal-open-10-tls", tls.aim(lab.tls, read.clone()), &lab.pids));
        targets.push(yard.target(
            "labseal-seal-10-tls",
            tls.aim(lab.tls, written.clone()),
            &lab.pids,
        ));
        // Keys of its own, so an API of its own.
        let other = yard.helper("answer");
        let disk = yard.labseal("disk", true, other.0, &tls, yard.folder.path().to_owned());
        once(&plain(disk.plain, post("/records10", &record(10))));
        targets.push(yard.target(
            "labseal-open-10-disk",
            plain(disk.plain, read.clone()),
            &disk.pids,
        ));
        targets.push(yard.target("labseal-seal-10-disk", plain(disk.plain, written), &disk.pids));

        let fields = field_names(10).join(",");
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kit");
        let port = |address: SocketAddr| address.port().to_string();
        let node = |yard: &mut Yard, more: &[String]| {
            let mut command = process::command(User::Same, "node");
            command.arg(scripts.join("proxy.mjs")).arg(port(upstream.0)).arg(&fields).args(more);
            yard.speaking(command, "node")
        };
        let python = std::env::var_os("LABSEAL_BENCH_PYTHON").expect("run benches/kit/run");
        let mut command = process::command(User::Same, PathBuf::from(python));
        command.arg(scripts.join("proxy.py")).arg(port(upstream.0)).arg(&fields);
        let own = [
            ("node-open-10", node(&mut yard, &[])),
            ("python-open-10", yard.speaking(command, "python")),
            ("call-per-value-10", node(&mut yard, &[port(transit.0)])),
        ];
        for (name, (address, pid)) in own {
            let path = format!("/{name}");
            once(&plain(address, post(&path, &record(10))));
            let stored = once(&plain(upstream.0, get(&path)));
            assert!(!stored.contains("value no 0"), "{stored}");
            let aim = plain(address, get(&path));
            assert_eq!(once(&aim), record(10), "{name}");
            let engine = (name == "call-per-value-10").then_some(transit.1);
            let pids: Vec<_> = std::iter::once(pid).chain(engine).collect();
            targets.push(yard.target(name, aim, &pids));
        }

        let database = Postgres::start().database(&schema());
        let postgrest = PostgRest::with(&database, "");
        let mut pids = vec![postgrest.pid()];
        pids.extend(meter::family(database.server().pid()));
        let api = postgrest.address();
        for (name, path) in [("postgrest-plain", "/plain"), ("postgrest-pgcrypto-10", "/opened")] {
            let aim = plain(api, get(&format!("{path}?id=eq.1")));
            assert!(once(&aim).contains("value no 09"), "{name}");
            targets.push(yard.target(name, aim, &pids));
        }
        let whole = yard.labseal("api", true, api, &tls, yard.memory());
        let members: Vec<_> =
            field_names(10).iter().map(|name| format!("\"{name}\":\"value no 0\"")).collect();
        once(&plain(
            whole.plain,
            post("/records10", &format!("{{\"id\":1,{}}}", members.join(","))),
        ));
        let aim = plain(whole.plain, get("/records10?id=eq.1"));
        assert_eq!(once(&aim).matches("value no 0").count(), 10);
        pids.extend(&whole.pids);
        targets.push(yard.target("postgrest-labseal-10", aim, &pids));
        let Yard { folder, processes } = yard;
        Self {
            targets,
            _processes: processes,
            _postgrest: postgrest,
            _database: database,
            _folder: folder,
        }
    }
}

/// Tables with ten columns in clear, sealed by labseal, and sealed by pgcrypto behind a view.
fn schema() -> String {
    let names = field_names(10);
    let each =
        |spell: &dyn Fn(&String) -> String| names.iter().map(spell).collect::<Vec<_>>().join(", ");
    format!(
        "do $$ begin execute format('alter database %I set log_statement = none', current_database()); end $$;
         create extension pgcrypto; create schema lab; create schema archive;
         create table lab.records10 (id int primary key, {text});
         create table lab.plain (id int primary key, {text});
         insert into lab.plain values (1, {values});
         create table lab.sealed (id int primary key, {bytes});
         insert into lab.sealed select id, {sealed} from lab.plain;
         create view lab.opened as select id, {opened} from lab.sealed;",
        text = each(&|name| format!("{name} text")),
        bytes = each(&|name| format!("{name} bytea")),
        values = each(&|name| format!("'value no {} 0123456'", &name[1..])),
        sealed = each(&|name| format!("pgp_sym_encrypt({name}, '{KEY}', 'cipher-algo=aes256')")),
        opened = each(&|name| format!("pgp_sym_decrypt({name}, '{KEY}') as {name}")),
    )
}

/// A proxy with and without TLS.
struct Proxy {
    plain: SocketAddr,
    tls: SocketAddr,
    pids: Vec<u32>,
}

/// A certificate for this machine, and who trusts it.
struct Tls {
    client: Arc<ClientConfig>,
}

impl Tls {
    fn new(folder: &Path) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (pem, key) = (cert.pem(), signing_key.serialize_pem());
        private(&folder.join("cert.pem"), &pem);
        private(&folder.join("key.pem"), &key);
        private(&folder.join("both.pem"), &format!("{pem}{key}"));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(cert.der().to_vec())).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { client: Arc::new(client) }
    }

    fn aim(&self, to: SocketAddr, request: Arc<[u8]>) -> Aim {
        Aim { to, tls: Some(self.client.clone()), request }
    }
}

/// Where servers are put together.
struct Yard {
    folder: TempDir,
    processes: Vec<Process>,
}

impl Yard {
    fn new() -> Self {
        let folder = TempDir::with_prefix("labseal-kit-").unwrap();
        Self { folder, processes: Vec::new() }
    }

    /// A memory file system, for what is not to wait for a disk.
    fn memory(&self) -> PathBuf {
        PathBuf::from("/dev/shm")
    }

    fn target(&self, name: &'static str, aim: Aim, pids: &[u32]) -> Target {
        once(&aim);
        Target { name, aim, pids: pids.to_vec() }
    }

    /// Keeps a process, once it takes connections.
    fn keep(&mut self, process: Process, address: SocketAddr, name: &str) -> u32 {
        wait_until(name, Duration::from_secs(60), || std::net::TcpStream::connect(address).is_ok());
        let pid = process.pid();
        self.processes.push(process);
        pid
    }

    /// This program in another role.
    fn helper(&mut self, role: &str) -> (SocketAddr, u32) {
        let program = std::env::current_exe().unwrap();
        let mut command = process::command(User::Same, program);
        command.env("LABSEAL_KIT_ROLE", role);
        self.speaking(command, role)
    }

    /// A process that says its address on its first line.
    fn speaking(&mut self, mut command: std::process::Command, name: &str) -> (SocketAddr, u32) {
        let log = self.folder.path().join(format!("{name}-{}.log", self.processes.len()));
        command.stdin(Stdio::null());
        let process = Process::start(command, &log);
        let mut address = None;
        wait_until(name, Duration::from_secs(30), || {
            let file = std::fs::File::open(&log).unwrap();
            let line = BufReader::new(file).lines().next().and_then(Result::ok);
            address = line.and_then(|line| line.parse().ok());
            address.is_some()
        });
        let pid = self.keep(process, address.unwrap(), name);
        (address.unwrap(), pid)
    }

    fn nginx(&mut self, upstream: SocketAddr, _tls: &Tls) -> Proxy {
        let (plain, tls) = (free_address(), free_address());
        let folder = self.folder.path().to_owned();
        let at = folder.display();
        let config = format!(
            "daemon off; user root; worker_processes 1; pid {at}/nginx.pid; error_log {at}/nginx.err;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n  access_log off; keepalive_requests 100000000;\n  \
             client_body_temp_path {at}/nb; proxy_temp_path {at}/np; fastcgi_temp_path {at}/nf; \
             uwsgi_temp_path {at}/nu; scgi_temp_path {at}/ns;\n  \
             upstream api {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}\n  \
             server {{ listen {plain}; listen {tls} ssl; ssl_certificate {at}/cert.pem; \
             ssl_certificate_key {at}/key.pem;\n    location / {{ proxy_pass http://api; \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; }} }}\n}}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config).unwrap();
        let mut command = process::command(User::Same, "nginx");
        command.arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(&folder);
        command.arg("-e").arg(folder.join("nginx.err"));
        let process = Process::start(command, &folder.join("nginx.log"));
        let pid = self.keep(process, plain, "nginx");
        Proxy { plain, tls, pids: meter::family(pid) }
    }

    fn haproxy(&mut self, upstream: SocketAddr, _tls: &Tls) -> Proxy {
        let (plain, tls) = (free_address(), free_address());
        let folder = self.folder.path().to_owned();
        let config = format!(
            "global\n  nbthread 1\n  maxconn 1024\ndefaults\n  mode http\n  timeout connect 5s\n  \
             timeout client 60s\n  timeout server 60s\n  http-reuse always\nfrontend lab\n  bind {plain}\n  \
             bind {tls} ssl crt {}/both.pem\n  default_backend api\nbackend api\n  server a {upstream}\n",
            folder.display()
        );
        std::fs::write(folder.join("haproxy.cfg"), config).unwrap();
        let mut command = process::command(User::Same, "haproxy");
        command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
        let process = Process::start(command, &folder.join("haproxy.log"));
        let pid = self.keep(process, plain, "haproxy");
        Proxy { plain, tls, pids: meter::family(pid) }
    }

    /// labseal in front of one API, with its files in `place`, one worker, and the log level of a
    /// lab.
    fn labseal(
        &mut self,
        name: &str,
        is_protected: bool,
        upstream: SocketAddr,
        _: &Tls,
        place: PathBuf,
    ) -> Proxy {
        let folder = place.join(format!("labseal-kit-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        process::remove_at_exit(&folder);
        let at = |file: &str| folder.join(file);
        for file in ["cert.pem", "key.pem"] {
            private(&at(file), &std::fs::read_to_string(self.folder.path().join(file)).unwrap());
        }
        private(&at("lims.sha256"), &Digest::of(&[KEY.as_bytes()]).to_string());
        private(&at("passphrase"), &STANDARD.encode(kit::random::<16>()));
        std::fs::write(at("policy.yaml"), policy(is_protected)).unwrap();
        let (plain, tls) = (free_address(), free_address());
        let config = format!(
            "apiVersion: labseal/v1\nkind: Config\npolicy: policy.yaml\nlisteners:\n  - {{name: plain, \
             bind: \"{plain}\"}}\n  - {{name: tls, bind: \"{tls}\", tls: {{cert: \"file:cert.pem\", key: \
             \"file:key.pem\"}}}}\napis:\n  - {{name: plain, listener: plain, path_prefix: /, upstream: \
             \"http://{upstream}\"}}\n  - {{name: tls, listener: tls, path_prefix: /, upstream: \
             \"http://{upstream}\"}}\nkeys: {{store: \"sqlite:labseal.db\", provider: {{kind: file, path: \
             root.key, passphrase: \"file:passphrase\"}}}}\ntenant: main\naudit: {{dir: audit}}\n"
        );
        std::fs::write(at("labseal.yaml"), config).unwrap();
        let labseal = || {
            let mut command = process::command(User::Same, env!("CARGO_BIN_EXE_labseal"));
            command.env("TOKIO_WORKER_THREADS", "1");
            command
        };
        let mut init = labseal();
        init.args(["init", "--config"]).arg(at("labseal.yaml"));
        process::run(init);
        let mut run = labseal();
        run.args(["run", "--config"]).arg(at("labseal.yaml")).args(["--log-level", "warn"]);
        let process = Process::start(run, &at("run.log"));
        let pid = self.keep(process, plain, name);
        Proxy { plain, tls, pids: vec![pid] }
    }
}
