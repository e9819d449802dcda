//! The people and samples of the demo, all made up: numbers from ranges nobody issues, 555 telephones,
//! and the spellings that break careless software.

use serde::Serialize;

/// A patient, as the LIMS sends one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Patient {
    /// Medical record number.
    pub mrn: &'static str,
    /// Family name.
    pub last_name: &'static str,
    /// Given name.
    pub first_name: &'static str,
    /// Date of birth.
    pub birth_date: &'static str,
    /// Telephone.
    pub phone: &'static str,
    /// Ward; not protected.
    pub ward: &'static str,
}

/// A specimen, as the LIMS sends one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Specimen {
    /// Accession number.
    pub accession: &'static str,
    /// Whose it is.
    pub patient_id: i64,
    /// What it is.
    pub material: &'static str,
    /// When it was taken.
    pub collected_at: &'static str,
}

/// An order, as the LIMS sends one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Order {
    /// Order number.
    pub number: &'static str,
    /// For whom.
    pub patient_id: i64,
    /// From what.
    pub specimen_id: i64,
    /// What is measured.
    pub test: &'static str,
    /// How far it is.
    pub status: &'static str,
}

/// A result, as the LIMS sends one. Its value is sent as a number, with its trailing zeros.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    /// Of which order.
    pub order_id: i64,
    /// What was measured.
    pub analyte: &'static str,
    /// The spelling of the number.
    pub value: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What somebody typed.
    pub comment: Option<&'static str>,
}

impl Finding {
    /// The record as JSON; by hand, because the spelling of the number must survive.
    pub fn to_json(self) -> String {
        let Self { order_id, analyte, value, unit, comment } = self;
        let comment = serde_json::json!(comment);
        format!(
            r#"{{"order_id":{order_id},"analyte":"{analyte}","value":{value},"unit":"{unit}","comment":{comment}}}"#
        )
    }
}

const fn patient(
    [mrn, last_name, first_name, birth_date, phone, ward]: [&'static str; 6],
) -> Patient {
    Patient { mrn, last_name, first_name, birth_date, phone, ward }
}

/// Patients; their ids will be 1, 2, ….
pub const PATIENTS: &[Patient] = &[
    patient(["MRN-000-9001", "O'Neil", "Seán", "1901-02-03", "555-0101", "Ward 3"]),
    patient(["MRN-000-9002", "Żółkiewska", "Åsa", "1902-03-04", "555-0102", "Ward 3"]),
    patient(["MRN-000-9003", "山田測試", "花子", "1903-04-05", "555-0103", "Ward 7"]),
    patient(["MRN-000-9004", "Nguyễn-Brûlé", "Zoë", "1904-05-06", "555-0104", "Ward 7"]),
    patient(["MRN-000-9005", "Beispielmann", "Jürgen 🧪", "1905-06-07", "555-0105", "Ward 1"]),
    patient(["MRN-000-9006", "אבגדה-בדיקה", "נועה", "1906-07-08", "555-0106", "Ward 1"]),
];

const fn specimen(accession: &'static str, patient_id: i64, material: &'static str) -> Specimen {
    Specimen { accession, patient_id, material, collected_at: "1999-01-01T08:00:00Z" }
}

/// Specimens, one per patient.
pub const SPECIMENS: &[Specimen] = &[
    specimen("ACC-00-77001", 1, "serum"),
    specimen("ACC-00-77002", 2, "whole blood"),
    specimen("ACC-00-77003", 3, "plasma"),
    specimen("ACC-00-77004", 4, "urine"),
    specimen("ACC-00-77005", 5, "serum"),
    specimen("ACC-00-77006", 6, "swab"),
];

const fn order(number: &'static str, id: i64, test: &'static str) -> Order {
    Order { number, patient_id: id, specimen_id: id, test, status: "final" }
}

/// Orders, one per specimen.
pub const ORDERS: &[Order] = &[
    order("ORD-00-55001", 1, "basic metabolic panel"),
    order("ORD-00-55002", 2, "HbA1c"),
    order("ORD-00-55003", 3, "C-reactive protein"),
    order("ORD-00-55004", 4, "albumin"),
    order("ORD-00-55005", 5, "basic metabolic panel"),
    order("ORD-00-55006", 6, "culture"),
];

const fn finding(
    order_id: i64,
    analyte: &'static str,
    value: &'static str,
    unit: &'static str,
    comment: Option<&'static str>,
) -> Finding {
    Finding { order_id, analyte, value, unit, comment }
}

/// Results.
pub const FINDINGS: &[Finding] = &[
    finding(1, "glucose", "5.40", "mmol/L", Some("haemolysed; Mr O'Neil called back")),
    finding(1, "potassium", "4.10", "mmol/L", None),
    finding(2, "HbA1c", "7.90", "%", Some("discuss with Dr. Muster")),
    finding(3, "CRP", "0.60", "mg/L", None),
    finding(4, "albumin", "1234.50", "mg/g", Some("")),
    finding(5, "sodium", "139.00", "mmol/L", None),
];

/// Every protected value that is long enough to be searched for without hitting by chance.
pub fn protected() -> Vec<&'static str> {
    let people = PATIENTS.iter().flat_map(|patient| {
        let Patient { mrn, last_name, first_name, birth_date, phone, ward: _ } = *patient;
        [mrn, last_name, first_name, birth_date, phone]
    });
    let samples = SPECIMENS.iter().map(|specimen| specimen.accession);
    let orders = ORDERS.iter().map(|order| order.number);
    let comments = FINDINGS.iter().filter_map(|finding| finding.comment);
    people.chain(samples).chain(orders).chain(comments).filter(|value| value.len() >= 5).collect()
}
