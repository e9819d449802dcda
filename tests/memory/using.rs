//! What the child does with the secrets it is told.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use labseal::{
    base::{
        class::{ClassParams, Commitment, Equality, Mode, Rung, ValueType, Years},
        clock::SystemClock,
        ident::{ClassId, EntityName, FieldName, Tenant},
        secret::{Plaintext, SecretKey},
    },
    crypto::{
        DataClassKey, EscrowKey, IndexClassKey, Kind, Ladder, Nonces, Parity, Quorum, RingKey,
        RootKey, Share, Typed, envelope, passphrase::Slot, seal_deterministic, seal_random,
        seal_searchable, wiped,
    },
    keys::{
        Keys, StoreAddress,
        file::{FileProvider, Passphrase, Settings},
        named::Named,
    },
    model::{Filter, Placement, Test, Use, UseKind, Verb},
    seal::{Form, Transform, readdress},
};

use tempfile::TempDir;

use super::{
    bodies::{Lab, operation, patient, whole},
    scan::{Canary, Found, scan},
    secrets::{CLASS, TENANT, fixture},
};

type During<'a> = &'a dyn Fn(Vec<Found>);

fn canary<'a>(canaries: &'a [Canary], name: &str) -> &'a Canary {
    canaries.iter().find(|canary| canary.name == name).unwrap()
}

fn key(canary: &Canary) -> SecretKey {
    SecretKey::filled(|room| canary.reveal(room))
}

fn text(canary: &Canary) -> Plaintext {
    let mut bytes = vec![0; canary.len()];
    canary.reveal(&mut bytes);
    Plaintext::new(bytes)
}

/// The keys of a class, however it is stored.
struct Class {
    random: DataClassKey,
    searchable: DataClassKey,
    index: IndexClassKey,
}

impl Class {
    fn of(ring: &RingKey) -> Self {
        let tenant = Tenant::new(TENANT);
        let params = |mode| ClassParams {
            id: ClassId::new(CLASS),
            mode,
            ty: ValueType::Text,
            rungs: Vec::new(),
            equality: Equality::Exact,
            years: Years::ALL,
            commitment: Commitment::Carried,
        };
        let data = |mode| DataClassKey::of_class(ring, &tenant, &params(mode)).unwrap();
        Self {
            random: data(Mode::Random),
            searchable: data(Mode::Searchable),
            index: IndexClassKey::derive(ring, &tenant, &ClassId::new(CLASS)).unwrap(),
        }
    }

    /// Each envelope of the value.
    fn seal(&self, value: &Typed) -> [Vec<u8>; 3] {
        let mut out = [const { Vec::new() }; 3];
        let [d, r, s] = &mut out;
        let ladder =
            Ladder::new(&self.index, &[Rung::Ieq, Rung::Eq], Equality::Exact, value).unwrap();
        seal_deterministic(&self.index, value, d).unwrap();
        Nonces::with_thread(|nonces| {
            seal_random(&self.random, value, nonces, r).unwrap();
            seal_searchable(&self.searchable, &ladder, Parity::Odd, value, nonces, s).unwrap();
        });
        out
    }

    fn open(&self, [d, r, s]: &[Vec<u8>; 3]) -> [Typed; 3] {
        let parsed = |text| envelope::parse(text).unwrap();
        [
            self.index.open(&parsed(d)).unwrap(),
            self.random.open(&parsed(r)).unwrap(),
            self.searchable.open(&parsed(s)).unwrap(),
        ]
    }
}

pub fn keys(canaries: &[Canary], during: During<'_>) {
    let root = RootKey::from_secret(key(canary(canaries, "root")));
    during(scan(canaries));
    let ring = RingKey::from_secret(key(canary(canaries, "ring")));
    let wrapped = root.wrap(&ring, b"data/1").unwrap();
    during(scan(canaries));
    let again = root.unwrap(&wrapped, b"data/1").unwrap();
    during(scan(canaries));
    let mac = root.mac(b"entry");
    during(scan(canaries));
    root.verify_mac(b"entry", &mac).unwrap();
    during(scan(canaries));
    let class = Class::of(&again);
    during(scan(canaries));
    let value = Typed::from_text("anything");
    let sealed = wiped(|| class.seal(&value));
    during(scan(canaries));
    let opened = wiped(|| class.open(&sealed));
    assert_eq!(opened.len(), 3);
    during(scan(canaries));
}

pub fn escrow(canaries: &[Canary], during: During<'_>) {
    let share = |number: u8| Share::new(number, key(canary(canaries, &format!("share-{number}"))));
    let shares = [share(1), share(2)];
    let joined = EscrowKey::join(&shares).unwrap();
    during(scan(canaries));
    let root = RootKey::generate().unwrap();
    let wrapped = joined.wrap(&root, b"escrow").unwrap();
    joined.unwrap(&wrapped, b"escrow").unwrap();
    joined.verify_commitment(b"escrow", &joined.commitment(b"escrow")).unwrap();
    joined.verify_check(b"file", &joined.check(b"file")).unwrap();
    during(scan(canaries));
    assert_eq!(joined.split(Quorum::new(2, 3).unwrap()).len(), 3);
    during(scan(canaries));
}

pub fn passphrase(canaries: &[Canary], during: During<'_>) {
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(fixture("root.key")).unwrap()).unwrap();
    let slot: Slot = serde_json::from_value(file["slots"]["passphrase"].clone()).unwrap();
    let passphrase = text(canary(canaries, "passphrase"));
    let secret = slot.unwrap(&passphrase, b"labseal/v1 root key file: passphrase").unwrap();
    during(scan(canaries));
    let root = RootKey::from_secret(secret);
    during(scan(canaries));
    drop(root);
}

pub fn values(canaries: &[Canary], during: During<'_>) {
    let class = Class::of(&RingKey::generate().unwrap());
    let value = Typed::new(Kind::String, text(canary(canaries, "value")));
    let sealed = wiped(|| class.seal(&value));
    during(scan(canaries));
    drop(value);
    let opened = wiped(|| class.open(&sealed));
    during(scan(canaries));
    drop(opened);
}

/// The frozen key store.
fn opened() -> (Keys, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["labseal.db", "passphrase.txt", "root.key"] {
        let to = folder.path().join(name);
        fs::copy(fixture(name), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let passphrase = Passphrase::Named(Named::File(folder.path().join("passphrase.txt")));
    let path = folder.path().join("root.key");
    let provider = FileProvider::new(Settings { path, passphrase });
    let address = StoreAddress::Sqlite(folder.path().join("labseal.db"));
    let tenant = Tenant::new("frozen-lab");
    (Keys::open(&address, &provider, &tenant, Arc::new(SystemClock)).unwrap(), folder)
}

pub fn store(canaries: &[Canary], during: During<'_>) {
    let (keys, _folder) = opened();
    during(scan(canaries));
    let rotated = keys.rotate(labseal::keys::Ring::Data).unwrap();
    assert_eq!(rotated.version, 3);
    during(scan(canaries));
}

pub fn windows(canaries: &[Canary], during: During<'_>) {
    let (lab, (keys, _folder)) = (Lab::new(), opened());
    let snapshot = keys.snapshot();
    let plan = |verb| lab.plan("clear", verb, patient());
    let body = br#"{"mrn": "4711", "name": "Svensson", "note": "n", "result": 12.5000}"#;
    let sealing = Transform::sealing(&plan(Verb::Create), snapshot.clone(), Form::Json);
    let (sealed, _) = whole(sealing, body).unwrap();
    during(scan(canaries));
    let opening = Transform::opening(&plan(Verb::Read), snapshot.clone(), Form::Json);
    let (opened, _) = whole(opening, &sealed).unwrap();
    assert_eq!(opened, body);
    during(scan(canaries));
    for (field, text) in [("mrn", "4711"), ("name", "Svensson")] {
        let asked = Use {
            entity: Some(EntityName::new("public.patients")),
            column: FieldName::new(field),
            kind: UseKind::Filter(Filter { operator: "eq", test: Test::Equal(text.into()) }),
            place: Placement::Required,
        };
        let operation = operation(Verb::Read, patient(), vec![asked]);
        let plan = lab.plan_of("clear", &operation).unwrap();
        let _ = readdress(&plan, &operation, &snapshot).unwrap();
        during(scan(canaries));
    }
}
