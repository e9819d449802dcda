//! The story, in the order in which it is told. Each step shows something and proves it.

use anyhow::Context as _;
use http::Method;
use memchr::memmem;
use serde_json::Value;

use super::{
    client::{Answer, Client, encode},
    data::{FINDINGS, ORDERS, PATIENTS, Patient, SPECIMENS, protected},
    screen::Screen,
    stage::Stage,
};

const SHOWN: &[&str] = &["mrn", "last_name", "first_name", "birth_date", "phone", "ward"];

/// Tells everything.
pub async fn tell(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    sent(stage, screen).await?;
    stored(stage, screen)?;
    read(stage, screen).await?;
    searched(stage, screen).await?;
    rotated(stage, screen).await?;
    recorded(stage, screen).await
}

/// The LIMS writes as it always did.
async fn sent(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.step("What the LIMS sent");
    let findings: Vec<String> = FINDINGS.iter().map(|finding| finding.to_json()).collect();
    let bodies = [
        ("/patients", serde_json::to_string(PATIENTS)?, PATIENTS.len()),
        ("/specimens", serde_json::to_string(SPECIMENS)?, SPECIMENS.len()),
        ("/orders", serde_json::to_string(ORDERS)?, ORDERS.len()),
        ("/results", format!("[{}]", findings.join(",")), FINDINGS.len()),
    ];
    let (mut created, mut records, mut same) = (true, 0, true);
    for (target, body, count) in &bodies {
        let answer = stage.lims.create(target, body).await?;
        created &= answer.status == 201;
        same &= contains(&answer.body, body)?;
        records += count;
    }
    screen.say("POST /patients, the first of six:");
    screen.json(&serde_json::to_string(first())?);
    screen.say("POST /results, the first of six:");
    screen.json(&FINDINGS[0].to_json());
    screen.prove(&format!("{records} records created, in four requests"), created);
    screen.prove("the answers repeat what was sent: the LIMS notices nothing", same);
    Ok(())
}

/// Whoever has the database file has this.
fn stored(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.step("What the database holds");
    let mut cells = stage.stolen("patients", 1)?;
    cells.extend(stage.stolen("results", 1)?.into_iter().filter(|(name, _)| name != "id"));
    let rows: Vec<Vec<String>> = cells
        .iter()
        .map(|(name, text)| {
            let length = text.starts_with("ls1").then(|| format!("{} characters", text.len()));
            vec![name.clone(), text.clone(), length.unwrap_or_default()]
        })
        .collect();
    screen.table(&["column", "stored", ""], &rows);
    let open = ["id", "ward", "order_id", "analyte", "unit"];
    let sealed = cells.iter().all(|(name, text)| {
        // A value can be sealed or open, and the policy says which.
        text.starts_with("ls1") != open.contains(&name.as_str())
    });
    screen.prove("every protected column is sealed, every other one is as it was sent", sealed);
    let file = stage.folder.bytes("lab.db")?;
    let values = protected();
    let found = values.iter().filter(|value| memmem::find(&file, value.as_bytes()).is_some());
    let claim = format!("none of {} protected values is anywhere in lab.db", values.len());
    screen.prove(&claim, found.count() == 0);
    Ok(())
}

/// The same request, by four people.
async fn read(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.step("What a clinician, billing and a stranger get");
    let target = format!("/patients?select={}&id=eq.1", SHOWN.join(","));
    screen.say(&format!("GET {target}"));
    let clinician = one(&stage.clinician.read(&target).await?)?;
    let billing = one(&stage.billing.read(&target).await?)?;
    let nobody = Client::new(stage.address(), None).read(&target).await?;
    let impostor = Client::new(stage.address(), Some("guessed")).read(&target).await?;
    let rows: Vec<Vec<String>> = SHOWN
        .iter()
        .map(|name| vec![(*name).to_owned(), text(&clinician[*name]), text(&billing[*name])])
        .collect();
    screen.table(&["", "clinician", "billing"], &rows);
    screen.prove("the clinician sees every value", clinician == serde_json::to_value(first())?);
    let shown = |name: &str| text(&billing[name]);
    let masked = |name: &str, start: &str, whole: &str| {
        shown(name).starts_with(start) && shown(name) != whole && !shown(name).starts_with("ls1")
    };
    let parts = shown("mrn") == first().mrn
        && masked("last_name", "O", first().last_name)
        && masked("birth_date", "1901", first().birth_date)
        && shown("phone").starts_with("ls1");
    screen.prove("billing sees the number, a part of name and date, the rest sealed", parts);
    screen.show(&format!("a stranger without a key:  {}", status(&nobody)));
    screen.show(&format!("a stranger with a guess:   {}", status(&impostor)));
    let refused = [401, 403].contains(&nobody.status.as_u16()) && impostor.status == 401;
    let silent = [&nobody, &impostor].iter().all(|answer| {
        answer.refused.is_some() && !protected().iter().any(|value| answer.body.contains(value))
    });
    screen.prove("strangers are refused, and the refusals say nothing", refused && silent);
    let target =
        "/orders?select=test,patients(last_name),results(analyte,value)&number=eq.ORD-00-55001";
    let joined = stage.clinician.read(target).await?;
    screen.say(&format!("GET {target}"));
    screen.json(&joined.body);
    let order = one(&joined)?;
    let whole = order["patients"]["last_name"] == first().last_name
        && order["results"][0]["value"].as_f64() == FINDINGS[0].value.parse().ok();
    screen.prove("joins work: numbers come back as numbers, names as names", whole);
    Ok(())
}

/// Equality still works, and only for those who may ask.
async fn searched(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.step("A search by record number, and by name");
    for (name, value) in [("mrn", PATIENTS[2].mrn), ("last_name", first().last_name)] {
        let target = format!("/patients?select=id&{name}=eq.{}", encode(value));
        let found = one(&stage.clinician.read(&target).await?)?;
        let arrived = stage.api.last().context("nothing arrived")?.target;
        screen.show(&format!("asked:    /patients?select=id&{name}=eq.{value}"));
        screen.show(&format!("arrived:  {arrived}"));
        let expected = PATIENTS.iter().position(|p| [p.mrn, p.last_name].contains(&value));
        let right = found["id"].as_u64() == expected.map(|at| at as u64 + 1);
        let hidden = !arrived.contains(value) && !arrived.contains(&encode(value));
        screen.prove(
            "the right patient is found, and the database was not told who",
            right && hidden,
        );
    }
    let guess = stage.clinician.read("/patients?select=id&last_name=like.O*").await?;
    screen.show(&format!("asked:    last_name=like.O*     {}", status(&guess)));
    let probe = stage.billing.read("/patients?select=id&last_name=eq.Anyone").await?;
    screen.show(&format!("billing:  last_name=eq.Anyone   {}", status(&probe)));
    let refused = guess.status == 400 && probe.status == 403;
    screen.prove("what cannot be answered rightly, or may not be asked, is refused", refused);
    Ok(())
}

/// A new key while everything runs.
async fn rotated(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.step("A key rotation");
    let before = stage.sidecar.key_of(&stage.stolen_cell("patients", 1, "phone")?).await?;
    stage.sidecar.rotate().await?;
    let body = r#"{"phone":"555-0199"}"#;
    let mut after = before.clone();
    // The sidecar looks for new keys several times a second.
    for _ in 0..40 {
        stage.lims.send(Method::PATCH, "/patients?id=eq.2&select=id", body).await?;
        after = stage.sidecar.key_of(&stage.stolen_cell("patients", 2, "phone")?).await?;
        if after != before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    screen.show(&format!("before:  555-0101  sealed under  {before}"));
    screen.show(&format!("after:   555-0199  sealed under  {after}"));
    screen.prove("new values are sealed under the new key, without a restart", before != after);
    let select = "/patients?select=phone&order=id&limit=2";
    let read = stage.clinician.read(select).await?;
    let phones: Value = serde_json::from_str(&read.body)?;
    let both = phones[0]["phone"] == "555-0101" && phones[1]["phone"] == "555-0199";
    screen.prove("values under the old key still open", both);
    Ok(())
}

/// Who did what, without any value.
async fn recorded(stage: &Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.step("What the audit log says");
    let log = stage.folder.bytes("audit")?;
    let lines: Vec<Value> = log
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter(|line: &Value| line["kind"] == "exchange")
        .collect();
    let mut rows: Vec<Vec<String>> = lines.iter().filter(|line| told(line)).map(entry).collect();
    rows.dedup();
    let shown = rows.len().saturating_sub(8);
    screen.table(&["caller", "did", "outcome", "classes"], &rows[shown..]);
    let clean = !protected().iter().any(|value| memmem::find(&log, value.as_bytes()).is_some());
    screen.prove("it names callers, fields and keys, and no value", clean && lines.len() > 10);
    let report = stage.sidecar.verify_audit().await;
    screen.say("labseal audit verify");
    let sound = report.is_ok();
    screen.show(&report.unwrap_or_else(|error| format!("{error:#}")));
    screen.prove("its chain is sound, while the sidecar writes to it", sound);
    Ok(())
}

/// Whether an entry says how something ended.
fn told(line: &Value) -> bool {
    !line["status"].is_null() || !line["refusal"].is_null()
}

/// An entry of the log, as a row.
fn entry(line: &Value) -> Vec<String> {
    let empty = serde_json::Map::new();
    let classes: Vec<String> = line["classes"]
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .map(|(class, fates)| {
            let fates = fates.as_object().unwrap_or(&empty);
            let fates: Vec<&str> = fates.keys().map(String::as_str).collect();
            format!("{class} {}", fates.join("+"))
        })
        .collect();
    let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let did = format!("{} {}", word("verb"), word("entity")).trim().to_owned();
    let outcome = match &line["refusal"] {
        Value::String(code) => format!("refused {code}"),
        _ => format!("answered {}", line["status"]),
    };
    let caller = line["caller"].as_str().unwrap_or("(not known)").to_owned();
    vec![caller, did, outcome, classes.join(", ")]
}

fn first() -> &'static Patient {
    // Invariant: the constant is not empty.
    &PATIENTS[0]
}

/// Whether every record that was sent is in the answer, member for member.
fn contains(answer: &str, sent: &str) -> anyhow::Result<bool> {
    let sent: Vec<Value> = serde_json::from_str(sent)?;
    let Ok(answer) = serde_json::from_str::<Vec<Value>>(answer) else { return Ok(false) };
    Ok(sent.len() == answer.len()
        && sent.iter().zip(&answer).all(|(sent, got)| {
            sent.as_object().is_some_and(|sent| sent.iter().all(|(key, value)| got[key] == *value))
        }))
}

fn one(answer: &Answer) -> anyhow::Result<Value> {
    let rows: Value = serde_json::from_str(&answer.body)
        .with_context(|| format!("not JSON, with status {}", answer.status))?;
    Ok(rows[0].clone())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn status(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let code = answer.refused.as_deref().unwrap_or("no code");
    let status = answer.status.as_u16();
    format!("{status} {code} {}", text(&body["message"]))
}
