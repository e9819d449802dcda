//! The grammar of PostgREST against a real one: every construct is sent directly and through
//! labseal, and gives the same answer or the refusal that the documentation predicts.

#[path = "../kit/mod.rs"]
mod kit;

mod calls;
mod echoes;
mod errors;
mod openapi;
mod operators;

use kit::{Answer, Canaries, Postgres, Request, Stand, policy, script::enc, stand::Direct};

/// Part of every protected value, so that the wire can be searched for it.
const MARK: &str = "Qvbzzkpfh";

/// Headers that mean something to a client of PostgREST.
const HEADERS: [&str; 5] =
    ["Content-Location", "Content-Range", "Content-Type", "Location", "Preference-Applied"];

/// The lab, plain and sealed.
struct Both {
    direct: Direct,
    stand: Stand,
}

impl Both {
    /// Two empty labs, with what the grammar needs beside the usual policy.
    fn start() -> Self {
        let functions = "    functions:\n\
            \x20     find_patient: {args: {mrn: {class: mrn, use: test}}, returns: lab.patients}\n\
            \x20     rename_patient: {args: {who: {mode: plain, why: id}, last_name: {class: name, use: store}}}\n\
            \x20   undeclared:\n";
        let policy = policy::LAB
            .replace("    undeclared:\n", functions)
            .replace("lab.patients:\n", "lab.patients:\n        key: [id]\n");
        assert_ne!(policy, policy::LAB);
        let server = Postgres::shared();
        let this = Self { direct: Direct::start(&server), stand: Stand::with(&server, &policy) };
        this.sql("alter table lab.contacts add constraint room check (room <> 'none')");
        this
    }

    /// The same with some records in it.
    fn filled() -> Self {
        let this = Self::start();
        let patients = marked(
            r#"[{"mrn":"M1","last_name":"MAnn","notes":"Mx","ward":"A","bed":1},
                {"mrn":"M,2","last_name":"Ma_b","notes":null,"ward":"B","bed":2},
                {"mrn":"M\\3","last_name":"Ma%b","notes":"","ward":"A","bed":3},
                {"mrn":"M\"4)","last_name":null,"notes":null,"ward":null,"bed":4},
                {"mrn":"M5","last_name":"","notes":null,"ward":"C","bed":5},
                {"mrn":"M6","last_name":"Maxb","notes":null,"ward":"C","bed":6}]"#,
        );
        this.same(Request::post("/patients", &patients).returning());
        let specimens = r#"{"accession":"MS/1","mrn":"M1","kind":"k"}"#;
        this.same(Request::post("/specimens", &marked(specimens)).returning());
        let orders = r#"[{"mrn":"M1","accession":"MS/1","code":"HB","remark":"Mr"},
                         {"mrn":"M,2","accession":null,"code":"NA","remark":null}]"#;
        this.same(Request::post("/orders", &marked(orders)).returning());
        let results = r#"[{"order_id":1,"analyte":"hb","value":"MPOS"}]"#;
        this.same(Request::post("/results", &marked(results)).returning());
        this
    }

    /// Runs statements in both databases.
    fn sql(&self, sql: &str) {
        self.direct.database.sql(sql);
        self.stand.sql(sql);
    }

    /// Sends a request both ways, as a caller with every right; fails unless the answers agree.
    fn same(&self, request: Request) -> Answer {
        self.same_for("lims", request)
    }

    fn same_for(&self, caller: &str, request: Request) -> Answer {
        let shown = String::from_utf8_lossy(&request.bytes()).into_owned();
        let direct = request.send(self.direct.address());
        let sealed = self.stand.send(caller, request);
        assert_eq!(sealed.start, direct.start, "{shown}\n{}\n{}", sealed.text(), direct.text());
        assert_eq!(sealed.text(), direct.text(), "{shown}");
        for header in HEADERS {
            assert_eq!(sealed.values(header), direct.values(header), "{shown}: {header}");
        }
        sealed
    }

    /// Sends a request through labseal, which refuses it.
    fn refused(&self, code: &str, request: Request) {
        let shown = String::from_utf8_lossy(&request.bytes()).into_owned();
        let answer = self.stand.send("lims", request);
        assert_eq!(answer.values("Labseal-Error"), [code], "{shown}: {}", answer.text());
    }

    /// Fails if a protected value reached the API in clear.
    fn nothing_leaked(&self) {
        let mut canaries = Canaries::new();
        canaries.adopt("mark", MARK);
        canaries.assert_none("wire", &self.stand.tee.received());
    }
}

/// Writes the mark for every capital `M`.
fn marked(text: &str) -> String {
    text.replace('M', MARK)
}

/// A target with a literal in place of `{}`, percent-encoded.
fn with(target: &str, literal: &str) -> String {
    target.replace("{}", &enc(&marked(literal)))
}
