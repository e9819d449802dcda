//! The policies and configurations that the tests use, in the shapes of the documentation.

/// Sealed fields of the lab, and who may do what with them. `lims` works as if there were no
/// labseal; the others each show one kind of right.
pub const LAB: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:       {id: c-mrn, mode: deterministic, type: text, mask: {keep_last: 2}}
  accession: {id: c-acc, mode: deterministic, type: text, mask: {keep_last: 2}}
  name:      {id: c-name, mode: searchable, type: text, match: [ieq, eq], mask: {keep_first: 1}}
  given:     {id: c-given, mode: searchable, type: text, match: [eq], mask: {keep_first: 1}}
  birth:     {id: c-birth, mode: random, type: text, mask: {fixed: "hidden"}}
  note:      {id: c-note, mode: random, type: text, mask: {null: true}}
  result:    {id: c-res, mode: random, type: text, mask: {null: true}}
  volume:    {id: c-vol, mode: random, type: "numeric(12,4)", mask: {null: true}}
callers:
  lims:      {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  clinician: {api_key: {header: X-Api-Key, sha256_file: keys/clinician.sha256}}
  billing:   {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
  archivist: {api_key: {header: X-Api-Key, sha256_file: keys/archivist.sha256}}
  blind:     {api_key: {header: X-Api-Key, sha256_file: keys/blind.sha256}}
  writer:    {api_key: {header: X-Api-Key, sha256_file: keys/writer.sha256}}
  analyzer:  {subject: "CN=analyzer,O=lab"}
  mesh:      {spiffe: "spiffe://lab.local/mesh"}
grants:
  lims:      {"*": {read: clear, filter: allow, write: allow}}
  clinician: {"*": {read: clear, filter: allow}}
  billing:
    mrn: {read: clear, filter: allow}
    accession: {read: clear, filter: allow}
    name: {read: masked, write: allow}
    note: {read: omit, write: allow}
    "*": {read: masked, write: allow}
  archivist: {"*": {read: sealed, filter: allow, write: allow}}
  blind:     {mrn: {read: sealed, filter: allow}, "*": {read: null, write: allow}}
  writer:    {mrn: {read: clear, filter: allow, write: allow}, "*": {read: deny, write: allow}}
  analyzer:  {"*": {read: clear, filter: allow}}
  mesh:      {"*": {read: masked}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    undeclared:
      entities: [wards]
      functions: [patient_count]
      why: "ward names and a bare count hold no patient data"
    entities:
      lab.patients:
        fields:
          mrn: {class: mrn, unique: true}
          last_name: {class: name}
          first_name: {class: given}
          birth_date: {class: birth}
          notes: {class: note}
      lab.specimens: {fields: {accession: {class: accession, unique: true}, mrn: {class: mrn}}}
      lab.orders:
        fields:
          mrn: {class: mrn}
          accession: {class: accession}
          remark: {class: note}
          volume: {class: volume}
      lab.results: {fields: {value: {class: result}}}
      lab.contacts: {fields: {mrn: {class: mrn, unique: true}, phone: {class: note}}}
"#;

/// Routes of a plain JSON API.
pub const ROUTES: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:   {id: c-mrn, mode: deterministic, type: text, mask: {keep_last: 2}}
  value: {id: c-val, mode: random, type: json, mask: {null: true}}
callers:
  lims:    {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  billing: {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
grants:
  lims:    {"*": {read: clear, filter: allow, write: allow}}
  billing: {"*": {read: masked}}
apis:
  - name: lims-db
    dialect: json
    routes:
      - {match: "GET /readings", query: {mrn: mrn}, fields: {"$[*].mrn": {class: mrn}, "$[*].value": {class: value}}}
      - {match: "POST /readings", fields: {"$.mrn": {class: mrn}, "$.value": {class: value}}}
      - {match: "GET /readings/{id}", fields: {"$.mrn": {class: mrn}, "$.value": {class: value}}}
      - {match: "PUT /readings/{id}", fields: {"$.mrn": {class: mrn}, "$.value": {class: value}}}
      - {match: "PATCH /readings/{id}", fields: {"$.mrn": {class: mrn}, "$.value": {class: value}}}
      - {match: "GET /patients/{id}", path: {id: mrn}, fields: {"$.id": {class: mrn}, "$.value": {class: value}}}
      - {match: "POST /patients", fields: {"$.id": {class: mrn}, "$.value": {class: value}}}
"#;

/// Records and their notes, to be followed by the APIs that hold them.
pub const NOTES: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:  {id: c-mrn, mode: deterministic, type: text}
  note: {id: c-note, mode: random, type: text}
callers:
  lims: {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
"#;

/// Nothing declared: everything passes.
pub const EMPTY: &str = r#"apiVersion: labseal/v1
kind: Policy
apis:
  - {name: lims-db, dialect: postgrest}
"#;
