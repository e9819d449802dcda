//! A lab to seal and open bodies in: a policy with one class of each kind, one caller for each right,
//! and keys in memory.

#![allow(dead_code)] // Each test and bench uses a part.

use std::{collections::BTreeMap, fs, sync::Arc};

use http::{HeaderMap, HeaderValue};
use labseal::{
    auth::{Caller, Facts},
    base::{
        class::ClassParams,
        clock::SystemClock,
        digest::Digest,
        ident::{EntityName, FieldName, Tenant},
        refusal::Refusal,
        secret::SecretKey,
    },
    keys::{Keys, Snapshot, StoreAddress, memory::MemoryProvider},
    model::{BodyForm, FieldRef, Formats, Node, Operation, Page, Target, Use, Verb},
    policy::{Plan, Policy},
    seal::{Direction, Finished, Form, Sealed, Transform, Unsealed},
};

const POLICY: &str = r#"
apiVersion: labseal/v1
kind: Policy
classes:
  mrn:    {id: c-mrn,  mode: deterministic, type: text, mask: {keep_last: 4}}
  name:   {id: c-name, mode: searchable, type: text, match: [eq], mask: {keep_first: 1}}
  note:   {id: c-note, mode: random, type: text, mask: {"null": true}, on_integrity: mark}
  result: {id: c-res,  mode: random, type: "numeric(12,4)", mask: {"null": true}}
  dose:   {id: c-dose, mode: deterministic, type: "numeric(12,4)"}
  doc:    {id: c-doc,  mode: random, type: json, mask: {"null": true}}
callers:
  clear:  {api_key: {header: X-Clear, sha256_file: clear.sha256}}
  masked: {api_key: {header: X-Masked, sha256_file: masked.sha256}}
  sealed: {api_key: {header: X-Sealed, sha256_file: sealed.sha256}}
  nulled: {api_key: {header: X-Nulled, sha256_file: nulled.sha256}}
  omitted: {api_key: {header: X-Omitted, sha256_file: omitted.sha256}}
  reader: {api_key: {header: X-Reader, sha256_file: reader.sha256}}
grants:
  clear:  {"*": {read: clear, filter: allow, write: allow}}
  masked: {"*": {read: masked, filter: allow, write: allow}}
  sealed: {"*": {read: sealed, filter: allow, write: allow}}
  nulled: {"*": {read: "null", filter: allow, write: allow}}
  omitted: {"*": {read: omit, filter: allow, write: allow}}
  reader: {"*": {read: clear}}
apis:
  - name: lab
    dialect: postgrest
    entities:
      public.patients:
        fields:
          mrn: {class: mrn}
          name: {class: name}
          note: {class: note}
          result: {class: result}
          doc: {class: doc}
          dose: {class: dose}
      public.wards: {fields: {}}
"#;

const CALLERS: [&str; 6] = ["clear", "masked", "sealed", "nulled", "omitted", "reader"];

/// Policy and keys.
pub struct Lab {
    policy: Policy,
    text: String,
    pub keys: Keys,
}

impl Lab {
    pub fn new() -> Self {
        Self::of(POLICY)
    }

    /// The same where the values of patients are bound to their accession.
    pub fn bound() -> Self {
        let patients = "      public.patients:\n";
        Self::of(&POLICY.replace(patients, &format!("{patients}        bind: accession\n")))
    }

    /// The same where every field is in migration.
    pub fn mixed(self) -> Self {
        let classes = ["mrn", "name", "note", "result", "doc", "dose"];
        Self::of(&classes.iter().fold(self.text, |policy, class| {
            let field = format!("{{class: {class}");
            policy
                .replace(&field, &format!("{field}, migration: {{state: dual, until: 2099-12-31}}"))
        }))
    }

    fn of(policy: &str) -> Self {
        let text = policy.to_owned();
        let dir = tempfile::tempdir().unwrap();
        for caller in CALLERS {
            let hash = Digest::of(&[key_of(caller).as_bytes()]).to_string();
            fs::write(dir.path().join(format!("{caller}.sha256")), hash).unwrap();
        }
        let path = dir.path().join("policy.yaml");
        fs::write(&path, policy.replace("      public.wards: {fields: {}}\n", "")).unwrap();
        let (policy, _) = Policy::load(&path).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(|p| format!("{p:?}\n")).collect::<String>())
        });
        let provider = MemoryProvider::new(SecretKey::new([7; 32]));
        let store = StoreAddress::Memory(Default::default());
        let clock = Arc::new(SystemClock);
        let keys = Keys::create(&store, &provider, &Tenant::new("main"), clock).unwrap();
        let params: Vec<ClassParams> = policy.classes().iter().map(|c| c.params.clone()).collect();
        keys.register(&params).unwrap();
        Self { policy, text, keys }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.keys.snapshot()
    }

    pub fn caller(&self, name: &str) -> Caller {
        let mut headers = HeaderMap::new();
        let header = http::HeaderName::from_bytes(format!("x-{name}").as_bytes()).unwrap();
        headers.insert(header, HeaderValue::from_str(&key_of(name)).unwrap());
        let facts = Facts { headers: &headers, certificate: None, unix_peer: None };
        self.policy.rules().identify(&facts).unwrap()
    }

    /// The plan of an operation whose body and answer both have this form.
    pub fn plan(&self, caller: &str, verb: Verb, form: Node<FieldRef>) -> Plan {
        self.plan_of(caller, &operation(verb, form, Vec::new())).unwrap()
    }

    pub fn plan_of(&self, caller: &str, operation: &Operation) -> Result<Plan, Refusal> {
        self.policy.apis()[0].plan(operation, &self.caller(caller))
    }

    pub fn seal(&self, plan: &Plan, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        whole(Transform::sealing(plan, self.snapshot(), Form::Json), body).map(|(out, _)| out)
    }

    pub fn open(&self, plan: &Plan, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        whole(Transform::opening(plan, self.snapshot(), Form::Json), body).map(|(out, _)| out)
    }

    pub fn sealing(&self, plan: &Plan) -> Transform<Sealed> {
        Transform::sealing(plan, self.snapshot(), Form::Json)
    }

    pub fn opening(&self, plan: &Plan) -> Transform<Unsealed> {
        Transform::opening(plan, self.snapshot(), Form::Json)
    }
}

fn key_of(caller: &str) -> String {
    format!("{caller:-<8}0123456789abcdef0123456789abcdef")
}

pub fn operation(verb: Verb, form: Node<FieldRef>, uses: Vec<Use>) -> Operation {
    Operation {
        verb,
        target: Target::Entity(EntityName::new("public.patients")),
        uses,
        body: if form.is_empty() { BodyForm::Opaque } else { BodyForm::Records(form.clone()) },
        answer: form,
        formats: Formats::JSON,
        page: Page::Whole,
        own_keys: BTreeMap::new(),
    }
}

/// All of a body through a pass, in one piece.
pub fn whole<D: Direction>(
    mut pass: Transform<D>,
    body: &[u8],
) -> Result<(Vec<u8>, Finished<D>), Refusal> {
    let mut out = Vec::new();
    pass.push(body, &mut out)?;
    let finished = pass.finish(&mut out)?;
    Ok((out, finished))
}

/// All of a body through a pass, in pieces of these lengths, over and over.
pub fn in_pieces<D: Direction>(
    mut pass: Transform<D>,
    mut body: &[u8],
    lengths: &[usize],
) -> Result<(Vec<u8>, Finished<D>), Refusal> {
    let mut out = Vec::new();
    for length in lengths.iter().cycle() {
        let (piece, rest) = body.split_at((*length).max(1).min(body.len()));
        pass.push(piece, &mut out)?;
        body = rest;
        if body.is_empty() {
            break;
        }
    }
    let finished = pass.finish(&mut out)?;
    Ok((out, finished))
}

pub fn field(name: &str) -> Node<FieldRef> {
    let entity = EntityName::new("public.patients");
    Node::leaf(FieldRef { entity, field: FieldName::new(name) })
}

/// A patient: every declared column, and contacts with names below.
pub fn patient() -> Node<FieldRef> {
    let mut record = Node { record: true, ..Node::default() };
    for column in ["mrn", "name", "note", "result", "doc"] {
        record.members.insert(column.into(), field(column));
    }
    let mut contact = Node::default();
    contact.members.insert("name".into(), field("name"));
    let contacts = Node { elements: Some(Box::new(contact)), ..Node::default() };
    record.members.insert("contacts".into(), contacts);
    record
}

/// One patient, or a list.
pub fn patients() -> Node<FieldRef> {
    Node { elements: Some(Box::new(patient())), ..patient() }
}
